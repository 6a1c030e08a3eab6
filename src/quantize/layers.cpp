#include "quantize/layers.h"

#include <algorithm>
#include <set>
#include <unordered_set>

namespace nnq::quantize {

bool is_quantizer(const Node& node, const char* role) {
  return node.is("Quantizer", kNnqDomain) && node.get_string("role", "") == role;
}

bool is_recurrent(const Node& node) {
  return (node.domain.empty() || node.domain == kNnqDomain) && (node.op == "LSTM" || node.op == "GRU");
}

std::vector<std::size_t> weight_inputs(const Node& node) {
  static const std::set<std::string> operators{"Conv", "ConvTranspose", "Gemm", "MatMul"};
  if (is_recurrent(node)) return {1, 2};
  if (node.domain.empty() && node.op == "Gather") return {0};
  if (node.domain.empty() && operators.contains(node.op)) return {1};
  return {};
}

const Tensor* weight_of(const Graph& graph, const Node& node, std::size_t input) {
  if (input >= node.inputs.size()) return nullptr;
  std::string value = node.inputs[input];
  for (std::int64_t made = graph.producer(value); made >= 0; made = graph.producer(value)) {
    const Node& maker = graph.nodes[static_cast<std::size_t>(made)];
    const bool back = maker.is("Transpose") || maker.is("Unsqueeze");  // of rows (canonical.h)
    if (!back && !is_quantizer(maker, "weight")) return nullptr;
    value = maker.inputs[0];
  }
  const Tensor* weight = graph.initializer(value);
  return weight != nullptr && weight->dtype() == DType::f32 && weight->rank() >= 2 ? weight : nullptr;
}

bool is_layer(const Graph& graph, const Node& node) {
  const std::vector<std::size_t> weights = weight_inputs(node);
  if (weights.empty() || node.outputs.empty()) return false;
  for (const std::size_t input : weights)
    if (weight_of(graph, node, input) == nullptr) return false;
  const std::size_t data = weights[0] == 0 ? 1 : 0;
  if (node.is("Gather") && (node.get_int("axis", 0) != 0 || weight_of(graph, node, 0)->rank() != 2)) return false;
  return node.inputs.size() > data && graph.initializer(node.inputs[data]) == nullptr;
}

std::vector<std::size_t> layers_of(const Graph& graph) {
  std::vector<std::size_t> layers;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    if (is_layer(graph, graph.nodes[i])) layers.push_back(i);
  return layers;
}

bool moves_values(const Node& node) {
  static const std::set<std::string> operators{"Flatten",   "Reshape",  "Transpose", "Squeeze",
                                               "Unsqueeze", "Identity", "Dropout"};
  const bool one_output = std::all_of(node.outputs.begin() + (node.outputs.empty() ? 0 : 1), node.outputs.end(),
                                      [](const std::string& output) { return output.empty(); });
  return node.domain.empty() && operators.contains(node.op) && one_output && !node.inputs.empty();
}

bool commutes_with_quantizers(const Node& node) {
  const bool pool = node.is("MaxPool") && (node.outputs.size() == 1 || node.outputs[1].empty());
  return pool || moves_values(node);
}

std::int64_t find_node(const Graph& graph, const std::string& name) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    if (graph.nodes[i].name == name) return static_cast<std::int64_t>(i);
  return -1;
}

void prune(Graph& graph) {
  std::unordered_set<std::string> read(graph.outputs.begin(), graph.outputs.end());
  std::vector<Node> kept;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    const bool used = std::any_of(node->outputs.begin(), node->outputs.end(),
                                  [&](const std::string& output) { return !output.empty() && read.contains(output); });
    if (!used) continue;
    read.insert(node->inputs.begin(), node->inputs.end());
    kept.push_back(std::move(*node));
  }
  std::reverse(kept.begin(), kept.end());
  graph.nodes = std::move(kept);
  std::erase_if(graph.initializers, [&](const auto& entry) { return !read.contains(entry.first); });
}

}  // namespace nnq::quantize
