// NEON rows: integers through the direct kernels, floats in tiles of 6 outputs times 16 columns.
#include <arm_neon.h>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/through_direct.h"
#include "kernels/unrolled.h"

namespace nnq::neon {
namespace {

template <int Outputs>
inline void float_tile(const float* w, std::int64_t k, const float* panel, const float* bias, float* c,
                       std::int64_t stride) {
  float32x4_t sum[Outputs][4];
  unrolled<Outputs>([&](int o) {
    const float32x4_t start = vdupq_n_f32(bias != nullptr ? bias[o] : 0.0F);
    unrolled<4>([&](int i) { sum[o][i] = start; });
  });
  for (std::int64_t j = 0; j < k; ++j) {
    const float32x4_t x[4] = {vld1q_f32(panel + j * 16), vld1q_f32(panel + j * 16 + 4), vld1q_f32(panel + j * 16 + 8),
                              vld1q_f32(panel + j * 16 + 12)};
    unrolled<Outputs>([&](int o) {
      const float v = w[o * k + j];
      unrolled<4>([&](int i) { sum[o][i] = vfmaq_n_f32(sum[o][i], x[i], v); });
    });
  }
  unrolled<Outputs>([&](int o) { unrolled<4>([&](int i) { vst1q_f32(c + o * stride + i * 4, sum[o][i]); }); });
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

void gemm_float(const float* w, std::int64_t outputs, std::int64_t k, const float* panel, const float* bias, float* c,
                std::int64_t stride) noexcept {
  std::int64_t o = 0;
  for (; o + 6 <= outputs; o += 6)
    float_tile<6>(w + o * k, k, panel, bias != nullptr ? bias + o : nullptr, c + o * stride, stride);
  for (; o < outputs; ++o)
    float_tile<1>(w + o * k, k, panel, bias != nullptr ? bias + o : nullptr, c + o * stride, stride);
}

}  // namespace nnq::neon
