#include "zoo/support/builder.h"

#include <cmath>

#include "core/random.h"

namespace nnq::zoo {
namespace {

using Ints = std::vector<std::int64_t>;

Tensor filled(std::int64_t count, float value) {
  Tensor tensor(DType::f32, {count});
  for (float& v : tensor.mutable_values<float>()) v = value;
  return tensor;
}

Node node(const std::string& name, const std::string& op, std::vector<std::string> inputs,
          std::map<std::string, Attribute> attributes = {}) {
  return Node{.name = name,
              .op = op,
              .domain = "",
              .inputs = std::move(inputs),
              .outputs = {name + ".out"},
              .attributes = std::move(attributes)};
}

}  // namespace

Builder::Builder(const Shape& sample, std::uint64_t seed) : seed_(seed) {
  graph.opset = 17;
  ValueType type{.dtype = DType::f32, .ranked = true, .shape = {Dim(std::string("N"))}};
  for (const std::int64_t d : sample) type.shape.emplace_back(d);
  graph.inputs.push_back({"input", type});
}

Tensor Builder::he(const std::string& name, const Shape& shape, std::int64_t fan) {
  Tensor tensor(DType::f32, shape);
  Random random(seed_, name);
  const double deviation = std::sqrt(2.0 / static_cast<double>(fan));
  for (float& v : tensor.mutable_values<float>()) v = static_cast<float>(deviation * random.normal());
  return tensor;
}

Tensor Builder::glorot(const std::string& name, const Shape& shape, std::int64_t in, std::int64_t out) {
  Tensor tensor(DType::f32, shape);
  Random random(seed_, name);
  const auto bound = static_cast<float>(std::sqrt(6.0 / static_cast<double>(in + out)));
  for (float& v : tensor.mutable_values<float>()) v = random.uniform(-bound, bound);
  return tensor;
}

std::string Builder::conv(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                          const ConvOptions& o) {
  graph.initializers[name + ".weight"] =
      he(name, {out, in / o.groups, o.kernel, o.kernel}, o.kernel * o.kernel * out / o.groups);
  std::vector<std::string> inputs = {x, name + ".weight"};
  if (o.bias) {
    graph.initializers[name + ".bias"] = filled(out, 0);
    inputs.push_back(name + ".bias");
  }
  return graph.add(node(name, "Conv", inputs,
                        {{"kernel_shape", Ints{o.kernel, o.kernel}},
                         {"strides", Ints{o.stride, o.stride}},
                         {"pads", Ints{o.pad, o.pad, o.pad, o.pad}},
                         {"group", o.groups}}));
}

std::string Builder::linear(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                            bool bias) {
  graph.initializers[name + ".weight"] = glorot(name, {out, in}, in, out);
  std::vector<std::string> inputs = {x, name + ".weight"};
  if (bias) {
    graph.initializers[name + ".bias"] = filled(out, 0);
    inputs.push_back(name + ".bias");
  }
  return graph.add(node(name, "Gemm", inputs, {{"transB", std::int64_t{1}}}));
}

std::string Builder::batch_norm(const std::string& name, const std::string& x, std::int64_t channels) {
  graph.initializers[name + ".gamma"] = filled(channels, 1);
  graph.initializers[name + ".beta"] = filled(channels, 0);
  graph.initializers[name + ".mean"] = filled(channels, 0);
  graph.initializers[name + ".variance"] = filled(channels, 1);
  return graph.add(node(name, "BatchNormalization",
                        {x, name + ".gamma", name + ".beta", name + ".mean", name + ".variance"},
                        {{"epsilon", 1e-5f}, {"momentum", 0.9f}}));
}

std::string Builder::relu(const std::string& name, const std::string& x) { return graph.add(node(name, "Relu", {x})); }

std::string Builder::hard_tanh(const std::string& name, const std::string& x) {
  graph.initializers.try_emplace("hardtanh.min", Tensor::scalar(-1.0f));
  graph.initializers.try_emplace("hardtanh.max", Tensor::scalar(1.0f));
  return graph.add(node(name, "Clip", {x, "hardtanh.min", "hardtanh.max"}));
}

std::string Builder::activation(const std::string& name, const std::string& kind, const std::string& x) {
  return kind == "hardtanh" ? hard_tanh(name, x) : relu(name, x);
}

std::string Builder::add(const std::string& name, const std::string& a, const std::string& b) {
  return graph.add(node(name, "Add", {a, b}));
}

std::string Builder::max_pool(const std::string& name, const std::string& x, std::int64_t kernel, std::int64_t stride,
                              std::int64_t pad) {
  return graph.add(node(
      name, "MaxPool", {x},
      {{"kernel_shape", Ints{kernel, kernel}}, {"strides", Ints{stride, stride}}, {"pads", Ints{pad, pad, pad, pad}}}));
}

std::string Builder::global_average_pool(const std::string& name, const std::string& x) {
  return flatten(name + ".flatten", graph.add(node(name, "GlobalAveragePool", {x})));
}

std::string Builder::dropout(const std::string& name, const std::string& x, float share) {
  if (share <= 0) return x;
  graph.initializers[name + ".ratio"] = Tensor::scalar(share);
  return graph.add(node(name, "Dropout", {x, name + ".ratio"}));
}

std::string Builder::flatten(const std::string& name, const std::string& x) {
  return graph.add(node(name, "Flatten", {x}, {{"axis", std::int64_t{1}}}));
}

Graph Builder::finish(const std::string& output) {
  graph.replace_uses(output, "logits");
  for (Node& n : graph.nodes) {
    for (std::string& made : n.outputs) {
      if (made == output) made = "logits";
    }
  }
  graph.outputs = {"logits"};
  verify(graph);
  return std::move(graph);
}

}  // namespace nnq::zoo
