// The rows that run everywhere: C++ that compilers turn into the baseline's vectors.
#include <algorithm>
#include <cstring>

#include "kernels/gemm/gemm.h"
#include "kernels/portable_dot.h"
#include "kernels/portable_popcount.h"
#include "kernels/portable_vector.h"

namespace nnq::portable {

void gemm_int8(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panels, std::int64_t rows,
               std::int64_t k4, std::int64_t panel_count, std::int32_t* sums, std::int64_t stride) noexcept {
  DotBlock block;
  std::int64_t offsets[dot_units];
  for (std::int64_t k = 0; k < dot_units; ++k) offsets[k] = 4 * k;
  for (std::int64_t r0 = 0; r0 < rows; r0 += dot_rows) {
    const std::int64_t count = std::min(dot_rows, rows - r0);
    std::int32_t* const to = sums + r0 * stride;
    for (std::int64_t r = 0; r < count; ++r) std::fill_n(to + r * stride, panel_count * panel_width, 0);
    for (std::int64_t k = 0; k < k4; k += dot_units) {
      const std::int64_t units = std::min(dot_units, k4 - k), depth = dot_padded(units);
      for (std::int64_t r = 0; r < count; ++r)
        dot_widen_row(a + static_cast<std::size_t>(r0 + r) * row_bytes + 4 * k, offsets, units, block.a[r]);
      for (std::int64_t p = 0; p < panel_count; ++p) {
        dot_widen_panel(panels + (p * k4 + k) * 64, units, block);
        dot_add(block, count, depth, to + p * panel_width, stride);
      }
    }
  }
}

void gemm_binary(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panels, std::int64_t rows,
                 std::int64_t k32, std::int64_t panel_count, std::int32_t* mismatches, std::int64_t stride) noexcept {
  Words4 x[count_words];  // each word of the row in all lanes, for all outputs
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int32_t* const counts = mismatches + r * stride;
    std::fill_n(counts, panel_count * panel_width, 0);
    for (std::int64_t first = 0; first < k32; first += count_words) {
      const std::int64_t words = std::min(count_words, k32 - first);
      const std::uint32_t* row = a + static_cast<std::size_t>(r) * row_words + first;
      for (std::int64_t k = 0; k < words; ++k) x[k] = Words4{} + row[k];
      for (std::int64_t o = 0; o < panel_count * panel_width; o += 4) {
        const std::uint32_t* w = panels + (o / panel_width * k32 + first) * panel_width + o % panel_width;
        const Words4 count =
            count_bits(words, [&](std::int64_t k) { return x[k] ^ load_vector<Words4>(w + k * panel_width); });
        for (std::int64_t i = 0; i < 4; ++i) counts[o + i] += static_cast<std::int32_t>(count[i]);
      }
    }
  }
}

void gemm_float(const FloatCall& call) noexcept {
  using Four = float __attribute__((vector_size(16)));
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    for (std::int64_t o = 0; o < call.outputs; ++o) {
      const float* const w = call.w + o * call.row;
      const float* panel = call.panels + p * call.k * 16;
      float* const c = call.c + o * call.stride + p * 16;
      if (!call.add) std::fill_n(c, 16, call.bias != nullptr ? call.bias[o] : 0.0f);
      Four s0 = load_vector<Four>(c), s1 = load_vector<Four>(c + 4), s2 = load_vector<Four>(c + 8),
           s3 = load_vector<Four>(c + 12);
      for (std::int64_t i = 0; i < call.k; ++i, panel += 16) {
        s0 += w[i] * load_vector<Four>(panel);
        s1 += w[i] * load_vector<Four>(panel + 4);
        s2 += w[i] * load_vector<Four>(panel + 8);
        s3 += w[i] * load_vector<Four>(panel + 12);
      }
      const Four least = Four{} + call.least;
      s0 = s0 < least ? least : s0;
      s1 = s1 < least ? least : s1;
      s2 = s2 < least ? least : s2;
      s3 = s3 < least ? least : s3;
      std::memcpy(c, &s0, sizeof s0);
      std::memcpy(c + 4, &s1, sizeof s1);
      std::memcpy(c + 8, &s2, sizeof s2);
      std::memcpy(c + 12, &s3, sizeof s3);
    }
  }
}

void gemm_double(const float* w, std::int64_t outputs, std::int64_t k, const float* panel, const float* bias,
                 const double* last, float* c, std::int64_t stride) noexcept {
  for (std::int64_t o = 0; o < outputs; ++o) {
    double sum[16];
    for (int j = 0; j < 16; ++j) sum[j] = bias != nullptr ? static_cast<double>(bias[o]) : 0.0;
    for (std::int64_t i = 0; i < k; ++i) {
      const double v = static_cast<double>(w[o * k + i]);
      for (int j = 0; j < 16; ++j) sum[j] += v * static_cast<double>(panel[i * 16 + j]);
    }
    for (int j = 0; j < 16 && last != nullptr; ++j) sum[j] += last[j];
    for (int j = 0; j < 16; ++j) c[o * stride + j] = static_cast<float>(sum[j]);
  }
}

}  // namespace nnq::portable
