#include <fmt/format.h>

#include "nnq/error.h"
#include "onnx/local_functions.h"

namespace nnq::onnx_format {
namespace {

/// A few hundred bytes can ask for 2^30 nodes, or for a large tensor again and again; what bodies may expand to is
/// bounded.
constexpr std::size_t max_inlined_nodes = 100'000;
constexpr std::size_t max_inlined_bytes = std::size_t{256} << 20;  // beyond twice the size of the functions themselves
constexpr int max_depth = 32;

class Inliner {
 public:
  Inliner(const FunctionTable& functions, std::vector<onnx::NodeProto>& out) : functions_(functions), out_(out) {
    for (const auto& [name, function] : functions) byte_limit_ += 2 * function->ByteSizeLong();
  }

  void expand(const onnx::NodeProto& node, int depth) {
    const auto it = functions_.find(node.domain() + "::" + node.op_type());
    if (it == functions_.end()) {
      out_.push_back(node);
      return;
    }
    if (depth >= max_depth) throw Error("functions call each other without end", "function " + it->first);
    call(node, *it->second, depth);
  }

 private:
  void count_inlined(const onnx::NodeProto& node) {
    if (++inlined_nodes_ > max_inlined_nodes)
      throw Error(fmt::format("more than {} nodes after inlining functions", max_inlined_nodes));
    inlined_bytes_ += node.ByteSizeLong();
    if (inlined_bytes_ > byte_limit_)
      throw Error(fmt::format("more than {} bytes after inlining functions", byte_limit_));
  }

  void call(const onnx::NodeProto& node, const onnx::FunctionProto& function, int depth) {
    const std::string where = "call of function '" + function.name() + "'";
    if (node.input_size() > function.input_size() || node.output_size() > function.output_size())
      throw Error("has more inputs or outputs than the function", where);
    const std::string prefix = fmt::format("{}.{}.", node.name().empty() ? function.name() : node.name(), ++calls_);
    std::map<std::string, std::string> names;
    for (int i = 0; i < function.input_size(); ++i)
      names[function.input(i)] = i < node.input_size() ? node.input(i) : "";
    for (int i = 0; i < function.output_size(); ++i) {
      if (i < node.output_size() && !node.output(i).empty()) names[function.output(i)] = node.output(i);
    }
    const auto renamed = [&](const std::string& name) {
      if (name.empty()) return name;
      const auto it = names.find(name);
      return it != names.end() ? it->second : prefix + name;
    };
    for (const onnx::NodeProto& inner : function.node()) {
      onnx::NodeProto copy = inner;
      copy.set_name(prefix + (inner.name().empty() ? inner.op_type() : inner.name()));
      for (auto& input : *copy.mutable_input()) input = renamed(input);
      for (auto& output : *copy.mutable_output()) output = renamed(output);
      bind_attributes(node, copy);
      count_inlined(copy);
      expand(copy, depth + 1);
    }
  }

  /// Attributes of a body that refer to the call's attributes take their value; without one they are left out (the
  /// default).
  static void bind_attributes(const onnx::NodeProto& call, onnx::NodeProto& inner) {
    google::protobuf::RepeatedPtrField<onnx::AttributeProto> bound;
    for (const onnx::AttributeProto& attribute : inner.attribute()) {
      if (attribute.ref_attr_name().empty()) {
        *bound.Add() = attribute;
        continue;
      }
      for (const onnx::AttributeProto& given : call.attribute()) {
        if (given.name() != attribute.ref_attr_name()) continue;
        onnx::AttributeProto& value = *bound.Add();
        value = given;
        value.set_name(attribute.name());
      }
    }
    *inner.mutable_attribute() = bound;
  }

  const FunctionTable& functions_;
  std::vector<onnx::NodeProto>& out_;
  std::size_t calls_ = 0, inlined_nodes_ = 0, inlined_bytes_ = 0, byte_limit_ = max_inlined_bytes;
};

}  // namespace

std::vector<onnx::NodeProto> inline_functions(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes,
                                              const FunctionTable& functions) {
  std::vector<onnx::NodeProto> out;
  out.reserve(static_cast<std::size_t>(nodes.size()));
  Inliner inliner(functions, out);
  for (const onnx::NodeProto& node : nodes) inliner.expand(node, 0);
  return out;
}

}  // namespace nnq::onnx_format
