// AVX-512 rows: VNNI for 8 bits, VPOPCNTDQ for one. Tiles of 8 rows x 2 panels: 16 accumulators, one broadcast load a
// row and step.
#include <immintrin.h>

#include "kernels/direct/direct.h"

namespace nnq::avx512 {
namespace {

inline __m512i broadcast_word(const std::uint8_t* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

template <int Rows, int Panels, bool Binary>
inline void tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                 std::int32_t* sums) {
  const std::uint8_t* a[Rows];
  __m512i sum[Rows][Panels];
  for (int r = 0; r < Rows; ++r) {
    a[r] = row[r].data;
    for (int p = 0; p < Panels; ++p)
      sum[r][p] = Binary ? _mm512_setzero_si512() : _mm512_loadu_si512(row[r].start + column + p * 16);
  }
  for (std::int64_t k = 0; k < call.steps; ++k) {
    const std::int64_t offset = call.offsets[k];
    __m512i w[Panels];
    for (int p = 0; p < Panels; ++p) w[p] = _mm512_loadu_si512(panel + (p * call.steps + k) * 64);
    for (int r = 0; r < Rows; ++r) {
      const __m512i x = broadcast_word(a[r] + offset);
      for (int p = 0; p < Panels; ++p) {
        if constexpr (Binary)
          sum[r][p] = _mm512_add_epi32(sum[r][p], _mm512_popcnt_epi32(_mm512_xor_si512(x, w[p])));
        else
          sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], x, w[p]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int p = 0; p < Panels; ++p) {
      if constexpr (Binary)
        sum[r][p] = _mm512_sub_epi32(_mm512_loadu_si512(row[r].start + column + p * 16),
                                     _mm512_add_epi32(sum[r][p], sum[r][p]));
      _mm512_storeu_si512(sums + r * call.stride + p * 16, sum[r][p]);
    }
  }
}

template <int Panels, bool Binary>
void panels(const DirectCall& call, std::int64_t first) {
  const std::uint8_t* panel = call.panels + first * call.steps * 64;
  const std::int64_t column = first * 16;
  std::int32_t* sums = call.sums + column;
  std::int64_t r = 0;
  for (; r + 8 <= call.row_count; r += 8)
    tile<8, Panels, Binary>(call, call.rows + r, panel, column, sums + r * call.stride);
  for (; r + 4 <= call.row_count; r += 4)
    tile<4, Panels, Binary>(call, call.rows + r, panel, column, sums + r * call.stride);
  for (; r < call.row_count; ++r) tile<1, Panels, Binary>(call, call.rows + r, panel, column, sums + r * call.stride);
}

template <bool Binary>
void all_panels(const DirectCall& call) {
  std::int64_t p = 0;
  for (; p + 2 <= call.panel_count; p += 2) panels<2, Binary>(call, p);
  if (p < call.panel_count) panels<1, Binary>(call, p);
}

}  // namespace

void direct_int8(const DirectCall& call) noexcept { all_panels<false>(call); }
void direct_binary(const DirectCall& call) noexcept { all_panels<true>(call); }

}  // namespace nnq::avx512
