// AVX-512's table lookups, 64 outputs at once: vpshufb in tables of 16 entries, one a byte of activations, and vpermb
// in tables of 64. Tiles of 4 rows x 2 panels: 8 sums in bytes, 16 in words, two vectors of weights and a table fit the
// 32 registers.

// g++ 12's own header passes "undefined" vectors to instructions that keep nothing of them, and is warned of it.
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <algorithm>

#include "kernels/direct/direct.h"
#include "kernels/unrolled.h"

namespace nnq::avx512 {
namespace {

constexpr std::int64_t outputs = 64;

/// Sums of bytes in 16 bits: `all` = even column + 256 * odd column modulo 2^16, `odd` = odd column.
struct Words {
  __m512i all, odd;
};

/// Start plus the 64 columns' sums, in order, to memory. Once a tile: not worth its size in each of them.
[[gnu::noinline]] void store_columns(__m512i all, __m512i odd, const std::int32_t* start, int shift,
                                     std::int32_t* sums) {
  const __m512i even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
  const __m128i count = _mm_cvtsi32_si128(shift);
  alignas(64) static constexpr std::uint16_t order[64] = {
      0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
      11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53,
      22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63};
  const auto store = [&](__m256i sixteen, int column) {
    const __m512i looked_up = _mm512_sll_epi32(_mm512_cvtepu16_epi32(sixteen), count);
    _mm512_storeu_si512(sums + column, _mm512_add_epi32(_mm512_loadu_si512(start + column), looked_up));
  };
  for (int half = 0; half < 2; ++half) {
    const __m512i columns = _mm512_permutex2var_epi16(even, _mm512_loadu_si512(order + half * 32), odd);
    store(_mm512_castsi512_si256(columns), half * 32);
    store(_mm512_extracti64x4_epi64(columns, 1), half * 32 + 16);
  }
}

inline unsigned codes_of(const std::uint8_t* unit) {
  std::uint16_t codes;
  __builtin_memcpy(&codes, unit, 2);
  return codes;
}

/// Table number `l` of a unit in a register, ready to be looked up in.
template <LookupForm Form>
inline __m512i table_of(const std::uint8_t* tables, unsigned codes, int l) {
  if constexpr (Form == LookupForm::triples) {
    const unsigned at = l == 0 ? codes << 6 & 0xfc0 : l == 1 ? codes & 0xfc0 : codes >> 6 & 0x3c0;
    return _mm512_loadu_si512(tables + at);
  } else {
    const unsigned at = l == 0 ? (codes & 255) << 4 : codes >> 4 & 0xff0;
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + at)));
  }
}

template <LookupForm Form>
inline __m512i look_up(__m512i table, __m512i entries) {
  return Form == LookupForm::triples ? _mm512_permutexvar_epi8(entries, table) : _mm512_shuffle_epi8(table, entries);
}

template <LookupForm Form, int Rows, int Panels>
inline void tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                 std::int32_t* sums) {
  constexpr int lookups = Form == LookupForm::triples ? 3 : 2;
  const LookupTables& lookup = *call.lookup;
  const std::int64_t next_panel = call.steps * lookups * outputs;
  const std::uint8_t* a[Rows];
  unrolled<Rows>([&](int r) { a[r] = row[r].data; });
  bool first = true;
  for (std::int64_t k = 0; k < call.steps || first; first = false) {
    Words words[Rows][Panels];
    unrolled<Rows>([&](int r) {
      unrolled<Panels>([&](int p) { words[r][p] = {_mm512_setzero_si512(), _mm512_setzero_si512()}; });
    });
    for (const std::int64_t stop = std::min(call.steps, k + lookup.word_units); k < stop;) {
      const std::int64_t end = std::min(k + lookup.byte_units, stop);
      __m512i bytes[Rows][Panels];
      unrolled<Rows>([&](int r) { unrolled<Panels>([&](int p) { bytes[r][p] = _mm512_setzero_si512(); }); });
      do {
        const std::int64_t offset = call.offsets[k];
        unrolled<lookups>([&](int l) {
          __m512i w[Panels];
          unrolled<Panels>([&](int p) { w[p] = _mm512_loadu_si512(panel + p * next_panel + l * outputs); });
          unrolled<Rows>([&](int r) {
            const __m512i table = table_of<Form>(lookup.tables, codes_of(a[r] + offset), l);
            unrolled<Panels>([&](int p) { bytes[r][p] = _mm512_add_epi8(bytes[r][p], look_up<Form>(table, w[p])); });
          });
        });
        panel += lookups * outputs;
      } while (++k != end);
      unrolled<Rows>([&](int r) {
        unrolled<Panels>([&](int p) {
          words[r][p].all = _mm512_add_epi16(words[r][p].all, bytes[r][p]);
          words[r][p].odd = _mm512_add_epi16(words[r][p].odd, _mm512_srli_epi16(bytes[r][p], 8));
        });
      });
    }
    unrolled<Rows>([&](int r) {
      unrolled<Panels>([&](int p) {
        std::int32_t* const to = sums + r * call.stride + p * outputs;
        store_columns(words[r][p].all, words[r][p].odd, first ? row[r].start + column + p * outputs : to, lookup.shift,
                      to);
      });
    });
  }
}

template <LookupForm Form, int Panels>
void rows_of(const DirectCall& call, std::int64_t first) {
  const std::uint8_t* const panel = call.panels + first * call.steps * (Form == LookupForm::triples ? 3 : 2) * outputs;
  const std::int64_t column = first * outputs;
  std::int32_t* const sums = call.sums + column;
  std::int64_t r = 0;
  for (; r + 4 <= call.row_count; r += 4)
    tile<Form, 4, Panels>(call, call.rows + r, panel, column, sums + r * call.stride);
  for (; r < call.row_count; ++r) tile<Form, 1, Panels>(call, call.rows + r, panel, column, sums + r * call.stride);
}

template <LookupForm Form>
void all_panels(const DirectCall& call) {
  std::int64_t p = 0;
  for (; p + 2 <= call.panel_count; p += 2) rows_of<Form, 2>(call, p);
  if (p < call.panel_count) rows_of<Form, 1>(call, p);
}

}  // namespace

void direct_lookup(const DirectCall& call) noexcept { all_panels<LookupForm::nibbles>(call); }
void direct_triples(const DirectCall& call) noexcept { all_panels<LookupForm::triples>(call); }

}  // namespace nnq::avx512
