// Thresholds of a uniform quantizer lie on a line, but for being whole numbers. Where a line of floats passes between
// every threshold and the sum before it, two float operations count the levels that a sum has passed.
#include <algorithm>
#include <array>

#include "kernels/epilogue/epilogue.h"

namespace nnq {
namespace {

constexpr std::size_t most_levels = 31;

struct Point {
  double x, y;
};

/// Negative where b lies above the line from a to c.
double turn(const Point& a, const Point& b, const Point& c) {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

/// The middle of the narrowest strip, seen along y, that holds all points: one of its sides is an edge of the hull.
/// x ascends.
ThresholdLine narrowest(std::span<const Point> points) {
  double least = 1e300, slope = 0, middle = 0;
  for (const double side : {1.0, -1.0}) {  // the hull's lower edges, then its upper ones
    std::array<Point, most_levels> hull;
    std::size_t n = 0;
    for (const Point& p : points) {
      while (n >= 2 && side * turn(hull[n - 2], hull[n - 1], p) <= 0) --n;
      hull[n++] = p;
    }
    for (std::size_t i = 0; i + 1 < n; ++i) {
      const double a = (hull[i + 1].y - hull[i].y) / (hull[i + 1].x - hull[i].x), near = hull[i].y - a * hull[i].x;
      double far = near;
      for (const Point& p : points) far = side > 0 ? std::max(far, p.y - a * p.x) : std::min(far, p.y - a * p.x);
      if (side * (far - near) >= least) continue;
      least = side * (far - near), slope = a, middle = (near + far) / 2;
    }
  }
  return {static_cast<float>(slope), static_cast<float>(middle), 0};
}

}  // namespace

bool threshold_line(std::span<const std::int32_t> limits, ThresholdLine& line) {
  if (limits.size() > most_levels) return false;
  std::array<Point, most_levels> points;
  for (std::size_t k = 0; k < limits.size(); ++k) {
    if (k > 0 && limits[k] <= limits[k - 1]) return false;
    points[k] = {limits[k] + 0.5, static_cast<double>(k + 1)};
  }
  if (limits.empty())
    line = {0, 0, 0};
  else if (limits.size() == 1)
    line = {1, static_cast<float>(1 - points[0].x), 0};
  else
    line = narrowest({points.data(), limits.size()});
  line.most = static_cast<float>(limits.size());
  // Conversion, product and sum never fall where the sum rises, so the sums beside the limits speak for all others.
  const auto value = [&](std::int32_t sum) { return static_cast<float>(sum) * line.a + line.b; };
  for (std::size_t k = 0; k < limits.size(); ++k) {
    const auto level = static_cast<float>(k + 1);
    if (!(value(limits[k]) < level && value(limits[k] + 1) >= level)) return false;
  }
  return true;
}

}  // namespace nnq
