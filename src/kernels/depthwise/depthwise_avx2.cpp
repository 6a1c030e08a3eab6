// AVX2: two taps meet in one 16-bit multiply-add of 8 channels, or in an 8-bit one of 16.
#include <immintrin.h>

#include "kernels/depthwise/depthwise.h"
#include "kernels/unrolled.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

/// 32 channels, from c on, of some rows.
template <int Rows>
inline void narrow_tile(const DepthwiseCall& call, std::int64_t first, std::int64_t c) {
  const DirectRow* const row = call.rows + first;
  const std::uint8_t* a[Rows];
  __m256i low[Rows], high[Rows];  // channels 0 .. 7 and 16 .. 23; 8 .. 15 and 24 .. 31
  NNQ_UNROLL
  for (int r = 0; r < Rows; ++r) {
    a[r] = row[r].data + c;
    low[r] = high[r] = _mm256_setzero_si256();
  }
  const std::int8_t* w = call.narrow + c * 2;
  for (std::int64_t t = 0; t < call.pairs; ++t, w += call.channels * 2) {
    const __m256i w0 = load(w), w1 = load(w + 32), w_low = _mm256_permute2x128_si256(w0, w1, 0x20),
                  w_high = _mm256_permute2x128_si256(w0, w1, 0x31);
    const std::int64_t one = call.offsets[2 * t], other = call.offsets[2 * t + 1];
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const __m256i x0 = load(a[r] + one), x1 = load(a[r] + other);
      low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(_mm256_unpacklo_epi8(x0, x1), w_low));
      high[r] = _mm256_add_epi16(high[r], _mm256_maddubs_epi16(_mm256_unpackhi_epi8(x0, x1), w_high));
    }
  }
  NNQ_UNROLL
  for (int r = 0; r < Rows; ++r) {
    const std::int32_t* const start = row[r].start + c;
    std::int32_t* const sums = call.sums + (first + r) * call.channels + c;
    const __m128i parts[4] = {_mm256_castsi256_si128(low[r]), _mm256_castsi256_si128(high[r]),
                              _mm256_extracti128_si256(low[r], 1), _mm256_extracti128_si256(high[r], 1)};
    NNQ_UNROLL
    for (int i = 0; i < 4; ++i)
      store(sums + 8 * i, _mm256_add_epi32(load(start + 8 * i), _mm256_cvtepi16_epi32(parts[i])));
  }
}

}  // namespace

void depthwise_narrow(const DepthwiseCall& call) noexcept {
  for (std::int64_t next = 0; next < call.channels; next += 32) {
    const std::int64_t c = next + 32 <= call.channels ? next : call.channels - 32;  // some a second time
    std::int64_t r = 0;
    for (; r + 3 <= call.row_count; r += 3) narrow_tile<3>(call, r, c);
    for (; r < call.row_count; ++r) narrow_tile<1>(call, r, c);
  }
}

void depthwise(const DepthwiseCall& call) noexcept {
  const std::int64_t whole = call.channels / 16 * 16;
  for (std::int64_t r = 0; r < call.row_count; ++r) {
    const DirectRow& row = call.rows[r];
    for (std::int64_t c = 0; c < whole; c += 16) {
      __m256i s0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row.start + c)),
              s1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row.start + c + 8));
      const std::int16_t* w = call.weights + c * 2;
      for (std::int64_t t = 0; t < call.pairs; ++t, w += call.channels * 2) {
        const __m128i x0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row.data + call.offsets[2 * t] + c)),
                      x1 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row.data + call.offsets[2 * t + 1] + c));
        s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(x0, x1)),
                                                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))));
        s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(x0, x1)),
                                                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 16))));
      }
      std::int32_t* sums = call.sums + r * call.channels + c;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), s0);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8), s1);
    }
    if (whole < call.channels) portable::depthwise_row(call, r, whole);
  }
}

}  // namespace nnq::avx2
