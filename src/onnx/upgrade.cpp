#include "onnx/upgrade.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "nnq/error.h"

namespace nnq::onnx_format {
namespace {

constexpr std::array broadcasting = {"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"};

/// The names that Cast's attribute `to` had before it became a number, in the order of TensorProto's numbers.
constexpr std::array type_names = {"UNDEFINED", "FLOAT",  "UINT8", "INT8",    "UINT16", "INT16",  "INT32",
                                   "INT64",     "STRING", "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64"};

class Upgrader {
 public:
  explicit Upgrader(Graph& graph) : graph_(graph), opset_(graph.opset) {}

  void run() {
    std::vector<Node> nodes = std::move(graph_.nodes);
    graph_.nodes.clear();
    graph_.opset = 7;
    for (Node& node : nodes) {
      upgrade(node);
      graph_.nodes.push_back(std::move(node));
    }
  }

 private:
  void upgrade(Node& node) {
    for (const char* gone : {"consumed_inputs", "is_test", "output_sequence"}) node.attributes.erase(gone);
    if (std::find(broadcasting.begin(), broadcasting.end(), node.op) != broadcasting.end()) return broadcast(node);
    if (node.is("Gemm")) node.attributes.erase("broadcast");
    if (node.is("PRelu")) per_channel_slope(node);
    if (node.is("Concat") && !node.has("axis")) node.attributes["axis"] = std::int64_t{1};
    if (node.is("Cast")) cast_by_name(node);
    if (node.is("Reshape") && node.inputs.size() == 1) reshape_by_attribute(node);
    if (node.is("Pad") && node.has("paddings")) {
      node.attributes["pads"] = node.attributes.at("paddings");
      node.attributes.erase("paddings");
    }
    if (node.is("Split") && node.inputs.size() == 2) split_by_input(node);
    if ((node.is("Tile") && opset_ < 6) || node.is("Upsample"))
      throw Error(fmt::format("the form of opset {} is not supported", opset_), where(node),
                  "convert the model to opset 7 or later");
  }

  static std::string where(const Node& node) { return "node '" + node.name + "' (" + node.op + ")"; }

  /// Rank of a value by inference over what is upgraded so far.
  std::size_t rank_of(const std::string& value, const Node& reader) const {
    const auto types = infer_types(graph_);
    const auto it = types.find(value);
    if (it == types.end() || !it->second.ranked)
      throw Error("the rank of '" + value + "' is not known", where(reader), "convert the model to opset 7 or later");
    return it->second.shape.size();
  }

  /// Puts `count` dimensions of 1 behind those of the node's second input.
  void append_ones(Node& node, std::size_t rank, std::size_t count) {
    std::vector<std::int64_t> axes;
    for (std::size_t i = 0; i < count; ++i) axes.push_back(static_cast<std::int64_t>(rank + i));
    node.inputs[1] = graph_.add("Unsqueeze", {node.inputs[1]}, {{"axes", axes}}, node.name + ".aligned");
  }

  /// `axis` said where b's dimensions lie in a's; without it they are the last ones, as they are since opset 7.
  void broadcast(Node& node) {
    if (node.has("axis") && node.get_int("broadcast", 0) != 0 && node.inputs.size() == 2) {
      const auto a = static_cast<std::int64_t>(rank_of(node.inputs[0], node)),
                 b = static_cast<std::int64_t>(rank_of(node.inputs[1], node));
      std::int64_t axis = node.get_int("axis", 0);
      if (axis < 0) axis += a;
      if (axis < 0 || axis > a || b > a - axis)
        throw Error(fmt::format("axis {} does not fit ranks {} and {}", axis, a, b), where(node));
      if (axis + b < a) append_ones(node, static_cast<std::size_t>(b), static_cast<std::size_t>(a - axis - b));
    }
    node.attributes.erase("axis");
    node.attributes.erase("broadcast");
  }

  /// A slope for each channel stood for [C, 1, ...].
  void per_channel_slope(Node& node) {
    if (node.inputs.size() != 2) return;
    const std::size_t x = rank_of(node.inputs[0], node), slope = rank_of(node.inputs[1], node);
    if (slope == 1 && x > 2) append_ones(node, 1, x - 2);
  }

  static void cast_by_name(Node& node) {
    const auto it = node.attributes.find("to");
    if (it == node.attributes.end() || !std::holds_alternative<std::string>(it->second)) return;
    const auto& name = std::get<std::string>(it->second);
    const auto found = std::find(type_names.begin(), type_names.end(), name);
    if (found == type_names.end()) throw Error("type '" + name + "' is not known", where(node));
    node.attributes["to"] = static_cast<std::int64_t>(found - type_names.begin());
  }

  void reshape_by_attribute(Node& node) {
    const std::vector<std::int64_t> shape = node.get_ints("shape");
    const Tensor value = Tensor::of<std::int64_t>({static_cast<std::int64_t>(shape.size())}, shape);
    node.inputs.push_back(graph_.add_initializer(node.name + ".shape", value));
    node.attributes.erase("shape");
  }

  void split_by_input(Node& node) {
    const Tensor* sizes = graph_.initializer(node.inputs[1]);
    if (sizes == nullptr) throw Error("the sizes are not constant", where(node));
    node.attributes["split"] = sizes->to_int64();
    node.inputs.pop_back();
  }

  Graph& graph_;
  std::int64_t opset_;
};

}  // namespace

void upgrade_to_opset_7(Graph& graph) { Upgrader(graph).run(); }

}  // namespace nnq::onnx_format
