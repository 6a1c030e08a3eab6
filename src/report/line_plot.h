// A line plot as a small SVG: axes with ticks, labels, legend; readable on light and dark pages.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace nnq {

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x, y; drawn in this order
};

struct LinePlot {
  static constexpr double automatic = std::numeric_limits<double>::quiet_NaN();

  std::string title, x_label, y_label;
  std::vector<PlotSeries> series;
  double y_low = automatic, y_high = automatic;  // automatic: from the points
  bool steps = false;                            // constant between two points (transfer functions)
  std::vector<double> levels = {};               // y values marked by dashed lines
};

/// The plot as the text of an SVG file. The same plot gives the same bytes. Points that are not finite are left out;
/// throws nnq::Error when no point is left.
std::string to_svg(const LinePlot& plot);

}  // namespace nnq
