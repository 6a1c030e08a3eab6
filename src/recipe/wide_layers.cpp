#include "recipe/wide_layers.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "quantize/layers.h"
#include "quantize/rules.h"

namespace nnq::recipe {
namespace {

constexpr double exact_integers = 1 << 24;  // float32 sums of integers below are exact
constexpr double margin = 1.25;             // calibration may clip the largest weights, training may move them

/// The most that the weights of one output can add up to, in units of that output's largest weight.
double widest_output(const Tensor& weight, bool rows_are_outputs) {
  const Shape& shape = weight.shape();
  const std::int64_t outputs = rows_are_outputs ? shape[0] : shape.back(), each = weight.count() / outputs;
  double widest = 0;
  for (std::int64_t o = 0; o < outputs; ++o) {
    double positive = 0, negative = 0, largest = 0;
    for (std::int64_t i = 0; i < each; ++i) {
      const auto w = static_cast<double>(weight.as<float>()[rows_are_outputs ? o * each + i : i * outputs + o]);
      (w > 0 ? positive : negative) += std::abs(w);
      largest = std::max(largest, std::abs(w));
    }
    if (largest > 0) widest = std::max(widest, std::max(positive, negative) / largest);
  }
  return widest;
}

}  // namespace

std::vector<LayerRule> rules_of_wide_layers(const Graph& graph, const std::vector<LayerRule>& rules) {
  const std::map<std::string, LayerRule> resolved = quantize::resolve_rules(graph, rules);
  std::vector<LayerRule> more;
  for (const std::size_t index : quantize::layers_of(graph)) {
    const Node& node = graph.nodes[index];
    if (quantize::is_recurrent(node)) continue;  // not integer sums
    const auto found = resolved.find(node.name);
    const Tensor* weight = graph.initializer(node.inputs[1]);
    if (found == resolved.end() || weight == nullptr || weight->dtype() != DType::f32 || weight->count() == 0 ||
        node.is("ConvTranspose"))
      continue;
    LayerRule rule = found->second;
    if (rule.weights.method != "uniform" || rule.activations.method.empty()) continue;
    const bool rows = node.is("Conv") || (node.is("Gemm") && node.get_int("transB", 0) != 0);
    const double sums = margin * widest_output(*weight, rows) * ((1 << rule.activations.bits) - 1);
    const int before = rule.weights.bits;
    while (rule.weights.bits > 2 && sums * (1 << (rule.weights.bits - 1)) >= exact_integers) --rule.weights.bits;
    if (rule.weights.bits == before) continue;
    fmt::print(stderr, "{}: {} instead of {} bits for its weights, so that its sums stay exact integers\n", node.name,
               rule.weights.bits, before);
    rule.glob = node.name;
    more.push_back(std::move(rule));
  }
  return more;
}

}  // namespace nnq::recipe
