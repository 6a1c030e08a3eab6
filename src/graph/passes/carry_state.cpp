#include <fmt/format.h>

#include <algorithm>

#include "nnq/error.h"
#include "nnq/recurrent.h"

namespace nnq {

bool is_recurrent(const Node& node) {
  const bool gated = node.op == "LSTM" || node.op == "GRU";
  return node.domain.empty() ? gated || node.op == "RNN" : node.domain == kNnqDomain && gated;
}

namespace {

/// The batch dimension of what the network reads: [T, N].
Dim batch_of(const Graph& graph) {
  for (const GraphInput& input : graph.inputs)
    if (input.type.ranked && input.type.shape.size() >= 2) return input.type.shape[1];
  return Dim(std::string("N"));
}

struct Carrier {
  Graph& graph;
  Dim batch;

  /// State `in` (an input of the node) and `out` (an output) become a pair of graph input and output.
  void carry(std::size_t n, std::size_t in, std::size_t out, const std::string& what) {
    const std::string name = graph.nodes[n].name + "." + what;
    Node& node = graph.nodes[n];
    if (node.inputs.size() <= in) node.inputs.resize(in + 1);
    if (node.outputs.size() <= out) node.outputs.resize(out + 1);
    std::string& from = node.inputs[in];
    if (from.empty()) {
      from = graph.fresh(name);
      graph.inputs.push_back({from, {DType::f32, true, {Dim(1), batch, Dim(node.get_int("hidden_size", 0))}}});
    }
    const bool given = std::any_of(graph.inputs.begin(), graph.inputs.end(),
                                   [&](const GraphInput& input) { return input.name == from; });
    if (!given || graph.initializers.contains(from)) return;  // starts from a constant or a computed state
    std::string& to = node.outputs[out];
    if (to.empty()) to = graph.fresh(name + ".next");
    if (!graph.is_output(to)) graph.outputs.push_back(to);
    graph.metadata[kStateKey + from] = to;
  }
};

}  // namespace

Graph carry_state(Graph graph) {
  Carrier carrier{graph, batch_of(graph)};
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!is_recurrent(graph.nodes[n])) continue;
    const Node& node = graph.nodes[n];
    const std::string where = "node '" + node.name + "' (" + node.op + ")";
    NNQ_CHECK(node.get_string("direction", "forward") == "forward" && node.get_int("layout", 0) == 0,
              "state is carried through forward layers of [time, batch, features] only", where,
              "a language model reads its text once, from the left");
    NNQ_CHECK(node.get_int("hidden_size", 0) > 0, "has no hidden_size", where);
    carrier.carry(n, 5, 1, "h");
    if (node.op == "LSTM") carrier.carry(n, 6, 2, "c");
  }
  return graph;
}

std::vector<StatePair> state_pairs(const std::map<std::string, std::string>& metadata) {
  std::vector<StatePair> pairs;
  const std::string key = kStateKey;
  for (auto it = metadata.lower_bound(key); it != metadata.end() && it->first.starts_with(key); ++it)
    pairs.push_back({it->first.substr(key.size()), it->second});
  return pairs;
}

}  // namespace nnq
