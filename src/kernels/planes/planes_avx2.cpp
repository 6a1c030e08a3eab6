// AVX2: bits of bytes by two table look-ups, bytes summed for up to 31 words, then added up in the 64-bit lanes.
#include <immintrin.h>

#include <algorithm>

#include "kernels/planes/planes.h"

namespace nnq::avx2 {
namespace {

/// Words whose bits a byte can count: 31 * 8 <= 255.
constexpr std::int64_t block = 31;

inline __m256i bits_of_bytes(__m256i v) {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                          2, 3, 2, 3, 3, 4),
                mask = _mm256_set1_epi8(15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(v, mask)),
                         _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), mask)));
}

/// The low halves of eight 64-bit lanes.
inline __m256i narrow(__m256i low, __m256i high) {
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  return _mm256_permute2x128_si256(_mm256_permutevar8x32_epi32(low, even), _mm256_permutevar8x32_epi32(high, even),
                                   0x20);
}

/// One weight plane of a panel against Planes planes of codes.
template <int Planes>
inline void panel_counts(const std::uint64_t* codes, std::int64_t words, const std::uint64_t* weights,
                         std::int32_t* counts, std::int64_t stride) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i total[Planes][2];
  for (int q = 0; q < Planes; ++q) total[q][0] = total[q][1] = zero;
  for (std::int64_t first = 0; first < words; first += block) {
    const std::int64_t end = std::min(words, first + block);
    __m256i bytes[Planes][2];
    for (int q = 0; q < Planes; ++q) bytes[q][0] = bytes[q][1] = zero;
    for (std::int64_t k = first; k < end; ++k) {
      const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + k * plane_panel)),
                    w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + k * plane_panel + 4));
      for (int q = 0; q < Planes; ++q) {
        const __m256i x = _mm256_set1_epi64x(static_cast<long long>(codes[q * words + k]));
        bytes[q][0] = _mm256_add_epi8(bytes[q][0], bits_of_bytes(_mm256_and_si256(x, w0)));
        bytes[q][1] = _mm256_add_epi8(bytes[q][1], bits_of_bytes(_mm256_and_si256(x, w1)));
      }
    }
    for (int q = 0; q < Planes; ++q) {
      for (int h = 0; h < 2; ++h) total[q][h] = _mm256_add_epi64(total[q][h], _mm256_sad_epu8(bytes[q][h], zero));
    }
  }
  for (int q = 0; q < Planes; ++q)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(counts + q * stride), narrow(total[q][0], total[q][1]));
}

}  // namespace

void plane_counts(const std::uint64_t* codes, int code_planes, const std::uint64_t* panels, int weight_planes,
                  std::int64_t words, std::int64_t panel_count, std::int32_t* counts, std::int64_t stride) noexcept {
  for (std::int64_t panel = 0; panel < panel_count; ++panel) {
    for (int p = 0; p < weight_planes; ++p) {
      const std::uint64_t* weights = panels + (panel * weight_planes + p) * words * plane_panel;
      std::int32_t* to = counts + p * code_planes * stride + panel * plane_panel;
      int q = 0;
      for (; q + 3 <= code_planes; q += 3) panel_counts<3>(codes + q * words, words, weights, to + q * stride, stride);
      if (code_planes - q == 2)
        panel_counts<2>(codes + q * words, words, weights, to + q * stride, stride);
      else if (code_planes - q == 1)
        panel_counts<1>(codes + q * words, words, weights, to + q * stride, stride);
    }
  }
}

void plane_combine(const PlaneTerm* terms, std::int64_t count, std::int64_t outputs, float* y) noexcept {
  const auto load = [](const std::int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); };
  for (std::int64_t o = 0; o < outputs; o += plane_panel) {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (const PlaneTerm* t = terms; t < terms + count; ++t) {
      __m256i v = _mm256_set1_epi32(t->constant);
      if (t->sums != nullptr)
        v = _mm256_add_epi32(v, _mm256_mullo_epi32(_mm256_set1_epi32(t->factor), load(t->sums + o)));
      if (t->set != nullptr)
        v = _mm256_sub_epi32(v, _mm256_mullo_epi32(_mm256_set1_epi32(t->per_set), load(t->set + o)));
      const __m256d v0 = _mm256_cvtepi32_pd(_mm256_castsi256_si128(v)),
                    v1 = _mm256_cvtepi32_pd(_mm256_extracti128_si256(v, 1));
      low = _mm256_add_pd(low, _mm256_mul_pd(_mm256_loadu_pd(t->coefficient + o), v0));
      high = _mm256_add_pd(high, _mm256_mul_pd(_mm256_loadu_pd(t->coefficient + o + 4), v1));
    }
    _mm_storeu_ps(y + o, _mm256_cvtpd_ps(low));
    _mm_storeu_ps(y + o + 4, _mm256_cvtpd_ps(high));
  }
}

}  // namespace nnq::avx2
