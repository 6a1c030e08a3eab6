// AVX-512 VNNI: a panel's four outputs in the four quarters of a vector, inputs broadcast to all of them; vpdpbusd adds
// products of codes and signed inputs in 32 bits without saturation.
#include <immintrin.h>

#include "kernels/matvec/matvec.h"

namespace nnq::avx512 {
namespace {

constexpr std::int64_t word_bytes = matvec_panel * 16;

/// Codes of one group from a panel's words, one a byte.
template <int Bits>
inline __m512i codes(const __m512i* words, unsigned group) {
  if constexpr (Bits == 8) {
    return words[0];
  } else if constexpr (Bits != 3) {
    return _mm512_and_si512(_mm512_srli_epi16(words[0], group * Bits), _mm512_set1_epi8((1 << Bits) - 1));
  } else {
    if (group < 6) return _mm512_and_si512(_mm512_srli_epi16(words[group / 2], group % 2 * 3), _mm512_set1_epi8(7));
    const __m512i low = _mm512_and_si512(_mm512_srli_epi16(words[group - 6], 6), _mm512_set1_epi8(3)),
                  high = _mm512_and_si512(_mm512_srli_epi16(words[2], group - 2), _mm512_set1_epi8(4));
    return _mm512_or_si512(low, high);
  }
}

/// The sums of the four quarters, through memory: no register of 512 bits need be taken apart.
inline void store_sums(__m512i v, std::int32_t* sums) {
  alignas(64) std::int32_t lanes[16];
  _mm512_storeu_si512(lanes, v);
  const auto quarter = [&](int i) { return _mm_load_si128(reinterpret_cast<const __m128i*>(lanes + 4 * i)); };
  const __m128i first = _mm_hadd_epi32(quarter(0), quarter(1)), second = _mm_hadd_epi32(quarter(2), quarter(3));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), _mm_hadd_epi32(first, second));
}

template <int Bits, int Batch, int Panels>
inline void tile(const MatvecCall& call, std::int64_t panel, std::int64_t row) {
  constexpr MatvecBlock block = matvec_block(Bits);
  constexpr std::int64_t step = block.words * word_bytes;
  const std::uint8_t* w = call.panels + panel * call.blocks * step;
  const std::int8_t* a = call.inputs + row * call.input_stride;
  __m512i sum[Batch][Panels];
  for (auto& of_row : sum)
    for (__m512i& s : of_row) s = _mm512_setzero_si512();
  for (std::int64_t b = 0; b < call.blocks; ++b, w += step, a += block.inputs) {
    for (int p = 0; p < Panels; ++p) {
      __m512i words[block.words];
      for (int i = 0; i < block.words; ++i) words[i] = _mm512_loadu_si512(w + p * call.blocks * step + i * word_bytes);
#pragma GCC unroll 8
      for (unsigned g = 0; g < block.inputs / 16; ++g) {
        const __m512i c = codes<Bits>(words, g);
        for (int r = 0; r < Batch; ++r) {
          const __m512i x = _mm512_maskz_broadcast_i32x4(
              0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + r * call.input_stride + g * 16)));
          sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], c, x);
        }
      }
    }
  }
  for (int r = 0; r < Batch; ++r) {
    for (int p = 0; p < Panels; ++p)
      store_sums(sum[r][p], call.sums + (row + r) * call.stride + (panel + p) * matvec_panel);
  }
}

template <int Bits, int Batch>
void rows(const MatvecCall& call, std::int64_t row) {
  constexpr int panels = 4;  // four chains of additions
  std::int64_t p = 0;
  for (; p + panels <= call.panel_count; p += panels) tile<Bits, Batch, panels>(call, p, row);
  for (; p < call.panel_count; ++p) tile<Bits, Batch, 1>(call, p, row);
}

template <int Bits>
void all(const MatvecCall& call) {
  std::int64_t row = 0;
  for (; row + 4 <= call.batch; row += 4) rows<Bits, 4>(call, row);
  for (; row < call.batch; ++row) rows<Bits, 1>(call, row);
}

}  // namespace

void matvec(const MatvecCall& call) noexcept {
  with_bits(call.bits, [&call]<int Bits>() { all<Bits>(call); });
}

}  // namespace nnq::avx512
