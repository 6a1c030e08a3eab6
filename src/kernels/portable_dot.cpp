#include "kernels/portable_dot.h"

#include <cstring>

#include "kernels/portable_vector.h"

namespace nnq::portable {
namespace {

constexpr std::int64_t vector_values = 8;

/// Two rows times four outputs: eight sums live in registers, each value loaded is used two or four times.
void add_two_rows(const std::int16_t* __restrict a0, const std::int16_t* __restrict a1,
                  const std::int16_t* __restrict w, std::int64_t depth, std::int32_t* __restrict sums0,
                  std::int32_t* __restrict sums1) {
  const std::int16_t* __restrict w0 = w, * __restrict w1 = w + dot_depth, * __restrict w2 = w + 2 * dot_depth, * __restrict w3 = w + 3 * dot_depth;
  std::int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
  for (std::int64_t k = 0; k < depth / vector_values * vector_values; ++k) {
    s00 += a0[k] * w0[k], s01 += a0[k] * w1[k], s02 += a0[k] * w2[k], s03 += a0[k] * w3[k];
    s10 += a1[k] * w0[k], s11 += a1[k] * w1[k], s12 += a1[k] * w2[k], s13 += a1[k] * w3[k];
  }
  sums0[0] += s00, sums0[1] += s01, sums0[2] += s02, sums0[3] += s03;
  sums1[0] += s10, sums1[1] += s11, sums1[2] += s12, sums1[3] += s13;
}

void add_one_row(const std::int16_t* __restrict a, const std::int16_t* __restrict w, std::int64_t depth,
                 std::int32_t* __restrict sums) {
  const std::int16_t* __restrict w0 = w, * __restrict w1 = w + dot_depth, * __restrict w2 = w + 2 * dot_depth, * __restrict w3 = w + 3 * dot_depth;
  std::int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (std::int64_t k = 0; k < depth / vector_values * vector_values; ++k)
    s0 += a[k] * w0[k], s1 += a[k] * w1[k], s2 += a[k] * w2[k], s3 += a[k] * w3[k];
  sums[0] += s0, sums[1] += s1, sums[2] += s2, sums[3] += s3;
}

/// Each byte twice, and an arithmetic shift: 16 bytes as 16-bit numbers.
inline void store_widened(Words4 four, std::int16_t* to) {
  const auto v = reinterpret_cast<Bytes16>(four);
  const auto low = reinterpret_cast<Halves8>(
                       __builtin_shufflevector(v, v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)) >>
                   8,
             high = reinterpret_cast<Halves8>(
                        __builtin_shufflevector(v, v, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)) >>
                    8;
  std::memcpy(to, &low, 16);
  std::memcpy(to + 8, &high, 16);
}

/// Four units of four outputs: from [unit][output] to [output][unit], widened.
inline void widen_four_by_four(const std::int8_t* from, std::int16_t* to) {
  const auto r0 = load_vector<Words4>(from), r1 = load_vector<Words4>(from + 64), r2 = load_vector<Words4>(from + 128),
             r3 = load_vector<Words4>(from + 192);
  const Words4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5),
               c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  store_widened(__builtin_shufflevector(a, b, 0, 1, 4, 5), to);
  store_widened(__builtin_shufflevector(a, b, 2, 3, 6, 7), to + dot_depth);
  store_widened(__builtin_shufflevector(c, d, 0, 1, 4, 5), to + 2 * dot_depth);
  store_widened(__builtin_shufflevector(c, d, 2, 3, 6, 7), to + 3 * dot_depth);
}

}  // namespace

std::int64_t dot_padded(std::int64_t units) { return (units * 4 + vector_values - 1) / vector_values * vector_values; }

void dot_widen_row(const std::uint8_t* data, const std::int64_t* offsets, std::int64_t units, std::int16_t* to) {
  std::uint8_t bytes[dot_depth];
  for (std::int64_t k = 0; k < units; ++k) std::memcpy(bytes + 4 * k, data + offsets[k], 4);
  const std::int64_t depth = dot_padded(units);
  std::memset(bytes + 4 * units, 0, static_cast<std::size_t>(depth - 4 * units));
  for (std::int64_t i = 0; i < depth; ++i) to[i] = bytes[i];
}

void dot_widen_panel(const std::int8_t* panel, std::int64_t units, DotBlock& block) {
  const std::int64_t depth = dot_padded(units);
  for (std::int64_t o = 0; o < dot_outputs; o += 4) {
    std::int64_t k = 0;
    for (; k + 4 <= units; k += 4) widen_four_by_four(panel + (k * dot_outputs + o) * 4, block.w[o] + 4 * k);
    for (std::int64_t c = o; c < o + 4; ++c) {
      std::int16_t* const to = block.w[c];
      for (std::int64_t i = 4 * k; i < 4 * units; ++i) to[i] = panel[(i / 4 * dot_outputs + c) * 4 + i % 4];
      for (std::int64_t i = 4 * units; i < depth; ++i) to[i] = 0;
    }
  }
}

void dot_add(const DotBlock& block, std::int64_t rows, std::int64_t depth, std::int32_t* sums, std::int64_t stride) {
  std::int64_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    for (std::int64_t o = 0; o < dot_outputs; o += 4)
      add_two_rows(block.a[r], block.a[r + 1], block.w[o], depth, sums + r * stride + o, sums + (r + 1) * stride + o);
  }
  if (r < rows) {
    for (std::int64_t o = 0; o < dot_outputs; o += 4) add_one_row(block.a[r], block.w[o], depth, sums + r * stride + o);
  }
}

}  // namespace nnq::portable
