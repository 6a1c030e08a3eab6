// Samples and weights of one axis of a Resize.
#include <algorithm>
#include <cmath>

#include "ops/support/check.h"
#include "ops/support/resize.h"

namespace nnq::ops {
namespace {

double nearest_index(ResizeNearest mode, double x) {
  switch (mode) {
    case ResizeNearest::round_prefer_floor:
      return std::ceil(x - 0.5);
    case ResizeNearest::round_prefer_ceil:
      return std::floor(x + 0.5);
    case ResizeNearest::floor:
      return std::floor(x);
    case ResizeNearest::ceil:
      return std::ceil(x);
  }
  return x;
}

/// Keys' cubic convolution kernel with parameter a.
double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

}  // namespace

double resize_position(ResizeCoordinates c, const ResizeAxis& a, std::int64_t i) {
  const auto x = static_cast<double>(i), in = static_cast<double>(a.in), out = static_cast<double>(a.out);
  switch (c) {
    case ResizeCoordinates::half_pixel:
      return (x + 0.5) / a.scale - 0.5;
    case ResizeCoordinates::half_pixel_symmetric:
      return in / 2 * (1 - out / (a.scale * in)) + (x + 0.5) / a.scale - 0.5;
    case ResizeCoordinates::pytorch_half_pixel:
      return a.out > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
    case ResizeCoordinates::align_corners:
      return a.out > 1 ? x * (in - 1) / (out - 1) : 0;
    case ResizeCoordinates::asymmetric:
      return x / a.scale;
    case ResizeCoordinates::tf_half_pixel_for_nn:
      return (x + 0.5) / a.scale;
    case ResizeCoordinates::tf_crop_and_resize:
      return a.out > 1 ? a.from * (in - 1) + x * (a.to - a.from) * (in - 1) / (out - 1)
                       : 0.5 * (a.from + a.to) * (in - 1);
  }
  return x;
}

std::vector<std::size_t> resize_order(const std::vector<ResizeAxis>& plan, bool crop) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (plan[i].in != plan[i].out || plan[i].scale != 1 || crop) order.push_back(i);
  }
  const auto ratio = [](const ResizeAxis& a) { return static_cast<double>(a.out) / static_cast<double>(a.in); };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return ratio(plan[a]) < ratio(plan[b]); });
  return order;
}

Status make_resize_table(const Node& node, const ResizeStyle& style, const ResizeAxis& a, ResizeTable& table) {
  const double support = style.mode == ResizeMode::cubic ? 2 : 1;
  const double squeeze = style.antialias && style.mode != ResizeMode::nearest ? std::min(a.scale, 1.0) : 1.0;
  const double reach = std::floor(-support / squeeze) + 1;  // first tap relative to floor(x)
  const double taps = style.mode == ResizeMode::nearest ? 1 : 2 - 2 * reach;
  // A tap is read for each input about four times when shrinking; far more means a scale that contradicts the extents.
  NNQ_REQUIRE(taps >= 1 && taps * static_cast<double>(a.out) <= 16.0 * static_cast<double>(a.in + a.out) + 1024,
              title(node), ": scale ", a.scale, " does not fit extents ", a.in, " and ", a.out);
  table.taps = static_cast<std::int64_t>(taps);
  table.index.resize(static_cast<std::size_t>(table.taps * a.out));
  table.weight.assign(table.index.size(), 1.0);
  const auto last = static_cast<double>(a.in - 1);
  for (std::int64_t o = 0; o < a.out; ++o) {
    const double x = resize_position(style.coordinates, a, o);
    std::int64_t* index = table.index.data() + o * table.taps;
    double* weight = table.weight.data() + o * table.taps;
    if (style.mode == ResizeMode::nearest) {
      index[0] = static_cast<std::int64_t>(std::clamp(nearest_index(style.nearest, x), 0.0, last));
      continue;
    }
    const double base = std::floor(x);
    double sum = 0;
    for (std::int64_t t = 0; t < table.taps; ++t) {
      const double position = base + reach + static_cast<double>(t), distance = (position - x) * squeeze;
      weight[t] =
          style.mode == ResizeMode::cubic ? cubic(distance, style.cubic_a) : std::max(0.0, 1 - std::abs(distance));
      if (style.exclude_outside && (position < 0 || position > last)) weight[t] = 0;
      index[t] = static_cast<std::int64_t>(std::clamp(position, 0.0, last));
      sum += weight[t];
    }
    if (style.antialias || style.exclude_outside) {
      for (std::int64_t t = 0; t < table.taps; ++t) weight[t] = sum != 0 ? weight[t] / sum : 0;
    }
  }
  return {};
}

}  // namespace nnq::ops
