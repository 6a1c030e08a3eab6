#include <algorithm>
#include <unordered_map>

#include "nnq/error.h"
#include "nnq/graph.h"

namespace nnq {
namespace {

/// Values small enough to be worth knowing while inferring: shapes, axes, scales of Resize.
constexpr std::int64_t max_propagated = 4096;

std::string where(const Node& node) { return "node '" + node.name + "' (" + node.op + ")"; }

class Inference {
 public:
  Inference(const Graph& graph, const std::map<std::string, ValueType>& overrides) : graph_(graph) {
    for (const auto& [name, tensor] : graph.initializers) {
      types_[name] = ValueType::of(tensor.dtype(), tensor.shape());
      constants_[name] = &tensor;
    }
    for (const GraphInput& input : graph.inputs) types_[input.name] = input.type;
    for (const auto& [name, type] : overrides) types_[name] = type;
  }

  std::map<std::string, ValueType> run() {
    for (const Node& node : graph_.nodes) visit(node);
    return std::move(types_);
  }

 private:
  void visit(const Node& node) {
    const Op* op = find_op(node.domain, node.op);
    if (op == nullptr)
      throw Error("operator " + (node.domain.empty() ? "" : node.domain + "::") + node.op + " is not supported",
                  where(node), "nnq's operators: docs/onnx.md");
    InferContext context{.node = node,
                         .opset = node.domain == kNnqDomain ? kNnqOpset : graph_.opset,
                         .inputs = {},
                         .constants = {},
                         .outputs = {}};
    for (const std::string& input : node.inputs) {
      const auto type = types_.find(input);
      if (!input.empty() && type == types_.end()) return;  // an unknown input leaves the outputs unknown
      context.inputs.push_back(input.empty() ? nullptr : &type->second);
      const auto constant = constants_.find(input);
      context.constants.push_back(constant == constants_.end() ? nullptr : constant->second);
    }
    context.outputs.resize(node.outputs.size());
    throw_if_error(op->infer(context), where(node));
    for (std::size_t i = 0; i < node.outputs.size() && i < context.outputs.size(); ++i) {
      if (!node.outputs[i].empty()) types_[node.outputs[i]] = context.outputs[i];
    }
    propagate(node, context);
  }

  /// Computes small integer results ahead, so that Shape -> Gather -> Concat -> Reshape chains give known shapes.
  void propagate(const Node& node, const InferContext& context) {
    if (node.outputs.size() != 1 || node.outputs[0].empty() || !context.outputs[0].fully_known()) return;
    const ValueType& type = context.outputs[0];
    const auto count = checked_count(type.static_shape());
    if (!count || *count > max_propagated ||
        (type.dtype != DType::i64 && type.dtype != DType::i32 && type.dtype != DType::f32 &&
         type.dtype != DType::boolean))
      return;
    if (node.is("Shape")) {
      if (context.inputs.empty() || context.inputs[0] == nullptr || !context.inputs[0]->fully_known()) return;
      keep_shape(node, context.inputs[0]->static_shape());
      return;
    }
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i].empty()) {
        inputs.emplace_back();
      } else if (context.constants[i] != nullptr && context.constants[i]->count() <= max_propagated) {
        inputs.push_back(*context.constants[i]);
      } else {
        return;
      }
    }
    std::vector<Tensor> outputs;
    if (evaluate_node(node, context.opset, inputs, outputs).ok() && outputs.size() == 1)
      keep(node.outputs[0], std::move(outputs[0]));
  }

  void keep_shape(const Node& node, Shape shape) {
    const auto rank = static_cast<std::int64_t>(shape.size());
    const auto clamp = [rank](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + rank : i, 0, rank); };
    const std::int64_t start = clamp(node.get_int("start", 0)), end = clamp(node.get_int("end", rank));
    const std::vector<std::int64_t> part(shape.begin() + start, shape.begin() + std::max(start, end));
    keep(node.outputs[0], Tensor::of<std::int64_t>({static_cast<std::int64_t>(part.size())}, part));
  }

  void keep(const std::string& value, Tensor tensor) {
    owned_[value] = std::move(tensor);
    constants_[value] = &owned_[value];
  }

  const Graph& graph_;
  std::map<std::string, ValueType> types_;
  std::unordered_map<std::string, const Tensor*> constants_;
  std::unordered_map<std::string, Tensor> owned_;  // nodes of an unordered_map keep their addresses
};

}  // namespace

std::map<std::string, ValueType> infer_types(const Graph& graph, const std::map<std::string, ValueType>& inputs) {
  return Inference(graph, inputs).run();
}

}  // namespace nnq
