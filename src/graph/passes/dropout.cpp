#include <set>

#include "nnq/recurrent.h"

namespace nnq {
namespace {

constexpr const char* kStem = "recurrent_dropout";

/// Whether `value` comes out of a recurrent layer, perhaps in another shape.
bool leaves_recurrent(const Graph& graph, const std::string& value) {
  static const std::set<std::string> shapes{"Squeeze", "Unsqueeze", "Reshape", "Transpose", "Identity", "Dropout"};
  const std::int64_t producer = graph.producer(value);
  if (producer < 0) return false;
  const Node& node = graph.nodes[static_cast<std::size_t>(producer)];
  if (is_recurrent(node)) return true;
  return node.domain.empty() && shapes.contains(node.op) && leaves_recurrent(graph, node.inputs[0]);
}

/// A Dropout node that reads `value`; returns its output.
std::string insert(Graph& graph, const std::string& value, const std::string& ratio) {
  const std::string name = graph.fresh(kStem);
  graph.nodes.push_back(Node{.name = name,
                             .op = "Dropout",
                             .domain = "",
                             .inputs = {value, ratio},
                             .outputs = {graph.fresh(name + ".out")},
                             .attributes = {}});
  return graph.nodes.back().outputs[0];
}

}  // namespace

Graph add_dropout(Graph graph, float ratio) {
  const std::string share = graph.add_initializer("recurrent_dropout.ratio", Tensor::of<float>({}, std::vector{ratio}));
  const std::size_t count = graph.nodes.size();
  std::set<std::string> done;
  for (std::size_t n = 0; n < count; ++n) {
    if (!is_recurrent(graph.nodes[n])) continue;
    const std::string in = graph.nodes[n].inputs[0], out = graph.nodes[n].outputs[0];
    if (!leaves_recurrent(graph, in)) {
      const std::string dropped = insert(graph, in, share);
      graph.nodes[n].inputs[0] = dropped;
    }
    if (out.empty() || !done.insert(out).second) continue;
    const std::vector<std::size_t> readers = graph.consumers(out);
    const std::string dropped = insert(graph, out, share);
    for (const std::size_t reader : readers)
      for (std::string& input : graph.nodes[reader].inputs)
        if (input == out) input = dropped;
  }
  graph.sort();
  return graph;
}

Graph remove_dropout(Graph graph) {
  std::vector<std::pair<std::string, std::string>> uses;
  std::erase_if(graph.nodes, [&](const Node& node) {
    if (!node.is("Dropout") || !node.name.starts_with(kStem)) return false;
    uses.emplace_back(node.outputs[0], node.inputs[0]);
    return true;
  });
  for (const auto& [from, to] : uses) graph.replace_uses(from, to);
  std::erase_if(graph.initializers, [](const auto& entry) { return entry.first.starts_with(kStem); });
  return graph;
}

}  // namespace nnq
