#include <fmt/format.h>

#include "nnq/error.h"
#include "nnq/graph.h"

namespace nnq {
namespace {

struct AttributeText {
  std::string operator()(std::int64_t v) const { return std::to_string(v); }
  std::string operator()(float v) const { return fmt::format("{}", v); }
  std::string operator()(const std::string& v) const { return "\"" + v + "\""; }
  std::string operator()(const Tensor& v) const { return std::string(name_of(v.dtype())) + nnq::to_string(v.shape()); }
  template <class T>
  std::string operator()(const std::vector<T>& values) const {
    std::string out = "[";
    for (std::size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ", ") + (*this)(values[i]);
    return out + "]";
  }
};

}  // namespace

std::string to_text(const Graph& graph) {
  std::map<std::string, ValueType> types;
  try {
    types = infer_types(graph);
  } catch (const Error&) {
    // A graph that does not infer is printed without types: that is when one wants to see it.
  }
  const auto type_of = [&](const std::string& value) {
    const auto it = types.find(value);
    return it == types.end() ? std::string() : " : " + it->second.to_string();
  };
  const auto reference = [&](const std::string& value) {
    return value.empty() ? std::string("_") : (graph.initializers.contains(value) ? "@" : "%") + value;
  };
  std::string out = fmt::format("graph {} (opset {})\n", graph.name, graph.opset);
  for (const GraphInput& input : graph.inputs)
    out += fmt::format("  input %{} : {}\n", input.name, input.type.to_string());
  for (const auto& [name, tensor] : graph.initializers)
    out += fmt::format("  @{} : {}{}\n", name, name_of(tensor.dtype()), to_string(tensor.shape()));
  for (const Node& node : graph.nodes) {
    out += "  ";
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      out += (i == 0 ? "" : ", ") + reference(node.outputs[i]) + type_of(node.outputs[i]);
    out += " = " + (node.domain.empty() ? "" : node.domain + "::") + node.op + "(";
    for (std::size_t i = 0; i < node.inputs.size(); ++i) out += (i == 0 ? "" : ", ") + reference(node.inputs[i]);
    out += ")";
    if (!node.attributes.empty()) {
      out += " {";
      bool first = true;
      for (const auto& [key, value] : node.attributes) {
        out += (first ? "" : ", ") + key + "=" + std::visit(AttributeText{}, value);
        first = false;
      }
      out += "}";
    }
    out += "\n";
  }
  for (const std::string& output : graph.outputs)
    out += fmt::format("  output {}{}\n", reference(output), type_of(output));
  return out;
}

}  // namespace nnq
