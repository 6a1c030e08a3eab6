#include <unordered_map>

#include "nnq/error.h"
#include "nnq/graph.h"

namespace nnq {
namespace {

/// Whether a tensor may stand where `declared` is expected: same type, and every known dimension equal.
bool fits(const Tensor& tensor, const ValueType& declared) {
  if (tensor.dtype() != declared.dtype) return false;
  if (!declared.ranked) return true;
  if (tensor.rank() != static_cast<std::int64_t>(declared.shape.size())) return false;
  for (std::size_t i = 0; i < declared.shape.size(); ++i) {
    if (declared.shape[i].known() && declared.shape[i].value != tensor.shape()[i]) return false;
  }
  return true;
}

}  // namespace

std::vector<Tensor> interpret(const Graph& graph, const std::map<std::string, Tensor>& inputs,
                              const std::function<void(const std::string&, const Tensor&)>& observe) {
  std::unordered_map<std::string, Tensor> values;
  for (const auto& [name, tensor] : graph.initializers) values[name] = tensor;
  for (const GraphInput& input : graph.inputs) {
    const auto given = inputs.find(input.name);
    if (given == inputs.end()) throw Error("is not given", "input '" + input.name + "'");
    if (!fits(given->second, input.type)) {
      throw Error(std::string("expected ") + input.type.to_string() + ", got " + name_of(given->second.dtype()) +
                      to_string(given->second.shape()),
                  "input '" + input.name + "'");
    }
    values[input.name] = given->second;
  }
  std::unordered_map<std::string, std::size_t> last_use;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const std::string& input : graph.nodes[i].inputs) last_use[input] = i;
  }
  for (const std::string& output : graph.outputs) last_use[output] = graph.nodes.size();

  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    std::vector<Tensor> arguments, results;
    for (const std::string& input : node.inputs) {
      const auto it = values.find(input);
      if (!input.empty() && it == values.end())
        throw Error("reads '" + input + "', which nothing makes", "node '" + node.name + "'");
      arguments.push_back(input.empty() ? Tensor() : it->second);
    }
    throw_if_error(evaluate_node(node, node.domain == kNnqDomain ? kNnqOpset : graph.opset, arguments, results),
                   "node '" + node.name + "' (" + node.op + ")");
    for (std::size_t k = 0; k < node.outputs.size() && k < results.size(); ++k) {
      if (node.outputs[k].empty()) continue;
      if (observe) observe(node.outputs[k], results[k]);
      values[node.outputs[k]] = std::move(results[k]);
    }
    for (const std::string& input : node.inputs) {
      const auto it = last_use.find(input);
      if (it != last_use.end() && it->second == i) values.erase(input);
    }
  }
  std::vector<Tensor> outputs;
  for (const std::string& output : graph.outputs) {
    const auto value = values.find(output);
    if (value == values.end()) throw Error("nothing makes this graph output", "output '" + output + "'");
    outputs.push_back(value->second);
  }
  return outputs;
}

}  // namespace nnq
