#include "report/line_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nnq/error.h"
#include "report/escaped.h"

namespace nnq {
namespace {

constexpr double kWidth = 640, kHeight = 400, kLeft = 70, kRight = 620, kTop = 44, kBottom = 340;

/// Colours that people with any colour vision tell apart (Okabe, Ito 2008).
const char* color(std::size_t i) {
  static constexpr const char* colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
  return colors[i % std::size(colors)];
}

bool finite(const std::pair<double, double>& p) { return std::isfinite(p.first) && std::isfinite(p.second); }

/// Where values of an axis are drawn.
struct Axis {
  double low = 0, high = 1, from = 0, to = 1;
  double at(double v) const { return from + (v - low) / (high - low) * (to - from); }
};

Axis axis_of(double low, double high, double from, double to) {
  if (!(high > low)) high = low + std::max(1.0, std::abs(low));
  return {low, high, from, to};
}

/// 1, 2 or 5 times a power of ten that makes at most six intervals.
double tick_step(const Axis& axis) {
  const double rough = (axis.high - axis.low) / 6, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough) return factor * power;
  return 10 * power;
}

std::vector<double> ticks(const Axis& axis) {
  const double step = tick_step(axis);
  std::vector<double> values;
  for (double i = std::ceil(axis.low / step - 1e-9); i * step <= axis.high + 1e-9 * step; ++i)
    values.push_back(i == 0 ? 0 : i * step);
  return values;
}

std::string grid(const Axis& x, const Axis& y) {
  std::string out;
  for (const double v : ticks(y))
    out += fmt::format(
        "<line class='grid' x1='{0}' x2='{1}' y1='{2:.1f}' y2='{2:.1f}'/><text class='end' x='{3}' "
        "y='{4:.1f}'>{5:.6g}</text>\n",
        kLeft, kRight, y.at(v), kLeft - 8, y.at(v) + 4, v);
  for (const double v : ticks(x))
    out += fmt::format(
        "<line class='grid' x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}'/><text class='middle' x='{0:.1f}' "
        "y='{3}'>{4:.6g}</text>\n",
        x.at(v), kTop, kBottom, kBottom + 18, v);
  return out;
}

std::string level_lines(const std::vector<double>& levels, const Axis& y) {
  std::string out;
  for (const double v : levels)
    if (v >= y.low && v <= y.high)
      out += fmt::format("<line class='level' x1='{0}' x2='{1}' y1='{2:.1f}' y2='{2:.1f}'/>\n", kLeft, kRight, y.at(v));
  return out;
}

std::string curve(const PlotSeries& series, std::size_t number, const Axis& x, const Axis& y, bool steps) {
  std::string path, marks;
  double last = 0;
  for (const auto& point : series.points) {
    if (!finite(point)) continue;
    const double px = x.at(point.first), py = y.at(point.second);
    if (steps && !path.empty()) path += fmt::format(" {:.1f},{:.1f}", px, last);
    path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", px, py);
    if (!steps) marks += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='3.5' fill='{}'/>", px, py, color(number));
    last = py;
  }
  return fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='2'/>{}\n", path, color(number),
                     marks);
}

std::string legend(const std::vector<PlotSeries>& series) {
  std::size_t longest = 0;
  for (const PlotSeries& s : series) longest = std::max(longest, s.name.size());
  const double width = 40 + 7.2 * static_cast<double>(longest), left = kRight - width - 6;
  std::string out = fmt::format("<rect class='box' x='{:.1f}' y='{}' width='{:.1f}' height='{}' rx='3'/>\n", left,
                                kTop + 6, width, 10 + 18 * series.size());
  for (std::size_t i = 0; i < series.size(); ++i) {
    const double at = kTop + 20 + 18 * static_cast<double>(i);
    out += fmt::format(
        "<line x1='{0:.1f}' x2='{1:.1f}' y1='{2}' y2='{2}' stroke='{3}' stroke-width='3'/><text x='{4:.1f}' "
        "y='{5}'>{6}</text>\n",
        left + 8, left + 28, at, color(i), left + 34, at + 4, escaped(series[i].name));
  }
  return out;
}

}  // namespace

std::string to_svg(const LinePlot& plot) {
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
  for (const PlotSeries& series : plot.series) {
    for (const auto& point : series.points) {
      if (!finite(point)) continue;
      x_low = std::min(x_low, point.first);
      x_high = std::max(x_high, point.first);
      y_low = std::min(y_low, point.second);
      y_high = std::max(y_high, point.second);
    }
  }
  if (!(x_low <= x_high)) throw Error("a plot needs a point with finite values", plot.title);
  const Axis x = axis_of(x_low, x_high, kLeft, kRight);
  const Axis y = axis_of(std::isnan(plot.y_low) ? y_low : plot.y_low, std::isnan(plot.y_high) ? y_high : plot.y_high,
                         kBottom, kTop);
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {} {}' role='img' font-family='system-ui,sans-serif' "
      "font-size='13'>\n<title>{}</"
      "title>\n<style>text{{fill:#374151}}.grid{{stroke:#d1d5db}}.level{{stroke:#9ca3af;stroke-dasharray:4 "
      "3}}.end{{text-anchor:end}}"
      ".middle{{text-anchor:middle}}.box{{fill:#fff;fill-opacity:.85;stroke:#d1d5db}}.head{{font-size:15px;"
      "font-weight:600;text-anchor:middle}}</style>\n<rect width='{}' height='{}' fill='#fff'/>\n",
      kWidth, kHeight, escaped(plot.title), kWidth, kHeight);
  out += fmt::format("<text class='head' x='{}' y='26'>{}</text>\n", kWidth / 2, escaped(plot.title));
  out += grid(x, y) + level_lines(plot.levels, y);
  for (std::size_t i = 0; i < plot.series.size(); ++i) out += curve(plot.series[i], i, x, y, plot.steps);
  out += fmt::format("<text class='middle' x='{}' y='{}'>{}</text>\n", (kLeft + kRight) / 2, kBottom + 42,
                     escaped(plot.x_label));
  out += fmt::format("<text class='middle' transform='translate(22 {}) rotate(-90)'>{}</text>\n", (kTop + kBottom) / 2,
                     escaped(plot.y_label));
  return out + legend(plot.series) + "</svg>\n";
}

}  // namespace nnq
