// AVX2: 32 bytes of channels at once, all taps of them before the next.
#include <immintrin.h>

#include "kernels/pool/pool.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

template <class Merge>
inline void whole(const PoolCall& call, const std::uint8_t* in, std::uint8_t* out, std::int64_t i, Merge&& merge) {
  const __m256i flip = call.flip != nullptr ? load(call.flip + i) : _mm256_setzero_si256();
  __m256i best = _mm256_xor_si256(load(in + i), flip);
  for (std::int64_t t = 1; t < call.taps; ++t)
    best = merge(best, _mm256_xor_si256(load(in + call.offsets[t] + i), flip));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_xor_si256(best, flip));
}

template <class Merge>
inline void pool(const PoolCall& call, void (*reference)(const PoolCall&) noexcept, Merge&& merge) {
  if (call.bytes < 32) {
    reference(call);
    return;
  }
  for (std::int64_t p = 0; p < call.count; ++p) {
    const std::uint8_t* in = call.in + p * call.step;
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + p * call.bytes;
    std::int64_t i = 0;
    for (; i + 32 <= call.bytes; i += 32) whole(call, in, out, i, merge);
    // The last vector overlaps the one before and writes the same there.
    if (i < call.bytes) whole(call, in, out, call.bytes - 32, merge);
  }
}

}  // namespace

void max_pool_bytes(const PoolCall& call) noexcept {
  pool(call, portable::max_pool_bytes, [](__m256i a, __m256i b) { return _mm256_max_epu8(a, b); });
}
void max_pool_bits(const PoolCall& call) noexcept {
  pool(call, portable::max_pool_bits, [](__m256i a, __m256i b) { return _mm256_or_si256(a, b); });
}
void max_pool_sums(const PoolCall& call) noexcept {
  pool(call, portable::max_pool_sums, [](__m256i a, __m256i b) { return _mm256_max_epi32(a, b); });
}

void sum_pool_bytes(const std::uint8_t* in, std::int64_t positions, std::int64_t channels,
                    std::int32_t* sums) noexcept {
  std::int64_t c = 0;
  for (; c + 16 <= channels; c += 16) {
    __m256i words = _mm256_setzero_si256();
    for (std::int64_t p = 0; p < positions; ++p)
      words = _mm256_add_epi16(
          words, _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + p * channels + c))));
    auto* const to = reinterpret_cast<__m256i*>(sums + c);
    _mm256_storeu_si256(to,
                        _mm256_add_epi32(_mm256_loadu_si256(to), _mm256_cvtepu16_epi32(_mm256_castsi256_si128(words))));
    _mm256_storeu_si256(to + 1, _mm256_add_epi32(_mm256_loadu_si256(to + 1),
                                                 _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1))));
  }
  for (; c < channels; ++c) {
    for (std::int64_t p = 0; p < positions; ++p) sums[c] += in[p * channels + c];
  }
}

}  // namespace nnq::avx2
