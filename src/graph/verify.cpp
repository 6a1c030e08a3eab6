#include <unordered_set>

#include "nnq/error.h"
#include "nnq/graph.h"

namespace nnq {

void verify(const Graph& graph) {
  std::unordered_set<std::string> values;
  for (const GraphInput& input : graph.inputs) {
    NNQ_CHECK(!input.name.empty(), "a graph input has no name");
    NNQ_CHECK(values.insert(input.name).second, "two inputs have this name", "input '" + input.name + "'");
  }
  for (const auto& [name, tensor] : graph.initializers) {
    NNQ_CHECK(tensor.defined(), "the initializer has no data", "initializer '" + name + "'");
    NNQ_CHECK(values.insert(name).second, "is both an input and an initializer", "value '" + name + "'");
  }
  std::unordered_set<std::string> made_somewhere, names;
  for (const Node& node : graph.nodes) made_somewhere.insert(node.outputs.begin(), node.outputs.end());
  for (const Node& node : graph.nodes) {
    const std::string where = "node '" + node.name + "' (" + node.op + ")";
    NNQ_CHECK(!node.name.empty(), "a node has no name", where);
    NNQ_CHECK(names.insert(node.name).second, "two nodes have this name", where);
    for (const std::string& input : node.inputs) {
      if (input.empty() || values.contains(input)) continue;
      if (made_somewhere.contains(input))
        throw Error("reads '" + input + "' before it is made", where, "the graph has a cycle or is not sorted");
      throw Error("reads '" + input + "', which nothing makes", where, "an initializer or an input is missing");
    }
    for (const std::string& output : node.outputs) {
      NNQ_CHECK(output.empty() || values.insert(output).second, "makes '" + output + "', which exists already", where);
    }
  }
  for (const std::string& output : graph.outputs) {
    NNQ_CHECK(values.contains(output), "nothing makes this graph output", "output '" + output + "'");
  }
  infer_types(graph);
}

}  // namespace nnq
