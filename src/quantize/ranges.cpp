#include "quantize/ranges.h"

#include <algorithm>

#include "nnq/dataset.h"
#include "quantize/layers.h"

namespace nnq::quantize {
namespace {

bool all_equal(const std::vector<float>& values, float to) {
  return !values.empty() && std::all_of(values.begin(), values.end(), [&](float v) { return v == to; });
}

bool clips_at_zero(const Graph& graph, const Node& node) {
  if (node.inputs.size() < 2 || node.inputs[1].empty()) return node.get_float("min", -1) >= 0;
  const Tensor* low = graph.initializer(node.inputs[1]);
  return low != nullptr && low->dtype() == DType::f32 && low->count() == 1 && low->as<float>()[0] >= 0;
}

bool pads_with_non_negative(const Graph& graph, const Node& node) {
  if (node.get_string("mode", "constant") != "constant" || node.inputs.size() < 3 || node.inputs[2].empty())
    return true;
  const Tensor* constant = graph.initializer(node.inputs[2]);
  return constant != nullptr && constant->dtype() == DType::f32 && constant->count() == 1 &&
         constant->as<float>()[0] >= 0;
}

}  // namespace

bool has_plain_pixels(const Graph& graph) {
  if (!graph.metadata.contains("nnq.input.mean")) return false;
  const Preprocessing preprocessing = Preprocessing::from_metadata(graph.metadata);
  return all_equal(preprocessing.mean, 0) && all_equal(preprocessing.std, 1);
}

std::set<std::string> non_negative_values(const Graph& graph) {
  static const std::set<std::string> always{"Relu", "Sigmoid", "HardSigmoid", "Softmax",
                                            "Exp",  "Abs",     "Sqrt",        "Softplus"};
  static const std::set<std::string> of_first{"MaxPool",       "AveragePool", "GlobalAveragePool",
                                              "GlobalMaxPool", "ReduceMean",  "ReduceMax",
                                              "ReduceMin",     "ReduceSum",   "Slice",
                                              "Gather",        "Split",       "Expand",
                                              "Tile"};
  static const std::set<std::string> of_all{"Concat", "Add", "Mul", "Max", "Min", "Sum", "Mean"};
  std::set<std::string> found;
  if (has_plain_pixels(graph) && graph.inputs.size() == 1) found.insert(graph.inputs[0].name);
  const auto known = [&](const std::string& value) { return found.contains(value); };
  for (const Node& node : graph.nodes) {
    if (node.outputs.empty() || node.inputs.empty()) continue;
    const bool first = known(node.inputs[0]);
    bool result = false;
    if (node.domain.empty()) {
      result = always.contains(node.op) || (first && (of_first.contains(node.op) || moves_values(node))) ||
               (node.op == "Clip" && (first || clips_at_zero(graph, node))) ||
               (node.op == "Pad" && first && pads_with_non_negative(graph, node)) ||
               (of_all.contains(node.op) && std::all_of(node.inputs.begin(), node.inputs.end(), known));
    } else if (is_quantizer(node, "activation")) {
      result = node.get_int("signed", 1) == 0;
    }
    if (result) found.insert(node.outputs.begin(), node.outputs.end());
  }
  return found;
}

}  // namespace nnq::quantize
