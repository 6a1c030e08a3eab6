#include "train/change_bits.h"

#include <map>
#include <set>
#include <vector>

#include "core/text.h"
#include "nnq/error.h"
#include "quantize/layers.h"
#include "train/executor.h"

namespace nnq::train {
namespace {

const Node* producer_of(const Graph& graph, const std::string& value) {
  const std::int64_t index = graph.producer(value);
  return index < 0 ? nullptr : &graph.nodes[static_cast<std::size_t>(index)];
}

/// The node that made this value, past pooling and reshapes; nullptr: an input or an initializer.
const Node* origin_of(const Graph& graph, const std::string& value) {
  const Node* made = producer_of(graph, value);
  while (made != nullptr && quantize::commutes_with_quantizers(*made)) made = producer_of(graph, made->inputs[0]);
  return made;
}

std::vector<std::size_t> chosen_layers(const Graph& graph, const std::string& glob) {
  const std::vector<std::size_t> all = quantize::layers_of(graph);
  NNQ_CHECK(!all.empty(), "the network has no layer with weights");
  if (glob == "first") return {all.front()};
  if (glob == "last") return {all.back()};
  std::vector<std::size_t> chosen;
  std::vector<std::string> names;
  for (const std::size_t layer : all) {
    names.push_back(graph.nodes[layer].name);
    if (glob_match(glob, names.back())) chosen.push_back(layer);
  }
  if (chosen.empty()) throw Error("no layer with weights matches '" + glob + "'", {}, suggestion(glob, names));
  return chosen;
}

/// Names of the quantizers that the change is about, with their new bits.
std::map<std::string, int> chosen_quantizers(const Graph& graph, const BitsChange& change) {
  std::map<std::string, int> chosen;
  std::set<std::string> methods;
  const auto consider = [&](const Node* node, const char* role, int bits) {
    if (bits == 0 || node == nullptr || !quantize::is_quantizer(*node, role)) return;
    const bool of_activation = std::string(role) == "activation";
    if (of_activation && origin_of(graph, node->inputs[0]) == nullptr) return;  // the network's input
    const std::string method = node->get_string("method", "");
    methods.insert(method);
    if (change.method.empty() || change.method == method)
      chosen[node->get_string("shared_with", node->name.c_str())] = bits;
  };
  for (const std::size_t layer : chosen_layers(graph, change.layers)) {
    const Node& node = graph.nodes[layer];
    consider(producer_of(graph, node.inputs[1]), "weight", change.weights);
    consider(origin_of(graph, node.inputs[0]), "activation", change.activations);
  }
  if (chosen.empty())
    throw Error("no placed quantizer" + (change.method.empty() ? "" : " of method '" + change.method + "'") +
                    " is on the chosen layers",
                {}, suggestion(change.method, {methods.begin(), methods.end()}));
  return chosen;
}

/// Sets the bits; gives the quantizers' names (of shared ones the first) with the bits they had.
std::map<std::string, int> set_bits(Graph& graph, const BitsChange& change) {
  NNQ_CHECK(change.weights > 0 || change.activations > 0, "neither weights nor activations get other bits");
  const std::map<std::string, int> chosen = chosen_quantizers(graph, change);
  std::map<std::string, int> before;
  for (Node& node : graph.nodes) {
    if (!node.is("Quantizer", kNnqDomain)) continue;
    const auto it = chosen.find(node.get_string("shared_with", node.name.c_str()));
    if (it == chosen.end()) continue;
    const int bits = static_cast<int>(node.get_int("bits", 8));
    if (!node.has("shared_with") && bits != it->second) before[node.name] = bits;
    node.attributes["bits"] = std::int64_t{it->second};
  }
  return before;
}

}  // namespace

Graph change_bits(Graph graph, const BitsChange& change, std::uint64_t seed) {
  const std::map<std::string, int> before = set_bits(graph, change);
  Executor executor(std::move(graph), {.seed = seed});
  const std::map<std::string, Quantizer*> quantizers = executor.quantizers();
  for (const auto& [name, bits] : before) {
    try {
      quantizers.at(name)->carry_state(bits);
    } catch (const Error& error) {
      throw error.inside("node '" + name + "'");
    }
  }
  return executor.graph();
}

Graph change_bits_ahead(Graph graph, const BitsChange& change) {
  set_bits(graph, change);
  return Executor(std::move(graph), {}).graph();
}

}  // namespace nnq::train
