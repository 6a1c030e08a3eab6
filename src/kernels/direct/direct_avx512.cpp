// AVX-512 rows: VNNI for 8 bits, VPOPCNTDQ for one. Tiles of 8 rows x 2 panels: 16 accumulators, one broadcast load a
// row and step.
#include <immintrin.h>

#include "kernels/direct/direct.h"
#include "kernels/unrolled.h"

namespace nnq::avx512 {
namespace {

inline __m512i broadcast_word(const std::uint8_t* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

/// What a row's unit adds to the sums of a panel.
enum class Products { int8, binary, ternary };

template <int Rows, int Panels, Products Kind>
inline void tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                 std::int32_t* sums) {
  constexpr std::int64_t planes = Kind == Products::ternary ? 2 : 1;
  const std::uint8_t* a[Rows];
  __m512i sum[Rows][Panels];
  unrolled<Rows>([&](int r) {
    a[r] = row[r].data;
    unrolled<Panels>([&](int p) {
      sum[r][p] = Kind == Products::int8 ? _mm512_loadu_si512(row[r].start + column + p * 16) : _mm512_setzero_si512();
    });
  });
  for (std::int64_t k = 0; k < call.steps; ++k) {
    const std::int64_t offset = call.offsets[k];
    __m512i w[Panels], kept[Panels];
    unrolled<Panels>([&](int p) {
      const std::uint8_t* const at = panel + (p * planes * call.steps + k) * 64;
      w[p] = _mm512_loadu_si512(at);
      if constexpr (Kind == Products::ternary) kept[p] = _mm512_loadu_si512(at + call.steps * 64);
    });
    unrolled<Rows>([&](int r) {
      const __m512i x = broadcast_word(a[r] + offset);
      unrolled<Panels>([&](int p) {
        if constexpr (Kind == Products::int8) {
          sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], x, w[p]);
        } else {
          constexpr int differ_where_kept = 0x28;  // (x ^ w) & kept
          const __m512i differ = Kind == Products::binary
                                     ? _mm512_xor_si512(x, w[p])
                                     : _mm512_ternarylogic_epi32(x, w[p], kept[p], differ_where_kept);
          sum[r][p] = _mm512_add_epi32(sum[r][p], _mm512_popcnt_epi32(differ));
        }
      });
    });
  }
  unrolled<Rows>([&](int r) {
    unrolled<Panels>([&](int p) {
      if constexpr (Kind != Products::int8)
        sum[r][p] = _mm512_sub_epi32(_mm512_loadu_si512(row[r].start + column + p * 16),
                                     _mm512_add_epi32(sum[r][p], sum[r][p]));
      _mm512_storeu_si512(sums + r * call.stride + p * 16, sum[r][p]);
    });
  });
}

template <int Panels, Products Kind>
void panels(const DirectCall& call, std::int64_t first) {
  constexpr std::int64_t planes = Kind == Products::ternary ? 2 : 1;
  const std::uint8_t* panel = call.panels + first * planes * call.steps * 64;
  const std::int64_t column = first * 16;
  std::int32_t* sums = call.sums + column;
  std::int64_t r = 0;
  for (; r + 8 <= call.row_count; r += 8)
    tile<8, Panels, Kind>(call, call.rows + r, panel, column, sums + r * call.stride);
  for (; r + 4 <= call.row_count; r += 4)
    tile<4, Panels, Kind>(call, call.rows + r, panel, column, sums + r * call.stride);
  for (; r < call.row_count; ++r) tile<1, Panels, Kind>(call, call.rows + r, panel, column, sums + r * call.stride);
}

template <Products Kind>
void all_panels(const DirectCall& call) {
  std::int64_t p = 0;
  for (; p + 2 <= call.panel_count; p += 2) panels<2, Kind>(call, p);
  if (p < call.panel_count) panels<1, Kind>(call, p);
}

}  // namespace

void direct_int8(const DirectCall& call) noexcept { all_panels<Products::int8>(call); }
void direct_binary(const DirectCall& call) noexcept { all_panels<Products::binary>(call); }
void direct_ternary(const DirectCall& call) noexcept { all_panels<Products::ternary>(call); }

}  // namespace nnq::avx512
