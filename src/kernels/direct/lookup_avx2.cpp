// AVX2's table lookups: vpshufb with a table chosen by the activations and the weights as indices. Tiles of rows x 32
// or 64 channels. The innermost operations are assembly, as in direct_avx2.cpp.
#include "kernels/direct/lookup_avx2.h"

#include <immintrin.h>

#include <algorithm>

#include "kernels/unrolled.h"

namespace nnq::avx2 {
namespace {

constexpr std::int64_t outputs = lookup_panel;

/// s[p] += entries of one table, in bytes. Assembly: g++ 12 hoists the broadcasts of all rows and spills sums.
inline void add_lookup(const std::uint8_t* table, __m256i w0, __m256i w1, __m256i& s0, __m256i& s1) {
  __m256i x, t;
  asm volatile(
      "vbroadcasti128 %[a], %[x]\n\t"
      "vpshufb %[w0], %[x], %[t]\n\t"
      "vpshufb %[w1], %[x], %[x]\n\t"
      "vpaddb %[t], %[s0], %[s0]\n\t"
      "vpaddb %[x], %[s1], %[s1]"
      : [s0] "+x"(s0), [s1] "+x"(s1), [x] "=&x"(x), [t] "=&x"(t)
      : [a] "m"(*reinterpret_cast<const std::uint8_t(*)[16]>(table)), [w0] "x"(w0), [w1] "x"(w1));
}
inline void add_lookup(const std::uint8_t* table, __m256i w0, __m256i& s0) {
  __m256i x;
  asm volatile(
      "vbroadcasti128 %[a], %[x]\n\t"
      "vpshufb %[w0], %[x], %[x]\n\t"
      "vpaddb %[x], %[s0], %[s0]"
      : [s0] "+x"(s0), [x] "=&x"(x)
      : [a] "m"(*reinterpret_cast<const std::uint8_t(*)[16]>(table)), [w0] "x"(w0));
}

template <int Rows, int Panels, int Lookups>
inline void lookup_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                        std::int32_t* sums) {
  constexpr std::int64_t unit = 2 * Lookups * outputs;
  const LookupTables& lookup = *call.lookup;
  const std::uint8_t* const tables = lookup.tables;
  const std::int64_t next_panel = call.steps * unit;
  const std::uint8_t* a[Rows];
  NNQ_UNROLL
  for (int r = 0; r < Rows; ++r) a[r] = row[r].data;
  const std::int64_t* offset = call.offsets;
  bool first = true;
  for (std::int64_t k = 0; k < call.steps || first; first = false) {
    Words words[Rows][Panels];
    for (const std::int64_t stop = std::min(call.steps, k + lookup.word_units); k < stop;) {
      const std::int64_t n = std::min(lookup.byte_units, stop - k);
      const std::int64_t* const end = offset + n;
      k += n;
      __m256i bytes[Rows][Panels];
      NNQ_UNROLL
      for (int r = 0; r < Rows; ++r) {
        NNQ_UNROLL
        for (int p = 0; p < Panels; ++p) bytes[r][p] = _mm256_setzero_si256();
      }
      do {
        NNQ_UNROLL
        for (int b = 0; b < 2; ++b) {
          NNQ_UNROLL
          for (int l = 0; l < Lookups; ++l, panel += outputs) {
            __m256i w[Panels];
            NNQ_UNROLL
            for (int p = 0; p < Panels; ++p) w[p] = load(panel + p * next_panel);
            NNQ_UNROLL
            for (int r = 0; r < Rows; ++r) {
              const std::uint8_t* table =
                  tables + static_cast<std::size_t>(a[r][*offset + b]) * (16 * Lookups) + l * 16;
              if constexpr (Panels == 2)
                add_lookup(table, w[0], w[1], bytes[r][0], bytes[r][1]);
              else
                add_lookup(table, w[0], bytes[r][0]);
            }
          }
        }
      } while (++offset != end);
      NNQ_UNROLL
      for (int r = 0; r < Rows; ++r) {
        NNQ_UNROLL
        for (int p = 0; p < Panels; ++p) words[r][p].add(bytes[r][p], _mm256_srli_epi16(bytes[r][p], 8));
      }
    }
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      NNQ_UNROLL
      for (int p = 0; p < Panels; ++p) {
        std::int32_t* to = sums + r * call.stride + p * outputs;
        words[r][p].store(first ? row[r].start + column + p * outputs : to, lookup.shift, to);
      }
    }
  }
}

template <int Panels, int Lookups>
void lookup_panels(const DirectCall& call, const std::uint8_t* panel, std::int64_t column) {
  std::int64_t r = 0;
  for (; r + 4 <= call.row_count; r += 4)
    lookup_tile<4, Panels, Lookups>(call, call.rows + r, panel, column, call.sums + r * call.stride + column);
  for (; r < call.row_count; ++r)
    lookup_tile<1, Panels, Lookups>(call, call.rows + r, panel, column, call.sums + r * call.stride + column);
}

template <int Lookups>
void lookup(const DirectCall& call) {
  constexpr std::int64_t unit = 2 * Lookups * outputs;
  std::int64_t p = 0;
  for (; p + 2 <= call.panel_count; p += 2)
    lookup_panels<2, Lookups>(call, call.panels + p * call.steps * unit, p * outputs);
  if (p < call.panel_count) lookup_panels<1, Lookups>(call, call.panels + p * call.steps * unit, p * outputs);
}

}  // namespace

void direct_lookup(const DirectCall& call) noexcept {
  DirectCall rest = call;
  const std::int64_t done = lookup_pairs(call);
  rest.rows += done;
  rest.row_count -= done;
  rest.sums += done * call.stride;
  if (call.lookup->lookups == 1)
    lookup<1>(rest);
  else
    lookup<2>(rest);
}

void pack_codes(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t count, int shift) noexcept {
  std::int64_t i = 0;
  for (; i + 32 <= count; i += 32, packed += 8) {
    const __m256i pairs = _mm256_maddubs_epi16(
        _mm256_and_si256(_mm256_srl_epi16(load(codes + i), _mm_cvtsi32_si128(shift)), _mm256_set1_epi8(3)),
        _mm256_set1_epi16(0x0401));
    const __m256i bytes = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00100001));
    const __m256i packs =
        _mm256_shuffle_epi8(bytes, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4,
                                                    8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    const std::uint64_t low = static_cast<std::uint32_t>(_mm256_extract_epi32(packs, 0)),
                        high = static_cast<std::uint32_t>(_mm256_extract_epi32(packs, 4));
    const std::uint64_t both = low | high << 32;
    __builtin_memcpy(packed, &both, 8);
  }
  if (i < count) portable::pack_codes(codes + i, packed, count - i, shift);
}

}  // namespace nnq::avx2
