#include <cmath>

#include "nnq/passes.h"

namespace nnq {
namespace {

/// y = factor * x + shift of an inference BatchNormalization, in double.
struct Normalization {
  std::vector<double> factor, shift;
};

bool read(const Graph& graph, const Node& node, Normalization& n) {
  // Statistics of the batch, or (before opset 9) of every place, are not factors of a channel.
  if (node.inputs.size() != 5 || node.outputs.size() != 1 || node.get_int("training_mode", 0) != 0 ||
      node.get_int("spatial", 1) != 1)
    return false;
  const Tensor* parts[4];
  for (std::size_t i = 0; i < 4; ++i) {
    parts[i] = graph.initializer(node.inputs[i + 1]);
    if (parts[i] == nullptr || parts[i]->dtype() != DType::f32 || parts[i]->count() != parts[0]->count()) return false;
  }
  const double epsilon = static_cast<double>(node.get_float("epsilon", 1e-5f));
  for (std::int64_t c = 0; c < parts[0]->count(); ++c) {
    const double factor = static_cast<double>(parts[0]->as<float>()[c]) /
                          std::sqrt(static_cast<double>(parts[3]->as<float>()[c]) + epsilon);
    n.factor.push_back(factor);
    n.shift.push_back(static_cast<double>(parts[1]->as<float>()[c]) -
                      factor * static_cast<double>(parts[2]->as<float>()[c]));
  }
  return true;
}

/// Output channels of the weight lie on this axis; -1: the node's form is not folded.
int channel_axis(const Node& node) {
  if (node.is("Conv")) return 0;
  if (node.is("ConvTranspose")) return node.get_int("group", 1) == 1 ? 1 : -1;
  if (node.is("Gemm"))
    return node.get_float("alpha", 1) == 1 && node.get_float("beta", 1) == 1 ? (node.get_int("transB", 0) != 0 ? 0 : 1)
                                                                             : -1;
  return -1;
}

Tensor scaled(const Tensor& weight, std::int64_t axis, const std::vector<double>& factor) {
  Tensor out = weight;
  std::int64_t inner = 1;
  for (std::int64_t d = axis + 1; d < weight.rank(); ++d) inner *= weight.shape()[static_cast<std::size_t>(d)];
  const auto channels = static_cast<std::int64_t>(factor.size());
  float* values = out.mutable_as<float>();
  for (std::int64_t i = 0; i < weight.count(); ++i)
    values[i] =
        static_cast<float>(static_cast<double>(values[i]) * factor[static_cast<std::size_t>(i / inner % channels)]);
  return out;
}

/// Folds `norm` into `layer`; false when their form does not allow it.
bool fold_pair(Graph& graph, Node& layer, const Node& norm) {
  Normalization n;
  const int axis = channel_axis(layer);
  const Tensor* weight = axis >= 0 && layer.inputs.size() >= 2 ? graph.initializer(layer.inputs[1]) : nullptr;
  if (!read(graph, norm, n) || weight == nullptr || weight->dtype() != DType::f32 || weight->rank() <= axis)
    return false;
  const auto channels = static_cast<std::int64_t>(n.factor.size());
  if (weight->shape()[static_cast<std::size_t>(axis)] != channels) return false;
  const bool has_bias = layer.inputs.size() > 2 && !layer.inputs[2].empty();
  const Tensor* old = has_bias ? graph.initializer(layer.inputs[2]) : nullptr;
  if (has_bias && (old == nullptr || old->rank() < 1 || old->count() != channels || old->shape().back() != channels))
    return false;
  Tensor bias(DType::f32, {channels});
  for (std::size_t c = 0; c < n.factor.size(); ++c) {
    bias.mutable_as<float>()[c] = static_cast<float>(
        (old != nullptr ? static_cast<double>(old->as<float>()[c]) * n.factor[c] : 0.0) + n.shift[c]);
  }
  Tensor folded = scaled(*weight, axis, n.factor);
  layer.inputs[1] = graph.add_initializer(layer.inputs[1] + ".folded", std::move(folded));
  layer.inputs.resize(3);
  layer.inputs[2] = graph.add_initializer(layer.name + ".folded_bias", std::move(bias));
  return true;
}

}  // namespace

Graph fold_batch_norm(Graph graph) {
  const GraphIndex index(graph);
  std::vector<bool> dropped(graph.nodes.size(), false);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& norm = graph.nodes[i];
    if (!norm.is("BatchNormalization")) continue;
    const auto producer = index.producer.find(norm.inputs[0]);
    if (producer == index.producer.end() || graph.is_output(norm.inputs[0]) ||
        index.consumers.at(norm.inputs[0]).size() != 1)
      continue;
    Node& layer = graph.nodes[static_cast<std::size_t>(producer->second)];
    if (!fold_pair(graph, layer, norm)) continue;
    layer.outputs[0] = norm.outputs[0];
    dropped[i] = true;
  }
  std::vector<Node> kept;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!dropped[i]) kept.push_back(std::move(graph.nodes[i]));
  }
  graph.nodes = std::move(kept);
  graph.sort();
  return remove_dead_nodes(std::move(graph));
}

}  // namespace nnq
