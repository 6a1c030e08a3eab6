// What the sums of a layer start from, by output position.
#pragma once

#include <algorithm>
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
  const std::int32_t* at(std::int64_t oy, std::int64_t ox) const { return at(line(oy), ox); }
  /// Of a row of positions, and of one of them.
  const std::int32_t* line(std::int64_t oy) const {
    return values_.data() + pattern_y_[static_cast<std::size_t>(oy)] * columns_ * stride_;
  }
  const std::int32_t* at(const std::int32_t* line, std::int64_t ox) const {
    return line + pattern_x_[static_cast<std::size_t>(ox)] * stride_;
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
  const std::int64_t next = input.row_offset(0, 0, 1);
  std::int64_t ox = first % g.out_w, line = first / g.out_w;
  for (std::int64_t r = 0; r < count; ox = 0, ++line) {
    const std::int64_t oy = line % g.out_h, end = r + std::min(count - r, g.out_w - ox);
    const std::int32_t* const start = starts.line(oy) + column;
    const std::uint8_t* data = base + input.row_offset(line / g.out_h, oy, ox);
    for (; r < end; ++r, ++ox, data += next) rows[r] = {data, starts.at(start, ox)};
  }
}

}  // namespace nnq
