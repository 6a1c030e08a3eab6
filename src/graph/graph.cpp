#include "nnq/graph.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "nnq/error.h"

namespace nnq {

namespace {

/// Every node that could not be placed reads another such node: going back from one ends on a cycle.
std::size_t node_of_cycle(const Graph& graph, const GraphIndex& index, const std::vector<bool>& placed) {
  std::unordered_set<std::size_t> seen;
  auto at = static_cast<std::size_t>(std::find(placed.begin(), placed.end(), false) - placed.begin());
  while (seen.insert(at).second) {
    for (const std::string& input : graph.nodes[at].inputs) {
      const auto made = index.producer.find(input);
      if (made == index.producer.end() || placed[static_cast<std::size_t>(made->second)]) continue;
      at = static_cast<std::size_t>(made->second);
      break;
    }
  }
  return at;
}

}  // namespace

std::string Graph::fresh(const std::string& stem) const {
  std::unordered_set<std::string> used;
  for (const GraphInput& input : inputs) used.insert(input.name);
  for (const auto& [value, tensor] : initializers) used.insert(value);
  for (const Node& node : nodes) {
    used.insert(node.name);
    used.insert(node.outputs.begin(), node.outputs.end());
  }
  const std::string base = stem.empty() ? "value" : stem;
  if (!used.contains(base)) return base;
  for (std::size_t i = 1;; ++i) {
    std::string candidate = base + "_" + std::to_string(i);
    if (!used.contains(candidate)) return candidate;
  }
}

std::string Graph::add(Node node, const std::string& stem) {
  const std::string base = !stem.empty() ? stem : !node.name.empty() ? node.name : node.op;
  if (node.outputs.empty()) node.outputs.push_back(fresh(base));
  if (node.name.empty()) node.name = node.outputs.front();  // values and nodes are separate name spaces in ONNX
  nodes.push_back(std::move(node));
  return nodes.back().outputs.front();
}

std::string Graph::add(const std::string& op, std::vector<std::string> node_inputs,
                       std::map<std::string, Attribute> attributes, const std::string& stem,
                       const std::string& domain) {
  Node node;
  node.op = op;
  node.domain = domain;
  node.inputs = std::move(node_inputs);
  node.attributes = std::move(attributes);
  return add(std::move(node), stem);
}

std::string Graph::add_initializer(const std::string& stem, Tensor value) {
  std::string chosen = fresh(stem);
  initializers.emplace(chosen, std::move(value));
  return chosen;
}

const Tensor* Graph::initializer(const std::string& value) const {
  const auto it = initializers.find(value);
  return it == initializers.end() ? nullptr : &it->second;
}

std::int64_t Graph::producer(const std::string& value) const {
  if (value.empty()) return -1;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto& made = nodes[i].outputs;
    if (std::find(made.begin(), made.end(), value) != made.end()) return static_cast<std::int64_t>(i);
  }
  return -1;
}

std::vector<std::size_t> Graph::consumers(const std::string& value) const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto& read = nodes[i].inputs;
    if (std::find(read.begin(), read.end(), value) != read.end()) found.push_back(i);
  }
  return found;
}

bool Graph::is_output(const std::string& value) const {
  return std::find(outputs.begin(), outputs.end(), value) != outputs.end();
}

void Graph::replace_uses(const std::string& from, const std::string& to) {
  for (Node& node : nodes) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
  std::replace(outputs.begin(), outputs.end(), from, to);
}

void Graph::sort() {
  const GraphIndex index(*this);
  std::vector<std::size_t> waiting(nodes.size(), 0);
  std::vector<std::vector<std::size_t>> readers(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::set<std::int64_t> producers;
    for (const std::string& input : nodes[i].inputs) {
      if (const auto it = index.producer.find(input); it != index.producer.end()) producers.insert(it->second);
    }
    waiting[i] = producers.size();
    for (const std::int64_t p : producers) readers[static_cast<std::size_t>(p)].push_back(i);
  }
  // Lowest index first, so that an already sorted graph keeps its order.
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (waiting[i] == 0) ready.push(i);
  }
  std::vector<Node> sorted;
  sorted.reserve(nodes.size());
  std::vector<bool> placed(nodes.size(), false);
  while (!ready.empty()) {
    const std::size_t i = ready.top();
    ready.pop();
    placed[i] = true;
    sorted.push_back(nodes[i]);
    for (const std::size_t reader : readers[i]) {
      if (--waiting[reader] == 0) ready.push(reader);
    }
  }
  if (sorted.size() != nodes.size()) {
    throw Error("is part of a cycle", "node '" + nodes[node_of_cycle(*this, index, placed)].name + "'",
                "a network must be acyclic; is the file damaged?");
  }
  nodes = std::move(sorted);
}

GraphIndex::GraphIndex(const Graph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const std::string& output : graph.nodes[i].outputs) {
      if (!output.empty()) producer[output] = static_cast<std::int64_t>(i);
    }
    for (const std::string& input : graph.nodes[i].inputs) {
      if (input.empty()) continue;
      std::vector<std::size_t>& readers = consumers[input];
      if (readers.empty() || readers.back() != i) readers.push_back(i);
    }
  }
}

}  // namespace nnq
