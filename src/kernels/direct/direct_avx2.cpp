// AVX2 rows. wide: 16-bit multiply-add of codes that were widened once with weights that are widened on the way, for
// any codes. narrow: vpmaddubsw, where the caller has proven that nothing leaves 16 bits; the more units may meet
// there, the fewer are widened. int8: the wide product of bytes as they lie. Tiles of rows x 16 channels. The innermost
// operations are assembly: from intrinsics g++ hoists the broadcasts of all rows above the products and spills half of
// the accumulators (twice the time). Figures and instruction counts: docs/kernels.md.
#include <immintrin.h>

#include <algorithm>

#include "kernels/direct/direct.h"
#include "kernels/pair_products_avx2.h"
#include "kernels/unrolled.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline const std::uint8_t (&four(const std::uint8_t* a))[4] { return *reinterpret_cast<const std::uint8_t(*)[4]>(a); }

/// A tile's sums in registers, from the rows' starts to memory.
template <int Rows>
struct Tile {
  const std::uint8_t* a[Rows];
  __m256i sum[Rows][2];

  Tile(const DirectRow* row, std::int64_t column) {
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      a[r] = row[r].data;
      NNQ_UNROLL
      for (int h = 0; h < 2; ++h) {
        sum[r][h] = load(row[r].start + column + h * 8);
      }
    }
  }
  void write(std::int32_t* sums, std::int64_t stride) const {
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      NNQ_UNROLL
      for (int h = 0; h < 2; ++h) {
        store(sums + r * stride + h * 8, sum[r][h]);
      }
    }
  }
};

/// s[h] += the four products of each channel, in 32 bits. even, odd: weights 0, 2 and 1, 3 of a channel in 16 bits.
inline void add_wide(const std::uint8_t* a, __m256i even0, __m256i odd0, __m256i even1, __m256i odd1, __m256i low_bytes,
                     __m256i& s0, __m256i& s1) {
  __m256i x, y, t;
  asm volatile(
      "vpbroadcastd %[a], %[x]\n\t"
      "vpsrlw $8, %[x], %[y]\n\t"
      "vpand %[m], %[x], %[x]\n\t"
      "vpmaddwd %[e0], %[x], %[t]\n\t"
      "vpaddd %[t], %[s0], %[s0]\n\t"
      "vpmaddwd %[e1], %[x], %[x]\n\t"
      "vpaddd %[x], %[s1], %[s1]\n\t"
      "vpmaddwd %[o0], %[y], %[t]\n\t"
      "vpaddd %[t], %[s0], %[s0]\n\t"
      "vpmaddwd %[o1], %[y], %[y]\n\t"
      "vpaddd %[y], %[s1], %[s1]"
      : [s0] "+x"(s0), [s1] "+x"(s1), [x] "=&x"(x), [y] "=&x"(y), [t] "=&x"(t)
      : [a] "m"(four(a)), [m] "xm"(low_bytes), [e0] "x"(even0), [o0] "x"(odd0), [e1] "x"(even1), [o1] "x"(odd1));
}

template <int Rows>
inline void int8_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                      std::int32_t* sums) {
  const __m256i low_bytes = _mm256_set1_epi16(255);
  Tile<Rows> tile(row, column);
  for (std::int64_t k = 0; k < call.steps; ++k, panel += 64) {
    const std::int64_t offset = call.offsets[k];
    const __m256i w0 = load(panel), w1 = load(panel + 32);
    const __m256i even0 = _mm256_srai_epi16(_mm256_slli_epi16(w0, 8), 8), odd0 = _mm256_srai_epi16(w0, 8),
                  even1 = _mm256_srai_epi16(_mm256_slli_epi16(w1, 8), 8), odd1 = _mm256_srai_epi16(w1, 8);
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      add_wide(tile.a[r] + offset, even0, odd0, even1, odd1, low_bytes, tile.sum[r][0], tile.sum[r][1]);
    }
  }
  tile.write(sums, call.stride);
}

