// AVX2: two taps meet in one 16-bit multiply-add of 8 channels.
#include <immintrin.h>

#include "kernels/depthwise/depthwise.h"

namespace nnq::avx2 {

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
