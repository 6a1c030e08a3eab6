// Thresholds in the order in which the kernels read them, and lines in their place.
//
// Thresholds of a uniform quantizer lie on a line, but for being whole numbers. Where a line of floats passes between
// every threshold and the sum before it, two float operations count the levels that a sum has passed.
#include <algorithm>
#include <array>
#include <limits>

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

void Thresholds::make(std::int64_t channel_count, std::int32_t level_count, const std::int32_t* thresholds,
                      const std::int8_t* direction, std::int32_t first, std::int32_t code_step, std::int32_t base) {
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min(),
                         never = std::numeric_limits<std::int32_t>::max();
  channels = channel_count, levels = level_count, step = code_step;
  const std::int64_t blocks = (channels + epilogue_block - 1) / epilogue_block;
  limits.assign(static_cast<std::size_t>(blocks * levels * epilogue_block), never);
  turn.assign(static_cast<std::size_t>(blocks * epilogue_block), 0);
  start.assign(turn.size(), static_cast<std::uint8_t>(first - base));
  narrow = true;
  for (std::int64_t c = 0; c < channels; ++c) {
    const bool falls = direction[c] < 0;
    turn[static_cast<std::size_t>(c)] = falls ? -1 : 0;
    turns = turns || falls;
    for (std::int32_t l = 0; l < levels; ++l) {
      const std::int32_t t = thresholds[c * levels + l];
      std::int32_t& limit =
          limits[static_cast<std::size_t>((c / epilogue_block * levels + l) * epilogue_block + c % epilogue_block)];
      if (t == (falls ? lowest : never)) continue;
      if (t == (falls ? never : lowest)) {  // always passed, and so are the levels before it
        start[static_cast<std::size_t>(c)] = static_cast<std::uint8_t>(start[static_cast<std::size_t>(c)] + step);
        continue;
      }
      limit = (falls ? -t : t) - 1;
      narrow = narrow && limit >= -32768 && limit <= 32766;
    }
  }
  always.assign(static_cast<std::size_t>(blocks), 0);
  for (std::size_t c = 0; c < start.size(); ++c)
    always[c / epilogue_block] |= start[c] != 0 ? 1U << c % epilogue_block : 0U;
  lines.assign(always.size(), 0);
  // Measured with AVX2: a line, which need not turn sums, costs as much as 6 comparisons of 16 bits, or 2 of 32.
  if (levels > (narrow ? (turns ? 2 : 6) : 1)) make_lines();
  if (!narrow) return;
  limits16.resize(limits.size());
  for (std::size_t i = 0; i < limits.size(); ++i)
    limits16[i] = static_cast<std::int16_t>(std::min<std::int32_t>(limits[i], 32767));
}

void Thresholds::make_lines() {
  for (std::vector<float>* line : {&line_a, &line_b, &line_most}) line->assign(turn.size(), 0);
  constexpr std::size_t lanes = epilogue_block;
  std::vector<std::int32_t> passable, before;
  ThresholdLine line{};
  bool found = false;
  for (std::size_t block = 0; block < lines.size(); ++block) {
    bool all = true;
    for (std::size_t c = block * lanes; all && c < std::min((block + 1) * lanes, static_cast<std::size_t>(channels));
         ++c) {
      passable.clear();
      for (std::int32_t l = 0; l < levels; ++l) {
        const std::int32_t limit =
            limits[(block * static_cast<std::size_t>(levels) + static_cast<std::size_t>(l)) * lanes + c % lanes];
        if (limit != std::numeric_limits<std::int32_t>::max()) passable.push_back(limit);
      }
      // All channels of a sum of codes have the same thresholds.
      if (c == 0 || passable != before) found = threshold_line(passable, line);
      std::swap(passable, before);
      all = found;
      line_a[c] = turn[c] < 0 ? -line.a : line.a;
      line_b[c] = line.b, line_most[c] = line.most;
    }
    lines[block] = all ? 1 : 0;
  }
}

}  // namespace nnq