template <int Rows>
inline void wide_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                      std::int32_t* sums) {
  Tile<Rows> tile(row, column);
  for (std::int64_t k = 0; k < call.steps; ++k, panel += 32) {
    const std::int64_t offset = call.offsets[k];
    const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel))),
                  w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + 16)));
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      add_wide_pair(tile.a[r] + offset, w0, w1, tile.sum[r][0], tile.sum[r][1]);
    }
  }
  tile.write(sums, call.stride);
}

/// s[h] += the four products of each channel; each pair fits 16 bits.
inline void add_pairs(const std::uint8_t* a, __m256i w0, __m256i w1, __m256i ones, __m256i& s0, __m256i& s1) {
  __m256i x, t;
  asm volatile(
      "vpbroadcastd %[a], %[x]\n\t"
      "vpmaddubsw %[w0], %[x], %[t]\n\t"
      "vpmaddubsw %[w1], %[x], %[x]\n\t"
      "vpmaddwd %[o], %[t], %[t]\n\t"
      "vpmaddwd %[o], %[x], %[x]\n\t"
      "vpaddd %[t], %[s0], %[s0]\n\t"
      "vpaddd %[x], %[s1], %[s1]"
      : [s0] "+x"(s0), [s1] "+x"(s1), [x] "=&x"(x), [t] "=&x"(t)
      : [a] "m"(four(a)), [w0] "x"(w0), [w1] "x"(w1), [o] "x"(ones));
}

/// The same of two units, whose pairs fit 16 bits together. The second one's weights come from memory: registers are
/// out.
inline void add_two(const std::uint8_t* a, const std::uint8_t* b, __m256i w0, __m256i w1, const std::uint8_t* next,
                    __m256i ones, __m256i& s0, __m256i& s1) {
  __m256i x, y, t, u;
  asm volatile(
      "vpbroadcastd %[a], %[x]\n\t"
      "vpmaddubsw %[w0], %[x], %[t]\n\t"
      "vpmaddubsw %[w1], %[x], %[x]\n\t"
      "vpbroadcastd %[b], %[y]\n\t"
      "vpmaddubsw %[v0], %[y], %[u]\n\t"
      "vpmaddubsw %[v1], %[y], %[y]\n\t"
      "vpaddw %[u], %[t], %[t]\n\t"
      "vpaddw %[y], %[x], %[x]\n\t"
      "vpmaddwd %[o], %[t], %[t]\n\t"
      "vpmaddwd %[o], %[x], %[x]\n\t"
      "vpaddd %[t], %[s0], %[s0]\n\t"
      "vpaddd %[x], %[s1], %[s1]"
      : [s0] "+x"(s0), [s1] "+x"(s1), [x] "=&x"(x), [y] "=&x"(y), [t] "=&x"(t), [u] "=&x"(u)
      : [a] "m"(four(a)), [b] "m"(four(b)), [w0] "x"(w0), [w1] "x"(w1), [o] "x"(ones),
        [v0] "m"(*reinterpret_cast<const std::uint8_t(*)[32]>(next)),
        [v1] "m"(*reinterpret_cast<const std::uint8_t(*)[32]>(next + 32)));
}

/// Narrow for one unit (Two false) or two units before they are widened, in registers.
template <int Rows, bool Two>
inline void pairs_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                       std::int32_t* sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  Tile<Rows> tile(row, column);
  const std::int64_t *offset = call.offsets, *const end = offset + call.steps;
  if constexpr (Two) {
    for (; offset + 1 < end; offset += 2, panel += 128) {
      const __m256i w0 = load(panel), w1 = load(panel + 32);
      NNQ_UNROLL
      for (int r = 0; r < Rows; ++r) {
        add_two(tile.a[r] + offset[0], tile.a[r] + offset[1], w0, w1, panel + 64, ones, tile.sum[r][0], tile.sum[r][1]);
      }
    }
  }
  for (; offset < end; ++offset, panel += 64) {
    const __m256i w0 = load(panel), w1 = load(panel + 32);
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      add_pairs(tile.a[r] + *offset, w0, w1, ones, tile.sum[r][0], tile.sum[r][1]);
    }
  }
  tile.write(sums, call.stride);
}

