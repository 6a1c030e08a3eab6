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
            std::int32_t difference) {
    stride_ = base.size();
    if (g.positions() == 0) return;  // batch 0: nothing asks, however wide the image
    const std::vector<std::vector<bool>> ys = patterns(g.out_h, g.window.kernel_h, g.in_h, difference, pattern_y_,
                                                       [&](std::int64_t o, std::int64_t k) { return g.in_y(o, k); });
    const std::vector<std::vector<bool>> xs = patterns(g.out_w, g.window.kernel_w, g.in_w, difference, pattern_x_,
                                                       [&](std::int64_t o, std::int64_t k) { return g.in_x(o, k); });
    columns_ = xs.size();
    for (const std::vector<bool>& y : ys) {
      for (const std::vector<bool>& x : xs) {
        std::vector<std::int32_t> start(base.begin(), base.end());
        for (std::size_t t = 0; difference != 0 && t < y.size() * x.size(); ++t) {
          if (y[t / x.size()] && x[t % x.size()]) continue;
          for (std::size_t o = 0; o < stride_; ++o) start[o] += difference * tap_sums[t * stride_ + o];
        }
        values_.insert(values_.end(), start.begin(), start.end());
      }
    }
  }
  const std::int32_t* at(std::int64_t oy, std::int64_t ox) const {
    return values_.data() +
           (pattern_y_[static_cast<std::size_t>(oy)] * columns_ + pattern_x_[static_cast<std::size_t>(ox)]) * stride_;
  }

 private:
  /// The distinct sets of taps inside along one axis, and which of them each output position has.
  template <class F>
  static std::vector<std::vector<bool>> patterns(std::int64_t positions, std::int64_t kernel, std::int64_t size,
                                                 std::int32_t difference, std::vector<std::size_t>& of, F&& source) {
    std::vector<std::vector<bool>> sets;
    for (std::int64_t o = 0; o < positions; ++o) {
      std::vector<bool> inside;
      for (std::int64_t k = 0; k < kernel; ++k)
        inside.push_back(difference == 0 || (source(o, k) >= 0 && source(o, k) < size));
      // Interior positions share their set with a neighbour.
      const auto found = std::find(sets.rbegin(), sets.rend(), inside);
      of.push_back(found == sets.rend() ? sets.size() : static_cast<std::size_t>(sets.rend() - found) - 1);
      if (found == sets.rend()) sets.push_back(std::move(inside));
    }
    return sets;
  }

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
