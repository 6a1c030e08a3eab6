// Matrix products of packed operands, one table row an instruction set. All integer rows give the same sums, bit for
// bit.
//
// The weights are packed once, in panels of 16 output channels, so that one vector holds 16 channels: no horizontal
// additions.
//   int8    panel[k / 4][16][4]      int8, K padded with zeros to a multiple of 4
//   binary  panel[k / 32][16]        32 weight bits a word, bit 1 = +1, K padded with zero bits
//   float   roles turned: weights stay [out][k], the right operand comes in panels of 16 columns, panel[k][16]
//   double  as float, but summed in double: all rows give the same bits
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/cpu.h"

namespace nnq {

inline constexpr std::int64_t panel_width = 16;

/// sums[r * stride + o] = sum_k a[r][k] * w[o][k] for rows r and `panels` * 16 outputs. a: uint8, `row_bytes` apart, k4
/// * 4 bytes readable.
using Int8Gemm = void (*)(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panels, std::int64_t rows,
                          std::int64_t k4, std::int64_t panel_count, std::int32_t* sums, std::int64_t stride) noexcept;
/// mismatches[r * stride + o] = popcount(a[r] xor w[o]) over k32 words; rows are `row_words` 32-bit words apart.
using BinaryGemm = void (*)(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panels,
                            std::int64_t rows, std::int64_t k32, std::int64_t panel_count, std::int32_t* mismatches,
                            std::int64_t stride) noexcept;
inline constexpr float no_least = -std::numeric_limits<float>::infinity();
struct FloatCall {
  const float* w;  // [outputs][row], of which the first k are taken
  std::int64_t row, outputs, k;
  const float* panels;  // [panels][k][16]
  std::int64_t panel_count;
  std::int64_t columns;    // 1 to 16 of the last panel that anybody reads; the others of its 16 may be left as they are
  const float* bias;       // [outputs], or nullptr: 0
  bool add;                // to what c holds, and no bias
  float least = no_least;  // results below are raised to it; NaN stays
  float* c;
  std::int64_t stride;
};
/// c[o * stride + 16 p + j] = max(least, bias[o] + sum_k w[o][k] * panels[p][k][j]), k ascending, for all panels p and
/// columns j: adding a part of k after another gives the same bits as all at once.
using FloatGemm = void (*)(const FloatCall& call) noexcept;
/// c[o * stride + j] in double for the 16 columns of one panel, from +0 or bias[o], k ascending, then `+ last[j]` (16
/// columns), and rounded once to float. A product of floats is exact in double, so that a fused multiply-add rounds as
/// a product and a sum do. bias and last may be nullptr.
using DoubleGemm = void (*)(const float* w, std::int64_t outputs, std::int64_t k, const float* panel, const float* bias,
                            const double* last, float* c, std::int64_t stride) noexcept;

struct GemmKernels {
  Isa isa;
  const char* int8_name;
  Int8Gemm int8;
  const char* binary_name;
  BinaryGemm binary;
  const char* float_name;
  FloatGemm real;
  const char* double_name;
  DoubleGemm twofold;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const GemmKernels* gemm_table(std::size_t& rows);
/// The first row that `isa` can run.
const GemmKernels& gemm_kernels(Isa isa);

namespace portable {
void gemm_int8(const std::uint8_t*, std::size_t, const std::int8_t*, std::int64_t, std::int64_t, std::int64_t,
               std::int32_t*, std::int64_t) noexcept;
void gemm_binary(const std::uint32_t*, std::size_t, const std::uint32_t*, std::int64_t, std::int64_t, std::int64_t,
                 std::int32_t*, std::int64_t) noexcept;
void gemm_float(const FloatCall& call) noexcept;
void gemm_double(const float*, std::int64_t, std::int64_t, const float*, const float*, const double*, float*,
                 std::int64_t) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void gemm_int8(const std::uint8_t*, std::size_t, const std::int8_t*, std::int64_t, std::int64_t, std::int64_t,
               std::int32_t*, std::int64_t) noexcept;
void gemm_binary(const std::uint32_t*, std::size_t, const std::uint32_t*, std::int64_t, std::int64_t, std::int64_t,
                 std::int32_t*, std::int64_t) noexcept;
void gemm_float(const FloatCall& call) noexcept;
void gemm_double(const float*, std::int64_t, std::int64_t, const float*, const float*, const double*, float*,
                 std::int64_t) noexcept;
}  // namespace avx2
namespace avx512 {
void gemm_int8(const std::uint8_t*, std::size_t, const std::int8_t*, std::int64_t, std::int64_t, std::int64_t,
               std::int32_t*, std::int64_t) noexcept;
void gemm_binary(const std::uint32_t*, std::size_t, const std::uint32_t*, std::int64_t, std::int64_t, std::int64_t,
                 std::int32_t*, std::int64_t) noexcept;
void gemm_float(const FloatCall& call) noexcept;
}  // namespace avx512
#endif
#if defined(__aarch64__)
namespace neon {
void gemm_int8(const std::uint8_t*, std::size_t, const std::int8_t*, std::int64_t, std::int64_t, std::int64_t,
               std::int32_t*, std::int64_t) noexcept;
void gemm_binary(const std::uint32_t*, std::size_t, const std::uint32_t*, std::int64_t, std::int64_t, std::int64_t,
                 std::int32_t*, std::int64_t) noexcept;
void gemm_float(const FloatCall& call) noexcept;
}  // namespace neon
namespace neon_dot {
void gemm_int8(const std::uint8_t*, std::size_t, const std::int8_t*, std::int64_t, std::int64_t, std::int64_t,
               std::int32_t*, std::int64_t) noexcept;
}
#endif

}  // namespace nnq
