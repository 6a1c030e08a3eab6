// NEON rows: integers through the direct kernels, floats in tiles of 6 outputs times 16 columns.
#include <arm_neon.h>

#include <type_traits>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/through_direct.h"
#include "kernels/unrolled.h"

namespace nnq::neon {
namespace {

template <int Outputs>
inline void float_tile(const FloatCall& call, std::int64_t first, const float* panel, float* to) {
  const float* const w = call.w + first * call.row;
  float* const c = to + first * call.stride;
  float32x4_t sum[Outputs][4];
  unrolled<Outputs>([&](int o) {
    const float32x4_t start = vdupq_n_f32(call.bias != nullptr ? call.bias[first + o] : 0.0F);
    unrolled<4>([&](int i) { sum[o][i] = call.add ? vld1q_f32(c + o * call.stride + i * 4) : start; });
  });
  for (std::int64_t j = 0; j < call.k; ++j) {
    const float32x4_t x[4] = {vld1q_f32(panel + j * 16), vld1q_f32(panel + j * 16 + 4), vld1q_f32(panel + j * 16 + 8),
                              vld1q_f32(panel + j * 16 + 12)};
    unrolled<Outputs>([&](int o) {
      const float v = w[o * call.row + j];
      unrolled<4>([&](int i) { sum[o][i] = vfmaq_n_f32(sum[o][i], x[i], v); });
    });
  }
  const float32x4_t least = vdupq_n_f32(call.least);
  unrolled<Outputs>([&](int o) {
    unrolled<4>([&](int i) {
      // Not vmaxq: -0 stays -0, as everywhere.
      vst1q_f32(c + o * call.stride + i * 4, vbslq_f32(vcltq_f32(sum[o][i], least), least, sum[o][i]));
    });
  });
}

}  // namespace

void gemm_int8(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panels, std::int64_t rows,
               std::int64_t k4, std::int64_t panel_count, std::int32_t* sums, std::int64_t stride) noexcept {
  through_direct(direct_int8, a, row_bytes, reinterpret_cast<const std::uint8_t*>(panels), rows, k4, panel_count, sums,
                 stride);
}

void gemm_binary(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panels, std::int64_t rows,
                 std::int64_t k32, std::int64_t panel_count, std::int32_t* mismatches, std::int64_t stride) noexcept {
  through_direct(direct_binary, reinterpret_cast<const std::uint8_t*>(a), row_words * 4,
                 reinterpret_cast<const std::uint8_t*>(panels), rows, k32, panel_count, mismatches, stride);
  for (std::int64_t r = 0; r < rows; ++r) {  // these were -2 * mismatches
    for (std::int64_t o = 0; o < panel_count * panel_width; ++o) mismatches[r * stride + o] /= -2;
  }
}

void gemm_float(const FloatCall& call) noexcept {
  // Weights of a tile are fetched once for all panels.
  const auto tile = [&](auto outputs, std::int64_t o) {
    for (std::int64_t p = 0; p < call.panel_count; ++p)
      float_tile<outputs>(call, o, call.panels + p * call.k * 16, call.c + p * 16);
  };
  std::int64_t o = 0;
  for (; o + 6 <= call.outputs; o += 6) tile(std::integral_constant<int, 6>{}, o);
  for (; o < call.outputs; ++o) tile(std::integral_constant<int, 1>{}, o);
}

}  // namespace nnq::neon
