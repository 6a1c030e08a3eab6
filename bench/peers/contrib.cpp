#include "contrib.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <onnx/onnx_pb.h>
#pragma GCC diagnostic pop

#include "nnq/error.h"
#include "nnq/onnx.h"

namespace nnq::peers {
namespace {

onnx::ModelProto proto_of(const Graph& graph) {
  onnx::ModelProto model;
  if (!model.ParseFromString(export_onnx_bytes(graph))) throw Error("cannot read back what was exported");
  auto* opset = model.add_opset_import();
  opset->set_domain("com.microsoft");
  opset->set_version(1);
  return model;
}

void add_integer(onnx::NodeProto& node, const char* name, std::int64_t value) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INT);
  attribute->set_i(value);
}

template <class T>
void add_tensor(onnx::ModelProto& model, const std::string& name, int type, const Shape& shape,
                const std::vector<T>& values) {
  auto* tensor = model.mutable_graph()->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(type);
  for (const std::int64_t d : shape) tensor->add_dims(d);
  tensor->set_raw_data(values.data(), values.size() * sizeof(T));
}

}  // namespace

std::string matmul_nbits(const Graph& product, const Layer& layer, std::int64_t block) {
  const std::int64_t n = layer.shape.out, k = layer.shape.in, blocks = k / block;
  if (k % block != 0) throw Error("blocks must divide the inputs", "MatMulNBits");
  std::vector<std::uint8_t> packed(static_cast<std::size_t>(n * k / 2));
  std::vector<float> scales(static_cast<std::size_t>(n * blocks));
  for (std::size_t b = 0; b < scales.size(); ++b) {
    const std::int8_t* w = layer.integers.data() + b * static_cast<std::size_t>(block);
    float largest = 1;
    for (std::int64_t i = 0; i < block; ++i) largest = std::max(largest, std::abs(static_cast<float>(w[i])));
    // Codes 0 .. 15 stand for -8 .. 7; weights of 4 bits are kept exactly.
    scales[b] = largest <= 8 ? 1 : largest / 7;
    for (std::int64_t i = 0; i < block; ++i) {
      const float code = std::clamp(std::nearbyint(static_cast<float>(w[i]) / scales[b]) + 8, 0.0F, 15.0F);
      const std::size_t at = b * static_cast<std::size_t>(block) + static_cast<std::size_t>(i);
      packed[at / 2] = static_cast<std::uint8_t>(packed[at / 2] | static_cast<unsigned>(code) << (4 * (at % 2)));
    }
  }
  onnx::ModelProto model = proto_of(product);
  auto& node = *model.mutable_graph()->mutable_node(0);
  node.set_op_type("MatMulNBits");
  node.set_domain("com.microsoft");
  node.mutable_input()->RemoveLast();
  node.add_input("packed");
  node.add_input("scales");
  add_integer(node, "K", k);
  add_integer(node, "N", n);
  add_integer(node, "bits", 4);
  add_integer(node, "block_size", block);
  add_integer(node, "accuracy_level", 4);
  model.mutable_graph()->clear_initializer();
  add_tensor(model, "packed", onnx::TensorProto::UINT8, {n, blocks, block / 2}, packed);
  add_tensor(model, "scales", onnx::TensorProto::FLOAT, {n * blocks}, scales);
  return model.SerializeAsString();
}

std::string dynamic_quantize_lstm(const Graph& graph) {
  onnx::ModelProto model = proto_of(graph);
  std::map<std::string, std::string> scale_of;
  for (auto& node : *model.mutable_graph()->mutable_node()) {
    if (node.op_type() != "LSTM") continue;
    node.set_op_type("DynamicQuantizeLSTM");
    node.set_domain("com.microsoft");
    while (node.input_size() < 8) node.add_input("");
    std::vector<std::string> more;
    for (const int i : {1, 2}) {  // W and R, [1, 4 hidden, inputs], become [1, inputs, 4 hidden] of int8
      const std::string name = node.input(i);
      if (!scale_of.contains(name)) {
        const Tensor& w = graph.initializers.at(name);
        const std::int64_t rows = w.shape()[1], columns = w.shape()[2];
        const auto values = w.values<float>();
        float largest = 0;
        for (const float v : values) largest = std::max(largest, std::abs(v));
        std::vector<std::int8_t> codes(values.size());
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < columns; ++c)
            codes[static_cast<std::size_t>(c * rows + r)] = static_cast<std::int8_t>(
                std::nearbyint(values[static_cast<std::size_t>(r * columns + c)] / largest * 127));
        scale_of[name] = name + ".int8";
        add_tensor(model, name + ".int8", onnx::TensorProto::INT8, {1, columns, rows}, codes);
        add_tensor(model, name + ".scale", onnx::TensorProto::FLOAT, {1}, std::vector<float>{largest / 127});
        add_tensor(model, name + ".zero", onnx::TensorProto::INT8, {1}, std::vector<std::int8_t>{0});
      }
      node.set_input(i, name + ".int8");
      more.push_back(name + ".scale");
      more.push_back(name + ".zero");
    }
    for (const std::string& name : more) node.add_input(name);
  }
  return model.SerializeAsString();
}

}  // namespace nnq::peers
