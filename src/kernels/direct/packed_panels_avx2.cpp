#include <immintrin.h>

#include "kernels/direct/packed_panels.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

template <int Bits>
inline __m256i codes(const __m256i* words, int group) {
  if constexpr (Bits != 3) {
    return _mm256_and_si256(_mm256_srli_epi16(words[0], group * Bits), _mm256_set1_epi8((1 << Bits) - 1));
  } else {
    if (group < 6) return _mm256_and_si256(_mm256_srli_epi16(words[group / 2], group % 2 * 3), _mm256_set1_epi8(7));
    const __m256i low = _mm256_and_si256(_mm256_srli_epi16(words[group - 6], 6), _mm256_set1_epi8(3)),
                  high = _mm256_and_si256(_mm256_srli_epi16(words[2], group - 2), _mm256_set1_epi8(4));
    return _mm256_or_si256(low, high);
  }
}

template <int Bits>
inline void unpack(std::int64_t blocks, const std::uint8_t* packed, int zero, std::int8_t* panel) {
  constexpr int words = Bits == 3 ? 3 : 1, groups = 8 * words / Bits;
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(zero));
  for (std::int64_t b = 0; b < blocks; ++b, packed += words * 32, panel += groups * 32) {
    __m256i w[words];
    for (int i = 0; i < words; ++i) w[i] = load(packed + i * 32);
#pragma GCC unroll 8
    for (int g = 0; g < groups; ++g)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(panel + g * 32), _mm256_sub_epi8(codes<Bits>(w, g), offset));
  }
}

}  // namespace

void unpack_panel(const PackedPanel& form, const std::uint8_t* packed, int zero, std::int8_t* panel) noexcept {
  if (form.bits == 2)
    unpack<2>(form.blocks(), packed, zero, panel);
  else if (form.bits == 3)
    unpack<3>(form.blocks(), packed, zero, panel);
  else
    unpack<4>(form.blocks(), packed, zero, panel);
}

}  // namespace nnq::avx2
