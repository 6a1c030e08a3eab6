#include <fmt/format.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <onnx/checker.h>
#pragma GCC diagnostic pop

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "core/atomic_file.h"
#include "nnq/error.h"
#include "nnq/onnx.h"
#include "nnq/version.h"
#include "onnx/local_functions.h"
#include "onnx/tensors.h"

namespace nnq {
namespace {

/// Newest opset that Debian's ONNX 1.12 knows; its checker cannot judge later ones.
constexpr std::int64_t checker_opset = 17;

void write_type(const ValueType& type, onnx::ValueInfoProto& info) {
  auto* tensor = info.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(onnx_format::onnx_dtype(type.dtype));
  if (!type.ranked) return;
  auto* shape = tensor->mutable_shape();
  int free_dimensions = 0;
  for (const Dim& dim : type.shape) {
    auto* out = shape->add_dim();
    if (dim.known())
      out->set_dim_value(dim.value);
    else
      out->set_dim_param(dim.symbol.empty() ? fmt::format("{}_{}", info.name(), free_dimensions++) : dim.symbol);
  }
}

/// Function bodies of ONNX 1.12 know no default of an attribute: those that bodies refer to are written.
void write_defaults(const Node& node, const std::map<std::string, ValueType>& types, onnx::NodeProto& proto) {
  const auto write = [&](const char* attribute, std::int64_t value) {
    if (!node.has(attribute)) onnx_format::write_attribute(attribute, value, *proto.add_attribute());
  };
  if (node.op == "Affine") write("axis", 1);
  if (node.op == "QuantizeVectors") {
    write("cycles", 2);
    write("uniform", 0);
  }
  if (node.op != "LSTM" && node.op != "GRU") return;
  write("state_cycles", 2);
  write("state_uniform", 0);
  const auto weight = types.find(node.inputs[2]);
  if (weight != types.end() && weight->second.ranked && weight->second.shape.size() == 3 &&
      weight->second.shape[2].known())
    write("hidden_size", weight->second.shape[2].value);
}

onnx::ModelProto to_proto(const Graph& graph) {
  verify(graph);
  const auto types = infer_types(graph);
  onnx::ModelProto model;
  model.set_ir_version(graph.opset <= 17 ? 8 : graph.opset <= 20 ? 9 : 10);
  model.set_producer_name("nnq");
  model.set_producer_version(version());
  auto* opset = model.add_opset_import();
  opset->set_domain("");
  opset->set_version(graph.opset);
  for (const auto& [key, value] : graph.metadata) {
    auto* entry = model.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
  auto* out = model.mutable_graph();
  out->set_name(graph.name.empty() ? "nnq" : graph.name);
  for (const GraphInput& input : graph.inputs) {
    auto* info = out->add_input();
    info->set_name(input.name);
    write_type(input.type, *info);
  }
  for (const std::string& output : graph.outputs) {
    auto* info = out->add_output();
    info->set_name(output);
    const auto it = types.find(output);
    if (it == types.end()) throw Error("its type cannot be inferred", "output '" + output + "'");
    write_type(it->second, *info);
  }
  for (const auto& [name, tensor] : graph.initializers)
    onnx_format::write_tensor(tensor, name, *out->add_initializer());
  std::set<std::string> own;
  for (const Node& node : graph.nodes) {
    auto* proto = out->add_node();
    proto->set_name(node.name);
    proto->set_op_type(node.op);
    proto->set_domain(node.domain);
    for (const std::string& input : node.inputs) proto->add_input(input);
    for (const std::string& output : node.outputs) proto->add_output(output);
    for (const auto& [key, value] : node.attributes) onnx_format::write_attribute(key, value, *proto->add_attribute());
    if (node.domain != kNnqDomain) continue;
    own.insert(node.op);
    write_defaults(node, types, *proto);
  }
  if (!own.empty()) {
    auto* nnq_opset = model.add_opset_import();
    nnq_opset->set_domain(kNnqDomain);
    nnq_opset->set_version(kNnqOpset);
    onnx_format::write_functions(own, graph.opset, model);
  }
  return model;
}

/// Puts `prefix` before (or takes it away from) the names of the ai.nnq operators. The checker of ONNX 1.12 compares
/// names without their domains and warns of an experimental operator Affine that standard ONNX had once.
void rename_own(onnx::ModelProto& model, const std::string& prefix, bool restore) {
  const auto renamed = [&](const std::string& name) { return restore ? name.substr(prefix.size()) : prefix + name; };
  for (auto& node : *model.mutable_graph()->mutable_node())
    if (node.domain() == kNnqDomain) node.set_op_type(renamed(node.op_type()));
  for (auto& function : *model.mutable_functions()) function.set_name(renamed(function.name()));
}

void check(onnx::ModelProto& model, const std::string& name) {
  rename_own(model, "nnq", /*restore=*/false);
  try {
    onnx::checker::check_model(model);
  } catch (const std::exception& error) {
    std::string line = error.what();
    if (const std::size_t end = line.find('\n'); end != std::string::npos) line.resize(end);
    throw Error("ONNX's checker refuses the model: " + line, name, "a graph edit left it invalid");
  }
  rename_own(model, "nnq", /*restore=*/true);
}

}  // namespace

std::string export_onnx_bytes(const Graph& graph) {
  onnx::ModelProto model = to_proto(graph);
  if (graph.opset <= checker_opset) check(model, graph.name);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    if (!model.SerializeToCodedStream(&coded))
      throw Error("the model cannot be serialised", graph.name, "over 2 GiB?", /*fault=*/true);
  }
  return bytes;
}

std::size_t export_onnx(const Graph& graph, const std::filesystem::path& file) {
  const std::string bytes = export_onnx_bytes(graph);
  write_file_atomically(file, std::string_view(bytes));
  return bytes.size();
}

}  // namespace nnq
