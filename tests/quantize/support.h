// Small graphs with dyadic numbers (so that float arithmetic on them is exact in any order), trained quantizers that
// need no training, and the simulation a frozen graph must agree with.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/random.h"
#include "nnq/quantize.h"

namespace nnq::test {

inline Tensor dyadic(Random& random, Shape shape, int range, float unit) {
  Tensor t(DType::f32, std::move(shape));
  for (float& v : t.mutable_values<float>())
    v = unit * static_cast<float>(static_cast<int>(random.below(static_cast<std::uint64_t>(2 * range + 1))) - range);
  return t;
}

class Builder {
 public:
  explicit Builder(std::uint64_t seed = 7) : random(seed) {}

  std::string input(const std::string& name, Shape shape) {
    graph.inputs.push_back({name, ValueType::of(DType::f32, shape)});
    feeds[name] = dyadic(random, shape, 32, 1.0F / 16);
    return name;
  }
  std::string conv(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                   std::int64_t kernel = 3, bool bias = false, std::int64_t group = 1) {
    std::vector<std::string> inputs{
        x, graph.add_initializer(name + ".weight", dyadic(random, {out, in / group, kernel, kernel}, 12, 1.0F / 16))};
    if (bias) inputs.push_back(graph.add_initializer(name + ".bias", dyadic(random, {out}, 8, 1.0F / 8)));
    const std::int64_t p = kernel / 2;
    return graph.add("Conv", inputs, {{"pads", std::vector<std::int64_t>{p, p, p, p}}, {"group", group}}, name);
  }
  std::string norm(const std::string& name, const std::string& x, std::int64_t channels) {
    Tensor variance(DType::f32, {channels});
    for (float& v : variance.mutable_values<float>()) v = std::ldexp(1.0F, 2 * static_cast<int>(random.below(3)));
    Tensor gamma = dyadic(random, {channels}, 4, 0.25F);
    if (positive_gamma)
      for (float& v : gamma.mutable_values<float>()) v = std::abs(v);
    return graph.add("BatchNormalization",
                     {x, graph.add_initializer(name + ".gamma", gamma),
                      graph.add_initializer(name + ".beta", dyadic(random, {channels}, 8, 0.125F)),
                      graph.add_initializer(name + ".mean", dyadic(random, {channels}, 8, 0.125F)),
                      graph.add_initializer(name + ".variance", variance)},
                     {{"epsilon", 0.0F}}, name);
  }
  std::string gemm(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out, bool transposed) {
    return graph.add(
        "Gemm",
        {x,
         graph.add_initializer(name + ".weight",
                               dyadic(random, transposed ? Shape{out, in} : Shape{in, out}, 12, 1.0F / 16)),
         graph.add_initializer(name + ".bias", dyadic(random, {out}, 8, 0.125F))},
        {{"transB", std::int64_t{transposed ? 1 : 0}}}, name);
  }
  std::string relu(const std::string& x) { return graph.add("Relu", {x}, {}, x + ".relu"); }
  std::string max_pool(const std::string& x) {
    return graph.add("MaxPool", {x},
                     {{"kernel_shape", std::vector<std::int64_t>{2, 2}}, {"strides", std::vector<std::int64_t>{2, 2}}},
                     x + ".pool");
  }

  Graph graph;
  Random random;
  std::map<std::string, Tensor> feeds;
  bool positive_gamma = false;
};

/// Rounds to multiples of 1/8, a different power of two a channel when there is more than one group.
inline Encoding encode_uniform(const Node& node, const Tensor& w) {
  const int bits = static_cast<int>(node.get_int("bits", 4));
  Encoding e;
  e.shape = w.shape();
  e.codes.resize(static_cast<std::size_t>(w.count()));
  const bool binary = bits == 1;
  e.kind = binary ? EncodingKind::bit_planes : EncodingKind::uniform;
  e.bits = bits;
  e.groups = node.get_int("per_channel", 0) != 0 ? w.shape()[0] : 1;
  const std::int64_t size = w.count() / e.groups;
  for (std::int64_t g = 0; g < e.groups; ++g) {
    const float step = std::ldexp(1.0F, -2 - static_cast<int>(g % 3));
    const int zero = node.get_int("zero_point", 0) != 0 ? static_cast<int>(g % 4) : 1 << (bits - 1);
    if (binary) {
      e.offset.push_back(-step);
      e.plane_scale.push_back(2 * step);
    } else {
      e.scale.push_back(step);
      e.zero_point.push_back(zero);
    }
    for (std::int64_t i = g * size; i < (g + 1) * size; ++i) {
      const float v = w.as<float>()[i];
      const float code = std::min(std::max(std::nearbyint(v / step) + static_cast<float>(zero), 0.0F),
                                  static_cast<float>((1 << bits) - 1));
      e.codes[static_cast<std::size_t>(i)] =
          static_cast<std::uint8_t>(binary ? (v >= 0 ? 1 : 0) : static_cast<int>(code));
    }
  }
  return e;
}

inline ActivationCode activation_of(const Node& node) {
  ActivationCode code;
  code.bits = static_cast<int>(node.get_int("bits", 4));
  code.sign = node.get_string("method", "") == "bnn";
  if (code.sign) {
    code.bits = 1;
    return code;
  }
  const bool is_signed = node.get_int("signed", 1) != 0;
  const int levels = 1 << code.bits;
  code.min = is_signed ? -levels / 2 : 0;
  code.max = is_signed ? levels / 2 - 1 : levels - 1;
  code.scale = code.step = node.has("scale") ? node.get_float("scale", 1) : 0.25F;
  return code;
}

inline FreezeCallbacks callbacks() { return {encode_uniform, activation_of}; }

/// The placed graph with every Quantizer replaced by what it does in evaluation, in float.
inline Graph simulation(Graph placed) {
  std::map<std::string, Node> owners;
  for (const Node& node : placed.nodes) owners[node.name] = node;
  std::vector<Node> nodes = std::move(placed.nodes);
  placed.nodes.clear();
  for (Node& node : nodes) {
    if (!node.is("Quantizer", kNnqDomain)) {
      placed.nodes.push_back(node);
      continue;
    }
    const std::string role = node.get_string("role", "");
    if (role == "weight") {
      placed.initializers[node.outputs[0]] = encode_uniform(node, placed.initializers.at(node.inputs[0])).decode();
    } else if (role == "gradient") {
      placed.nodes.push_back({node.name, "Identity", "", {node.inputs[0]}, node.outputs, {}});
    } else {
      const ActivationCode code = activation_of(owners.at(node.get_string("shared_with", node.name.c_str())));
      const std::string codes = node.outputs[0] + "#codes", scale = node.outputs[0] + "#scale",
                        zero = node.outputs[0] + "#zero";
      placed.initializers[scale] = Tensor::of<float>({1}, std::vector<float>{code.step});
      placed.initializers[zero] = Tensor::of<float>({1}, std::vector<float>{0.0F});
      Node quantize{node.name, code.sign ? "Sign" : "Quantize", kNnqDomain, {node.inputs[0]}, {codes}, {}};
      if (!code.sign) {
        quantize.inputs.push_back(scale);
        quantize.attributes = {
            {"min", std::int64_t{code.min}}, {"max", std::int64_t{code.max}}, {"bits", std::int64_t{code.bits}}};
      }
      placed.nodes.push_back(quantize);
      placed.nodes.push_back({node.name + "#real", "Affine", kNnqDomain, {codes, scale, zero}, node.outputs, {}});
    }
  }
  return placed;
}

}  // namespace nnq::test
