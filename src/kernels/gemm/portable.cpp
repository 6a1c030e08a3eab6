// The reference rows: plain C++ that any compiler vectorises somewhat.
#include <bit>

#include "kernels/gemm/gemm.h"

namespace nnq::portable {

void gemm_int8(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panels, std::int64_t rows,
               std::int64_t k4, std::int64_t panel_count, std::int32_t* sums, std::int64_t stride) noexcept {
  for (std::int64_t p = 0; p < panel_count; ++p) {
    const std::int8_t* panel = panels + p * k4 * 64;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::uint8_t* row = a + static_cast<std::size_t>(r) * row_bytes;
      std::int32_t sum[16] = {};
      for (std::int64_t k = 0; k < k4; ++k) {
        const std::int8_t* w = panel + k * 64;
        const std::int32_t a0 = row[4 * k], a1 = row[4 * k + 1], a2 = row[4 * k + 2], a3 = row[4 * k + 3];
        if ((a0 | a1 | a2 | a3) == 0) continue;  // zero activations are common behind a ReLU
        for (int o = 0; o < 16; ++o)
          sum[o] += a0 * w[4 * o] + a1 * w[4 * o + 1] + a2 * w[4 * o + 2] + a3 * w[4 * o + 3];
      }
      for (int o = 0; o < 16; ++o) sums[r * stride + p * 16 + o] = sum[o];
    }
  }
}

void gemm_binary(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panels, std::int64_t rows,
                 std::int64_t k32, std::int64_t panel_count, std::int32_t* mismatches, std::int64_t stride) noexcept {
  for (std::int64_t p = 0; p < panel_count; ++p) {
    const std::uint32_t* panel = panels + p * k32 * 16;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::uint32_t* row = a + static_cast<std::size_t>(r) * row_words;
      std::int32_t count[16] = {};
      for (std::int64_t k = 0; k + 1 < k32; k += 2) {
        const std::uint64_t low = row[k], high = row[k + 1];
        const std::uint32_t *w0 = panel + k * 16, *w1 = w0 + 16;
        for (int o = 0; o < 16; ++o) count[o] += std::popcount((low ^ w0[o]) | ((high ^ w1[o]) << 32));
      }
      if (k32 % 2 != 0) {
        for (int o = 0; o < 16; ++o) count[o] += std::popcount(row[k32 - 1] ^ panel[(k32 - 1) * 16 + o]);
      }
      for (int o = 0; o < 16; ++o) mismatches[r * stride + p * 16 + o] = count[o];
    }
  }
}

void gemm_float(const float* w, std::int64_t outputs, std::int64_t k, const float* panel, const float* bias, float* c,
                std::int64_t stride) noexcept {
  for (std::int64_t o = 0; o < outputs; ++o) {
    float sum[16];
    for (int j = 0; j < 16; ++j) sum[j] = bias != nullptr ? bias[o] : 0.0f;
    for (std::int64_t i = 0; i < k; ++i) {
      const float v = w[o * k + i];
      for (int j = 0; j < 16; ++j) sum[j] += v * panel[i * 16 + j];
    }
    for (int j = 0; j < 16; ++j) c[o * stride + j] = sum[j];
  }
}

}  // namespace nnq::portable
