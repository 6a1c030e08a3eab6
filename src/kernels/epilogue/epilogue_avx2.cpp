// AVX2: blocks of 16 channels, 16-bit comparisons where the thresholds fit.
#include <immintrin.h>

#include "kernels/epilogue/epilogue.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// 16 sums, negated where their channel falls.
struct Sums {
  __m256i low, high;
};
inline Sums turned(const Thresholds& t, const std::int32_t* sums, std::int64_t c) {
  Sums s{load(sums), load(sums + 8)};
  if (t.turns) {
    const __m256i m0 = load(t.turn.data() + c), m1 = load(t.turn.data() + c + 8);
    s.low = _mm256_sub_epi32(_mm256_xor_si256(s.low, m0), m0);
    s.high = _mm256_sub_epi32(_mm256_xor_si256(s.high, m1), m1);
  }
  return s;
}

/// 16-bit values of two vectors of 32-bit ones, saturated, in order.
inline __m256i narrowed(__m256i low, __m256i high) {
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
}

/// The number of levels passed, 16 bits a channel.
template <bool Narrow>
inline __m256i passed(const Thresholds& t, Sums s, std::int64_t c) {
  if constexpr (Narrow) {
    const __m256i v = narrowed(s.low, s.high);
    const std::int16_t* limit = t.limits16.data() + c * t.levels;
    __m256i count = _mm256_setzero_si256();
    for (std::int32_t l = 0; l < t.levels; ++l, limit += epilogue_block)
      count = _mm256_sub_epi16(count, _mm256_cmpgt_epi16(v, load(limit)));
    return count;
  } else {
    const std::int32_t* limit = t.limits.data() + c * t.levels;
    __m256i low = _mm256_setzero_si256(), high = low;
    for (std::int32_t l = 0; l < t.levels; ++l, limit += epilogue_block) {
      low = _mm256_sub_epi32(low, _mm256_cmpgt_epi32(s.low, load(limit)));
      high = _mm256_sub_epi32(high, _mm256_cmpgt_epi32(s.high, load(limit + 8)));
    }
    return narrowed(low, high);
  }
}

/// The same on the block's lines.
inline __m256i on_lines(const Thresholds& t, const std::int32_t* sums, std::int64_t c) {
  const auto eight = [&](std::int64_t i) {
    const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(load(sums + i)), _mm256_loadu_ps(t.line_a.data() + c + i)),
                 v = _mm256_add_ps(product, _mm256_loadu_ps(t.line_b.data() + c + i));
    return _mm256_cvttps_epi32(
        _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), _mm256_loadu_ps(t.line_most.data() + c + i)));
  };
  return narrowed(eight(0), eight(8));
}

/// Calls f(block's sums, position, first channel, channels) for every block; sums of a last, partial block are copied.
template <class F>
inline void blocks(const ThresholdCall& call, F&& f) {
  const std::int64_t channels = call.thresholds->channels, whole = channels / epilogue_block * epilogue_block;
  for (std::int64_t i = 0; i < call.count; ++i) {
    const std::int32_t* sums = call.sums + i * call.stride;
    for (std::int64_t c = 0; c < whole; c += epilogue_block) f(sums + c, i, c, epilogue_block);
    if (whole < channels) {
      std::int32_t rest[epilogue_block] = {};
      for (std::int64_t c = whole; c < channels; ++c) rest[c - whole] = sums[c];
      f(rest, i, whole, channels - whole);
    }
  }
}

template <bool Narrow>
void codes(const ThresholdCall& call) {
  const Thresholds& t = *call.thresholds;
  blocks(call, [&](const std::int32_t* sums, std::int64_t i, std::int64_t c, std::int64_t n) {
    __m256i count = t.lines[static_cast<std::size_t>(c / epilogue_block)] != 0
                        ? on_lines(t, sums, c)
                        : passed<Narrow>(t, turned(t, sums, c), c);
    if (t.step == 2) count = _mm256_add_epi16(count, count);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(count), _mm256_extracti128_si256(count, 1)),
                  start = _mm_loadu_si128(reinterpret_cast<const __m128i*>(t.start.data() + c));
    alignas(16) std::uint8_t result[16];
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + i * t.channels + c;
    const bool full = n == epilogue_block;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(full ? out : result), _mm_add_epi8(start, bytes));
    for (std::int64_t k = 0; !full && k < n; ++k) out[k] = result[k];
  });
}

inline __m256i widened(const std::uint8_t* bytes) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}

}  // namespace

void widen(const WidenCall& call) noexcept {
  const WidenCall c = call;
  if (c.count < 8) return portable::widen(call);
  const __m256i offset = _mm256_set1_epi32(c.offset);
  for (std::int64_t i = 0; i < c.count; i += 8) {
    if (i + 8 > c.count) i = c.count - 8;  // some a second time
    __m256i v = _mm256_add_epi32(widened(c.a + i), offset);
    if (c.b != nullptr) v = _mm256_add_epi32(v, widened(c.b + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c.sums + i), v);
  }
}

void threshold_codes(const ThresholdCall& call) noexcept {
  if (call.thresholds->narrow)
    codes<true>(call);
  else
    codes<false>(call);
}

void threshold_bits(const ThresholdCall& call) noexcept {
  const Thresholds& t = *call.thresholds;
  const std::int64_t words = (t.channels + 31) / 32;
  blocks(call, [&](const std::int32_t* sums, std::int64_t i, std::int64_t c, std::int64_t n) {
    const Sums s = turned(t, sums, c);
    const __m256i low = _mm256_cmpgt_epi32(s.low, load(t.limits.data() + c)),
                  high = _mm256_cmpgt_epi32(s.high, load(t.limits.data() + c + 8));
    const __m128i always =
        _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(t.start.data() + c)), _mm_setzero_si128());
    std::uint32_t mask = static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(low))) |
                         static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(high))) << 8;
    mask |= ~static_cast<std::uint32_t>(_mm_movemask_epi8(always)) & 0xffffu;
    mask &= (1u << n) - 1;
    std::uint32_t* word = static_cast<std::uint32_t*>(call.out) + i * words + c / 32;
    *word = c % 32 == 0 ? mask : *word | mask << 16;
  });
}

}  // namespace nnq::avx2
