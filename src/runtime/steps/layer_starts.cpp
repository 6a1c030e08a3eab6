#include "runtime/steps/layer_starts.h"

#include <algorithm>

namespace nnq {
namespace {

/// The distinct sets of taps inside along one axis, and which of them each output position has.
std::vector<std::vector<bool>> patterns(const LayerGeometry& g, std::int64_t positions, std::int64_t kernel,
                                        std::int64_t size, std::int32_t difference, std::vector<std::size_t>& of,
                                        std::int64_t (LayerGeometry::*source)(std::int64_t, std::int64_t) const) {
  std::vector<std::vector<bool>> sets;
  for (std::int64_t o = 0; o < positions; ++o) {
    std::vector<bool> inside;
    for (std::int64_t k = 0; k < kernel; ++k)
      inside.push_back(difference == 0 || ((g.*source)(o, k) >= 0 && (g.*source)(o, k) < size));
    // Interior positions share their set with a neighbour.
    const auto found = std::find(sets.rbegin(), sets.rend(), inside);
    of.push_back(found == sets.rend() ? sets.size() : static_cast<std::size_t>(sets.rend() - found) - 1);
    if (found == sets.rend()) sets.push_back(std::move(inside));
  }
  return sets;
}

}  // namespace

void LayerStarts::make(const LayerGeometry& g, std::span<const std::int32_t> base,
                       std::span<const std::int32_t> tap_sums, std::int32_t difference) {
  stride_ = base.size();
  if (g.positions() == 0) return;  // batch 0: nothing asks, however wide the image
  const std::vector<std::vector<bool>> ys =
      patterns(g, g.out_h, g.window.kernel_h, g.in_h, difference, pattern_y_, &LayerGeometry::in_y);
  const std::vector<std::vector<bool>> xs =
      patterns(g, g.out_w, g.window.kernel_w, g.in_w, difference, pattern_x_, &LayerGeometry::in_x);
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

}  // namespace nnq
