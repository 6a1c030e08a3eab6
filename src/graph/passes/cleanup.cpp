// Passes that remove what computes nothing at run time.
#include <unordered_set>

#include "nnq/passes.h"

namespace nnq {
namespace {

/// Whether the node's first output always equals its first input.
bool changes_nothing(const Node& node, const std::map<std::string, ValueType>& types) {
  if (node.is("Identity")) return true;
  // At inference a Dropout passes its input through; a training flag or a wanted mask keeps it.
  if (node.is("Dropout"))
    return (node.outputs.size() < 2 || node.outputs[1].empty()) && (node.inputs.size() < 3 || node.inputs[2].empty());
  if (node.is("Cast")) {
    const auto in = types.find(node.inputs[0]), out = types.find(node.outputs[0]);
    return in != types.end() && out != types.end() && in->second.dtype == out->second.dtype;
  }
  return false;
}

}  // namespace

Graph remove_dead_nodes(Graph graph) {
  std::unordered_set<std::string> needed(graph.outputs.begin(), graph.outputs.end());
  std::vector<Node> kept;
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    Node& node = graph.nodes[i];
    bool used = false;
    for (const std::string& output : node.outputs) used = used || (!output.empty() && needed.contains(output));
    if (!used) continue;
    needed.insert(node.inputs.begin(), node.inputs.end());
    kept.push_back(std::move(node));
  }
  graph.nodes.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  std::erase_if(graph.initializers, [&](const auto& entry) { return !needed.contains(entry.first); });
  return graph;
}

Graph remove_no_ops(Graph graph) {
  const auto types = infer_types(graph);
  std::map<std::string, std::string> same_as;
  std::vector<Node> kept;
  for (Node& node : graph.nodes) {
    for (std::string& input : node.inputs) {
      if (const auto it = same_as.find(input); it != same_as.end()) input = it->second;
    }
    // A graph output keeps its name, so its node stays.
    if (!changes_nothing(node, types) || graph.is_output(node.outputs[0]))
      kept.push_back(std::move(node));
    else
      same_as[node.outputs[0]] = node.inputs[0];
  }
  graph.nodes = std::move(kept);
  return graph;
}

Graph fold_constants(Graph graph, std::size_t max_bytes) {
  const auto types = infer_types(graph);
  std::vector<Node> kept;
  for (Node& node : graph.nodes) {
    // Packed weights stay packed: folding them would make the file float again.
    bool constant = node.domain != kNnqDomain && !node.outputs.empty();
    std::vector<Tensor> inputs, outputs;
    for (const std::string& input : node.inputs) {
      const Tensor* value = graph.initializer(input);
      constant = constant && (input.empty() || value != nullptr);
      inputs.push_back(value != nullptr ? *value : Tensor());
    }
    for (const std::string& output : node.outputs) {
      const auto type = types.find(output);
      const auto count =
          type != types.end() && type->second.fully_known() ? checked_count(type->second.static_shape()) : std::nullopt;
      constant = constant && (output.empty() ||
                              (count && static_cast<std::size_t>(*count) * size_of(type->second.dtype) <= max_bytes));
    }
    if (!constant || !evaluate_node(node, graph.opset, inputs, outputs).ok()) {
      kept.push_back(std::move(node));
      continue;
    }
    for (std::size_t i = 0; i < node.outputs.size() && i < outputs.size(); ++i) {
      if (!node.outputs[i].empty()) graph.initializers[node.outputs[i]] = std::move(outputs[i]);
    }
  }
  graph.nodes = std::move(kept);
  return graph;
}

Graph simplify(Graph graph) {
  using Pass = Graph (*)(Graph);
  constexpr Pass fold = [](Graph g) { return fold_constants(std::move(g)); };
  for (const Pass pass : {fold, Pass{remove_no_ops}, Pass{fuse_conv_pad}, Pass{remove_dead_nodes}}) {
    graph = pass(std::move(graph));
#ifdef NNQ_VERIFY_PASSES
    verify(graph);
#endif
  }
  return graph;
}

}  // namespace nnq
