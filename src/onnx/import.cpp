#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>

#include <unordered_set>

#include "core/atomic_file.h"
#include "core/text.h"
#include "nnq/error.h"
#include "nnq/onnx.h"
#include "nnq/passes.h"
#include "onnx/local_functions.h"
#include "onnx/tensors.h"
#include "onnx/upgrade.h"

namespace nnq {
namespace {

using onnx_format::ExternalData;

/// Deepest nesting of messages accepted; a legal model without control flow needs fewer than ten.
constexpr int recursion_limit = 64;

bool standard_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

class Importer {
 public:
  Importer(const onnx::ModelProto& model, ExternalData external) : model_(model), external_(std::move(external)) {}

  Graph run() {
    if (!model_.has_graph()) throw Error("holds no graph", {}, "is it an ONNX model?");
    read_opsets();
    graph_.name = model_.graph().name().empty() ? "nnq" : model_.graph().name();
    for (const auto& entry : model_.metadata_props()) graph_.metadata[entry.key()] = entry.value();
    if (model_.graph().sparse_initializer_size() > 0)
      throw Error("sparse initializers are not supported", {}, "store them dense");
    for (const auto& proto : model_.graph().initializer()) {
      const std::string where = "initializer '" + proto.name() + "'";
      if (!graph_.initializers.emplace(proto.name(), onnx_format::read_tensor(proto, external_, where)).second)
        throw Error("appears twice", where);
    }
    for (const auto& input : model_.graph().input()) {
      if (!graph_.initializers.contains(input.name())) graph_.inputs.push_back({input.name(), value_type(input)});
    }
    for (const auto& output : model_.graph().output()) graph_.outputs.push_back(output.name());
    onnx_format::FunctionTable foreign;
    for (const auto& function : model_.functions()) {
      if (function.domain() != kNnqDomain) foreign[function.domain() + "::" + function.name()] = &function;
    }
    for (const auto& node : onnx_format::inline_functions(model_.graph().node(), foreign)) add_node(node);
    graph_.sort();
    if (graph_.opset < 7) onnx_format::upgrade_to_opset_7(graph_);
    return std::move(graph_);
  }

 private:
  void read_opsets() {
    bool found = false;
    for (const auto& opset : model_.opset_import()) {
      if (!standard_domain(opset.domain())) continue;
      graph_.opset = opset.version();
      found = true;
    }
    if (!found) throw Error("names no ONNX opset", {}, "is it an ONNX model?");
    if (graph_.opset < 1 || graph_.opset > kOnnxOpset)
      throw Error(fmt::format("opset {} is not supported", graph_.opset), {},
                  fmt::format("nnq reads opsets 1 to {}", kOnnxOpset));
  }

  static ValueType value_type(const onnx::ValueInfoProto& info) {
    const std::string where = "input '" + info.name() + "'";
    if (!info.type().has_tensor_type())
      throw Error("is not a tensor", where, "sequences, maps and optionals are not supported");
    const auto& tensor = info.type().tensor_type();
    ValueType type{
        .dtype = onnx_format::read_dtype(tensor.elem_type(), where), .ranked = tensor.has_shape(), .shape = {}};
    for (const auto& dim : tensor.shape().dim()) {
      if (dim.has_dim_value() && dim.dim_value() < 0)
        throw Error(fmt::format("dimension {} is negative", dim.dim_value()), where);
      type.shape.push_back(dim.has_dim_value() ? Dim(dim.dim_value()) : Dim(dim.dim_param()));
    }
    return type;
  }

  void add_node(const onnx::NodeProto& proto) {
    Node node;
    node.op = proto.op_type();
    node.domain = standard_domain(proto.domain()) ? "" : proto.domain();
    node.inputs.assign(proto.input().begin(), proto.input().end());
    node.outputs.assign(proto.output().begin(), proto.output().end());
    node.name = unique_name(proto);
    const std::string where = "node '" + node.name + "' (" + node.op + ")";
    for (const auto& attribute : proto.attribute()) {
      if (!node.attributes.emplace(attribute.name(), onnx_format::read_attribute(attribute, external_, where)).second)
        throw Error("attribute '" + attribute.name() + "' appears twice", where);
    }
    if (find_op(node.domain, node.op) == nullptr) throw unknown_operator(node, where);
    graph_.nodes.push_back(std::move(node));
  }

  static Error unknown_operator(const Node& node, const std::string& where) {
    std::vector<std::string> known;
    for (const Op* op : all_ops()) {
      if (op->domain == node.domain) known.push_back(op->name);
    }
    const std::string near = nearest(node.op, known);
    return Error("operator " + (node.domain.empty() ? "" : node.domain + "::") + node.op + " is not supported", where,
                 (near.empty() ? "" : "did you mean '" + near + "'? ") + "docs/onnx.md lists the operators");
  }

  std::string unique_name(const onnx::NodeProto& proto) {
    std::string base = proto.name();
    for (int i = 0; base.empty() && i < proto.output_size(); ++i) base = proto.output(i);
    if (base.empty()) base = proto.op_type();
    std::string name = base;
    for (int i = 1; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", base, i);
    return name;
  }

  const onnx::ModelProto& model_;
  ExternalData external_;
  Graph graph_;
  std::unordered_set<std::string> names_;
};

Graph import_parsed(std::span<const std::byte> bytes, const ExternalData& external, const ImportOptions& options) {
  if (bytes.empty()) throw Error("is empty");
  if (bytes.size() > options.max_bytes || bytes.size() > 0x7fffffff)
    throw Error(fmt::format("{} bytes are more than the {} allowed", bytes.size(),
                            std::min<std::size_t>(options.max_bytes, 0x7fffffff)));
  onnx::ModelProto model;
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  stream.SetRecursionLimit(recursion_limit);
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw Error("is not an ONNX model, or it is damaged", {}, "the protobuf does not parse");
  Graph graph = Importer(model, external).run();
  verify(graph);
  if (options.simplify) graph = simplify(std::move(graph));
  return graph;
}

}  // namespace

Graph import_onnx_bytes(std::span<const std::byte> bytes, const std::string& name, const ImportOptions& options) {
  try {
    return import_parsed(bytes, {}, options);
  } catch (const Error& error) {
    throw error.inside(name);
  }
}

Graph import_onnx(const std::filesystem::path& file, const ImportOptions& options) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, options.max_bytes, bytes));
  try {
    return import_parsed(
        bytes, {.folder = file.has_parent_path() ? file.parent_path() : ".", .max_bytes = options.max_bytes}, options);
  } catch (const Error& error) {
    throw error.inside(file.string());
  }
}

}  // namespace nnq
