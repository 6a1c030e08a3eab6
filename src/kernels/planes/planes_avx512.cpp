// AVX-512 VPOPCNTDQ: eight channels a vector.
#include <immintrin.h>

#include "kernels/planes/planes.h"

namespace nnq::avx512 {
namespace {

/// One weight plane of a panel against Planes planes of codes.
template <int Planes>
inline void panel_counts(const std::uint64_t* codes, std::int64_t words, const std::uint64_t* weights,
                         std::int32_t* counts, std::int64_t stride) {
  __m512i total[Planes];
  for (int q = 0; q < Planes; ++q) total[q] = _mm512_setzero_si512();
  for (std::int64_t k = 0; k < words; ++k) {
    const __m512i w = _mm512_loadu_si512(weights + k * plane_panel);
    for (int q = 0; q < Planes; ++q) {
      const __m512i x = _mm512_set1_epi64(static_cast<long long>(codes[q * words + k]));
      total[q] = _mm512_add_epi64(total[q], _mm512_popcnt_epi64(_mm512_and_si512(x, w)));
    }
  }
  for (int q = 0; q < Planes; ++q)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(counts + q * stride), _mm512_maskz_cvtepi64_epi32(0xff, total[q]));
}

}  // namespace

void plane_counts(const std::uint64_t* codes, int code_planes, const std::uint64_t* panels, int weight_planes,
                  std::int64_t words, std::int64_t panel_count, std::int32_t* counts, std::int64_t stride) noexcept {
  for (std::int64_t panel = 0; panel < panel_count; ++panel) {
    for (int p = 0; p < weight_planes; ++p) {
      const std::uint64_t* weights = panels + (panel * weight_planes + p) * words * plane_panel;
      std::int32_t* to = counts + p * code_planes * stride + panel * plane_panel;
      int q = 0;
      for (; q + 4 <= code_planes; q += 4) panel_counts<4>(codes + q * words, words, weights, to + q * stride, stride);
      for (; q < code_planes; ++q) panel_counts<1>(codes + q * words, words, weights, to + q * stride, stride);
    }
  }
}

}  // namespace nnq::avx512