template <int Rows>
inline void narrow_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                        std::int32_t* sums) {
  const std::uint8_t* a[Rows];
  // Sums of runs lie together until the end: in rows of `sums`, 2^n bytes apart, loads would wait for each other's
  // stores.
  alignas(64) std::int32_t wide[Rows][direct_panel];
  NNQ_UNROLL
  for (int r = 0; r < Rows; ++r) {
    a[r] = row[r].data;
    NNQ_UNROLL
    for (int h = 0; h < 2; ++h) {
      store(wide[r] + h * 8, load(row[r].start + column + h * 8));
    }
  }
  const std::int64_t *offset = call.offsets, *const last = offset + call.steps;
  do {
    const std::int64_t* const end = offset + std::min<std::int64_t>(call.narrow_steps, last - offset);
    __m256i sum[Rows][2];
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    }
    for (; offset != end; ++offset, panel += 64) {
      const __m256i w0 = load(panel), w1 = load(panel + 32);
      NNQ_UNROLL
      for (int r = 0; r < Rows; ++r) {
        add_narrow_pairs(a[r] + *offset, w0, w1, sum[r][0], sum[r][1]);
      }
    }
    std::int32_t* const to = offset == last ? sums : wide[0];
    const std::int64_t stride = offset == last ? call.stride : direct_panel;
    NNQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      NNQ_UNROLL
      for (int h = 0; h < 2; ++h) {
        store(to + r * stride + h * 8,
              _mm256_add_epi32(load(wide[r] + h * 8), _mm256_madd_epi16(sum[r][h], _mm256_set1_epi16(1))));
      }
    }
  } while (offset != last);
}

/// Calls tiles<Rows>(call, rows, panel, column, sums) for tiles of Many rows and the rest, over all panels of `unit`
/// bytes a step.
template <int Many, class Tiles>
inline void each_tile(const DirectCall& call, std::int64_t unit, Tiles&& tiles) {
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    const std::uint8_t* panel = call.panels + p * call.steps * unit;
    std::int32_t* sums = call.sums + p * direct_panel;
    std::int64_t r = 0;
    for (; r + Many <= call.row_count; r += Many)
      tiles.template operator()<Many>(call, call.rows + r, panel, p * direct_panel, sums + r * call.stride);
    for (; r + 2 <= call.row_count; r += 2)
      tiles.template operator()<2>(call, call.rows + r, panel, p * direct_panel, sums + r * call.stride);
    for (; r < call.row_count; ++r)
      tiles.template operator()<1>(call, call.rows + r, panel, p * direct_panel, sums + r * call.stride);
  }
}

}  // namespace

void direct_int8(const DirectCall& call) noexcept {
  each_tile<4>(call, 64, []<int Rows>(auto&&... arguments) { int8_tile<Rows>(arguments...); });
}

void direct_wide(const DirectCall& call) noexcept {
  each_tile<6>(call, 32, []<int Rows>(auto&&... arguments) { wide_tile<Rows>(arguments...); });
}

void direct_narrow(const DirectCall& call) noexcept {
  if (call.narrow_steps == 1)
    each_tile<6>(call, 64, []<int Rows>(auto&&... arguments) { pairs_tile<Rows, false>(arguments...); });
  else if (call.narrow_steps < 8)  // faster than sums in memory up to 6, and as fast at 8 beside a busy neighbour
    each_tile<4>(call, 64, []<int Rows>(auto&&... arguments) { pairs_tile<Rows, true>(arguments...); });
  else
    each_tile<6>(call, 64, []<int Rows>(auto&&... arguments) { narrow_tile<Rows>(arguments...); });
}

void widen_codes(const std::uint8_t* codes, std::uint8_t* wide, std::int64_t count) noexcept {
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    store(wide + 2 * i, _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i))));
  for (; i < count; ++i) wide[2 * i] = codes[i], wide[2 * i + 1] = 0;
}

}  // namespace nnq::avx2
