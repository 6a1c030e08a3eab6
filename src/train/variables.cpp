#include "train/variables.h"

#include <algorithm>
#include <set>

namespace nnq::train {
namespace {

bool passes_weights(const Node& node) {
  static const std::set<std::string> names{"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"};
  return node.is("Quantizer", kNnqDomain) || (node.domain.empty() && names.contains(node.op));
}

bool is_matmul_bias(const Graph& graph, const Node& add, std::size_t input) {
  const std::int64_t producer = graph.producer(add.inputs[1 - input]);
  return producer >= 0 && graph.nodes[static_cast<std::size_t>(producer)].is("MatMul");
}

VariableKind kind_at(const Graph& graph, const Node& node, std::size_t input) {
  using enum VariableKind;
  const std::string& op = node.op;
  if (node.is("ShiftBatchNormalization", kNnqDomain) || node.is("BatchNormalization"))
    return input == 0 ? constant : input <= 2 ? undecayed : buffer;
  const bool recurrent = op == "LSTM" || op == "GRU" || (op == "RNN" && node.domain.empty());
  if (recurrent) return input == 1 || input == 2 ? weight : input == 3 ? undecayed : constant;
  if (!node.domain.empty()) return constant;
  if (op == "Conv" || op == "ConvTranspose") return input == 1 ? weight : input == 2 ? undecayed : constant;
  if (op == "Gemm") return input == 2 ? undecayed : weight;
  if (op == "MatMul") return weight;
  if (op == "Gather") return input == 0 ? weight : constant;
  if (op == "InstanceNormalization" || op == "LayerNormalization") return input == 0 ? constant : undecayed;
  if (op == "PRelu") return input == 1 ? undecayed : constant;
  if (op == "Add" && is_matmul_bias(graph, node, input)) return undecayed;
  return constant;
}

}  // namespace

Readers readers_of(const Graph& graph) {
  Readers readers;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    for (std::size_t i = 0; i < graph.nodes[n].inputs.size(); ++i)
      if (!graph.nodes[n].inputs[i].empty()) readers[graph.nodes[n].inputs[i]].emplace_back(n, i);
  return readers;
}

VariableKind kind_of(const Graph& graph, const Readers& readers, const std::string& name) {
  VariableKind kind = VariableKind::constant;
  const auto it = readers.find(name);
  if (it == readers.end()) return kind;
  for (const auto& [n, i] : it->second) {
    const Node& node = graph.nodes[n];
    VariableKind here = VariableKind::constant;
    if (passes_weights(node)) {
      if (i == 0 && !node.outputs.empty()) here = kind_of(graph, readers, node.outputs[0]);
    } else {
      here = kind_at(graph, node, i);
    }
    if (here == VariableKind::buffer) return here;
    if (here == VariableKind::weight || kind == VariableKind::constant) kind = here;
  }
  return kind;
}

std::int64_t channel_axis_of(const Graph& graph, const Readers& readers, const std::string& weight, std::int64_t rank) {
  const auto it = readers.find(weight);
  if (it == readers.end()) return 0;
  for (const auto& [n, i] : it->second) {
    const Node& node = graph.nodes[n];
    if (node.is("Quantizer", kNnqDomain) && i == 0 && !node.outputs.empty())
      return channel_axis_of(graph, readers, node.outputs[0], rank);
    if (node.is("ConvTranspose")) return 1;
    if (node.is("Gemm"))
      return node.get_int(i == 0 ? "transA" : "transB", 0) != 0 ? (i == 0 ? 1 : 0) : (i == 0 ? 0 : 1);
    if (node.is("MatMul")) return i == 0 ? std::max<std::int64_t>(rank - 2, 0) : std::max<std::int64_t>(rank - 1, 0);
    if (node.is("LSTM") || node.is("GRU") || node.is("RNN")) return 1;
  }
  return 0;
}

}  // namespace nnq::train
