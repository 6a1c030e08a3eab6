#include "train/real_sums.h"

#include <algorithm>
#include <string>

namespace nnq::train {
namespace {

using Names = std::set<std::string>;

bool sums(const Node& node) {
  return node.is("Conv") || node.is("ConvTranspose") || node.is("Gemm") || node.is("MatMul");
}

bool makes_codes(const Node& node) {
  return node.is("Quantize", kNnqDomain) || node.is("Sign", kNnqDomain) || node.is("Bucketize", kNnqDomain);
}

/// Operators that hand integers on, or add them up.
bool keeps_integers(const Node& node) {
  static const Names keepers = {"MaxPool", "Relu",    "Add",   "Flatten",  "Reshape", "Transpose",
                                "Concat",  "Squeeze", "Slice", "Identity", "Pad",     "Unsqueeze"};
  return node.domain.empty() && keepers.contains(node.op);
}

bool whole(const Tensor& t) {
  if (t.dtype() != DType::f32) return true;
  const auto values = t.values<float>();
  return std::all_of(values.begin(), values.end(),
                     [](float v) { return v == static_cast<float>(static_cast<int>(v)); });
}

/// Packed weights: integers when their scales and offsets, or their table, are.
bool unpacks_integers(const Graph& graph, const Node& node) {
  if (node.op != "BitPlanes" && node.op != "Codebook") return false;
  const std::size_t last = node.op == "BitPlanes" ? 2 : 1;
  for (std::size_t i = 1; i <= last; ++i) {
    const Tensor* scales = graph.initializer(node.inputs[i]);
    if (scales == nullptr || !whole(*scales)) return false;
  }
  return true;
}

Names integer_values(const Graph& graph) {
  Names integers;
  for (const Node& node : graph.nodes) {
    const auto whole_input = [&](const std::string& input) {
      if (input.empty() || integers.contains(input)) return true;
      const Tensor* constant = graph.initializer(input);
      return constant != nullptr && whole(*constant);
    };
    const bool made =
        makes_codes(node) || (node.domain == kNnqDomain && unpacks_integers(graph, node)) ||
        ((sums(node) || keeps_integers(node)) && std::all_of(node.inputs.begin(), node.inputs.end(), whole_input));
    if (made) integers.insert(node.outputs.begin(), node.outputs.end());
  }
  return integers;
}

}  // namespace

std::set<std::size_t> real_sums(const Graph& graph) {
  Names quantized;
  std::set<std::size_t> found;
  const Names integers = integer_values(graph);
  Names codes = integers;  // and their levels
  for (const Node& node : graph.nodes)
    if (node.is("Levels", kNnqDomain)) codes.insert(node.outputs[0]);
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    const bool read = std::any_of(node.outputs.begin(), node.outputs.end(),
                                  [&](const std::string& output) { return quantized.contains(output); });
    if (sums(node) && !integers.contains(node.outputs[0]) && (read || codes.contains(node.inputs[0]))) found.insert(n);
    if (read || makes_codes(node)) quantized.insert(node.inputs.begin(), node.inputs.end());
  }
  return found;
}

}  // namespace nnq::train
