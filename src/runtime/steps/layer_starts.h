// What the sums of a layer start from, by output position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/steps/layer_input.h"

namespace nnq {

/// Channel sums of what borders add: the stated border value differs from the byte under the window.
class LayerStarts {
 public:
  /// base: [stride] sums start from this. tap_sums: [taps][stride] sums of weights. difference: stated border value
  /// minus what the kernel sees there.
  void make(const LayerGeometry& g, std::span<const std::int32_t> base, std::span<const std::int32_t> tap_sums,
            std::int32_t difference);
  const std::int32_t* at(std::int64_t oy, std::int64_t ox) const {
    return values_.data() +
           (pattern_y_[static_cast<std::size_t>(oy)] * columns_ + pattern_x_[static_cast<std::size_t>(ox)]) * stride_;
  }

 private:
  std::vector<std::int32_t> values_;
  std::vector<std::size_t> pattern_y_, pattern_x_;
  std::size_t stride_ = 0, columns_ = 1;
};

/// The rows of output positions first .. first + count - 1 of one group whose columns begin at `column`.
inline void fill_rows(const LayerGeometry& g, const LayerInput& input, const LayerStarts& starts,
                      const std::byte* scratch, std::int64_t first, std::int64_t count, std::int64_t group,
                      std::int64_t column, DirectRow* rows) {
  const std::uint8_t* const base = input.first_row(scratch, group);
  std::int64_t ox = first % g.out_w, oy = first / g.out_w % g.out_h, image = first / g.out_w / g.out_h;
  for (std::int64_t r = 0; r < count; ++r) {
    rows[r] = {base + input.row_offset(image, oy, ox), starts.at(oy, ox) + column};
    if (++ox < g.out_w) continue;
    ox = 0;
    if (++oy < g.out_h) continue;
    oy = 0;
    ++image;
  }
}

}  // namespace nnq
