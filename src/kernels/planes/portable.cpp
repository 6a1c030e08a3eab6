// The reference row: plain C++.
#include <bit>

#include "kernels/planes/planes.h"

namespace nnq::portable {

void plane_counts(const std::uint64_t* codes, int code_planes, const std::uint64_t* panels, int weight_planes,
                  std::int64_t words, std::int64_t panel_count, std::int32_t* counts, std::int64_t stride) noexcept {
  for (std::int64_t panel = 0; panel < panel_count; ++panel) {
    for (int p = 0; p < weight_planes; ++p) {
      const std::uint64_t* weights = panels + (panel * weight_planes + p) * words * plane_panel;
      for (int q = 0; q < code_planes; ++q) {
        const std::uint64_t* plane = codes + q * words;
        std::int32_t count[plane_panel] = {};
        for (std::int64_t k = 0; k < words; ++k) {
          if (plane[k] == 0) continue;  // small activations leave high planes empty
          for (std::int64_t o = 0; o < plane_panel; ++o)
            count[o] += std::popcount(plane[k] & weights[k * plane_panel + o]);
        }
        std::int32_t* to = counts + (p * code_planes + q) * stride + panel * plane_panel;
        for (std::int64_t o = 0; o < plane_panel; ++o) to[o] = count[o];
      }
    }
  }
}

}  // namespace nnq::portable
