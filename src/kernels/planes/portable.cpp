// The reference row: plain C++ on vectors of 16 bytes, two outputs each.
#include <algorithm>

#include "kernels/planes/planes.h"
#include "kernels/portable_popcount.h"

namespace nnq::portable {

void plane_counts(const std::uint64_t* codes, int code_planes, const std::uint64_t* panels, int weight_planes,
                  std::int64_t words, std::int64_t panel_count, std::int32_t* counts, std::int64_t stride) noexcept {
  Words4 x[count_words];  // each 64-bit word twice
  for (int q = 0; q < code_planes; ++q) {
    for (std::int64_t first = 0; first < words || first == 0; first += count_words) {
      const std::int64_t n = std::min(count_words, words - first);
      for (std::int64_t k = 0; k < n; ++k) {
        const std::uint64_t both[2] = {codes[q * words + first + k], codes[q * words + first + k]};
        x[k] = load_vector<Words4>(both);
      }
      for (std::int64_t panel = 0; panel < panel_count; ++panel) {
        for (int p = 0; p < weight_planes; ++p) {
          const std::uint64_t* w = panels + ((panel * weight_planes + p) * words + first) * plane_panel;
          std::int32_t* to = counts + (p * code_planes + q) * stride + panel * plane_panel;
          for (std::int64_t o = 0; o < plane_panel; o += 2) {
            const Words4 count =
                count_bits(n, [&](std::int64_t k) { return x[k] & load_vector<Words4>(w + k * plane_panel + o); });
            for (std::int64_t i = 0; i < 2; ++i)
              to[o + i] = (first == 0 ? 0 : to[o + i]) + static_cast<std::int32_t>(count[2 * i] + count[2 * i + 1]);
          }
        }
      }
    }
  }
}

void plane_combine(const PlaneTerm* terms, std::int64_t count, std::int64_t outputs, float* y) noexcept {
  for (std::int64_t o = 0; o < outputs; o += plane_panel) {
    double sum[plane_panel] = {};
    for (const PlaneTerm* t = terms; t < terms + count; ++t) {
      std::int32_t v[plane_panel];
      for (std::int64_t i = 0; i < plane_panel; ++i) v[i] = t->constant;
      if (t->sums != nullptr) {
        for (std::int64_t i = 0; i < plane_panel; ++i) v[i] += t->factor * t->sums[o + i];
      }
      if (t->set != nullptr) {
        for (std::int64_t i = 0; i < plane_panel; ++i) v[i] -= t->per_set * t->set[o + i];
      }
      for (std::int64_t i = 0; i < plane_panel; ++i) {
        const double product = t->coefficient[o + i] * static_cast<double>(v[i]);
        sum[i] += product;
      }
    }
    for (std::int64_t i = 0; i < plane_panel; ++i) y[o + i] = static_cast<float>(sum[i]);
  }
}

}  // namespace nnq::portable
