#include "cli/transfer_plot.h"

#include <fmt/format.h>

#include "cli/training.h"
#include "nnq/error.h"
#include "report/line_plot.h"

namespace nnq::cli {
namespace {

constexpr std::size_t kMostMarks = 32;

const TransferApi& transfer() {
  const auto* api = dynamic_cast<const TransferApi*>(&training());
  if (api == nullptr) throw Error("this build of libnnq_train.so draws no methods", {}, "install nnq as a whole", true);
  return *api;
}

/// Where y changes, and the ends: between them the plot is constant anyway.
PlotSeries changes(const std::string& name, const std::vector<double>& x, const std::vector<double>& y) {
  PlotSeries series{name, {}};
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i == 0 || i + 1 == x.size() || y[i] != y[i - 1]) series.points.emplace_back(x[i], y[i]);
  return series;
}

}  // namespace

TransferPlot plot_transfer(const MethodInfo& info, const TransferRequest& request) {
  if (info.kind != "quantizer") throw Error("is no quantizer: there is nothing to draw", "method '" + info.id + "'");
  const TransferCurve curve = transfer().transfer(request);
  LinePlot plot;
  plot.title = fmt::format("{}, {} of {} bit{}", info.id, request.role == "weight" ? "weights" : "activations",
                           request.bits, request.bits == 1 ? "" : "s");
  plot.x_label = request.role == "weight" ? "value x (normally distributed weights)" : "value x";
  plot.y_label = "quantized value, gradient";
  plot.series = {changes("quantized x", curve.x, curve.value), changes("gradient", curve.x, curve.gradient)};
  plot.steps = true;
  if (curve.levels.size() <= kMostMarks) plot.levels = curve.levels;
  return {to_svg(plot), curve.levels};
}

std::map<std::string, std::string> parse_parameters(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> values;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw Error("'" + text + "' is not KEY=VALUE", "--set", "e.g. --set steps=20; nnq methods NAME lists the keys");
    values[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return values;
}

}  // namespace nnq::cli
