#include "methods/post_training.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "nnq/error.h"

namespace nnq::methods {
namespace {

/// Weight, optional bias, and the channels they belong to, of Conv or of Gemm with transB = 1.
struct Layer {
  std::size_t node = 0;
  std::string weight, bias;  // bias: "" when there is none
  std::int64_t outputs = 0, inputs = 0, group = 1, kernel = 1;
};

/// An initializer of float32 that only this one node reads, once.
const Tensor* own(const Graph& graph, const std::string& value) {
  const Tensor* tensor = value.empty() ? nullptr : graph.initializer(value);
  const bool usable = tensor != nullptr && tensor->dtype() == DType::f32;
  return usable && graph.consumers(value).size() == 1 && !graph.is_output(value) ? tensor : nullptr;
}

bool read_layer(const Graph& graph, std::size_t n, Layer& layer) {
  const Node& node = graph.nodes[n];
  const bool conv = node.is("Conv"), gemm = node.is("Gemm") && node.get_int("transB", 0) != 0;
  if ((!conv && !gemm) || node.inputs.size() < 2) return false;
  const Tensor* weight = own(graph, node.inputs[1]);
  if (weight == nullptr || weight->rank() < 2 || weight->count() == 0) return false;
  layer = {n, node.inputs[1], {}, weight->shape()[0], 0, conv ? node.get_int("group", 1) : 1, 1};
  if (layer.group < 1 || layer.outputs % layer.group != 0) return false;
  layer.inputs = weight->shape()[1] * layer.group;
  layer.kernel = weight->count() / (weight->shape()[0] * weight->shape()[1]);
  if (node.inputs.size() < 3 || node.inputs[2].empty()) return true;
  const Tensor* bias = own(graph, node.inputs[2]);
  layer.bias = node.inputs[2];
  return bias != nullptr && bias->shape() == Shape{layer.outputs};
}

/// f(a x) = a f(x) for a > 0, channel by channel.
bool is_homogeneous(const Node& node) {
  static const std::set<std::string> operators{"Relu",    "LeakyRelu", "MaxPool",           "AveragePool",
                                               "Flatten", "Dropout",   "GlobalAveragePool", "GlobalMaxPool",
                                               "Identity"};
  return node.domain.empty() && operators.contains(node.op) &&
         std::count(node.outputs.begin() + 1, node.outputs.end(), std::string()) + 1 ==
             static_cast<std::ptrdiff_t>(node.outputs.size());
}

/// The layer that alone reads what `first` makes.
bool next_layer(const Graph& graph, const Layer& first, Layer& second) {
  std::string value = graph.nodes[first.node].outputs[0];
  for (std::size_t steps = 0; steps < graph.nodes.size(); ++steps) {
    const std::vector<std::size_t> readers = graph.consumers(value);
    if (readers.size() != 1 || graph.is_output(value)) return false;
    const Node& node = graph.nodes[readers[0]];
    if (node.inputs.empty() || node.inputs[0] != value) return false;
    if (read_layer(graph, readers[0], second)) return second.inputs == first.outputs;
    if (!is_homogeneous(node)) return false;
    value = node.outputs[0];
  }
  return false;
}

/// Input channel that weight i of the layer multiplies.
std::int64_t input_of(const Layer& layer, std::int64_t i) {
  const std::int64_t per_group = layer.inputs / layer.group, pair = i / layer.kernel;
  return pair / per_group / (layer.outputs / layer.group) * per_group + pair % per_group;
}

/// Moves scale between the two; true when a channel changed.
bool equalize_pair(Graph& graph, const Layer& first, const Layer& second) {
  const auto channels = static_cast<std::size_t>(first.outputs);
  std::vector<double> made(channels, 0), read(channels, 0), scale(channels, 1);
  Tensor &w1 = graph.initializers.at(first.weight), &w2 = graph.initializers.at(second.weight);
  const std::int64_t row = w1.count() / first.outputs;
  for (std::int64_t i = 0; i < w1.count(); ++i) {
    double& most = made[static_cast<std::size_t>(i / row)];
    most = std::max(most, static_cast<double>(std::fabs(w1.as<float>()[i])));
  }
  for (std::int64_t i = 0; i < w2.count(); ++i) {
    double& most = read[static_cast<std::size_t>(input_of(second, i))];
    most = std::max(most, static_cast<double>(std::fabs(w2.as<float>()[i])));
  }
  bool changed = false;
  for (std::size_t c = 0; c < channels; ++c) {
    if (made[c] == 0 || read[c] == 0 || !std::isfinite(made[c] / read[c])) continue;
    scale[c] = std::exp2(std::nearbyint(std::log2(read[c] / made[c]) / 2));  // of the first layer's channel
    changed = changed || scale[c] != 1;
  }
  if (!changed) return false;
  const auto multiply = [](float& value, double factor) {
    value = static_cast<float>(static_cast<double>(value) * factor);
  };
  float* to1 = w1.mutable_as<float>();
  float* to2 = w2.mutable_as<float>();
  for (std::int64_t i = 0; i < w1.count(); ++i) multiply(to1[i], scale[static_cast<std::size_t>(i / row)]);
  for (std::int64_t i = 0; i < w2.count(); ++i)
    multiply(to2[i], 1 / scale[static_cast<std::size_t>(input_of(second, i))]);
  if (!first.bias.empty()) {
    float* bias = graph.initializers.at(first.bias).mutable_as<float>();
    for (std::size_t c = 0; c < channels; ++c) multiply(bias[c], scale[c]);
  }
  return true;
}

/// Mean a channel (axis 1) of values as batches go by.
struct ChannelMeans {
  std::vector<double> sum;
  double count = 0;

  void add(const Tensor& t) {
    if (t.dtype() != DType::f32 || t.rank() < 2 || t.count() == 0) return;
    const std::int64_t channels = t.shape()[1], inner = t.count() / (t.shape()[0] * channels);
    sum.resize(static_cast<std::size_t>(channels), 0);
    for (std::int64_t i = 0; i < t.count(); ++i)
      sum[static_cast<std::size_t>(i / inner % channels)] += static_cast<double>(t.as<float>()[i]);
    count += static_cast<double>(t.count() / channels);
  }
};

std::map<std::string, ChannelMeans> observe_means(const Graph& graph, const std::set<std::string>& values,
                                                  const RunGraph& run) {
  std::map<std::string, ChannelMeans> means;
  run(graph, [&](const std::string& value, const Tensor& tensor) {
    if (values.contains(value)) means[value].add(tensor);
  });
  return means;
}

bool has_weight_quantizer(const Graph& graph, const Node& node) {
  if ((!node.is("Conv") && !node.is("Gemm")) || node.inputs.size() < 2 || node.get_float("beta", 1) != 1) return false;
  const std::int64_t producer = graph.producer(node.inputs[1]);
  return producer >= 0 && graph.nodes[static_cast<std::size_t>(producer)].is("Quantizer", kNnqDomain);
}

/// Adds `shift` to the bias of node n (its own copy of it).
void add_to_bias(Graph& graph, std::size_t n, const std::vector<double>& shift) {
  Tensor bias(DType::f32, {static_cast<std::int64_t>(shift.size())});
  const bool has_bias = graph.nodes[n].inputs.size() > 2 && !graph.nodes[n].inputs[2].empty();
  const Tensor* old = has_bias ? graph.initializer(graph.nodes[n].inputs[2]) : nullptr;
  if (has_bias && (old == nullptr || old->dtype() != DType::f32 || (old->count() != 1 && old->count() != bias.count())))
    return;
  float* to = bias.mutable_as<float>();
  for (std::size_t c = 0; c < shift.size(); ++c) {
    const float before = old == nullptr ? 0.0F : old->as<float>()[old->count() == 1 ? 0 : c];
    to[c] = static_cast<float>(static_cast<double>(before) + shift[c]);
  }
  if (old != nullptr && own(graph, graph.nodes[n].inputs[2]) != nullptr) {
    graph.initializers[graph.nodes[n].inputs[2]] = std::move(bias);
    return;
  }
  const std::string name = graph.add_initializer(graph.nodes[n].name + ".bias", std::move(bias));
  graph.nodes[n].inputs.resize(3);
  graph.nodes[n].inputs[2] = name;
}

}  // namespace

Graph equalize_layers(Graph graph) {
  for (int sweep = 0; sweep < 20; ++sweep) {
    bool changed = false;
    for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
      Layer first, second;
      if (read_layer(graph, n, first) && next_layer(graph, first, second))
        changed = equalize_pair(graph, first, second) || changed;
    }
    if (!changed) break;
  }
  return graph;
}

Graph correct_biases(Graph quantized, const Graph& reference, const RunGraph& run) {
  std::vector<std::size_t> layers;
  std::set<std::string> values;
  for (std::size_t n = 0; n < quantized.nodes.size(); ++n) {
    const Node& node = quantized.nodes[n];
    if (!has_weight_quantizer(quantized, node)) continue;
    const auto twin = std::find_if(reference.nodes.begin(), reference.nodes.end(),
                                   [&](const Node& other) { return other.name == node.name; });
    NNQ_CHECK(twin != reference.nodes.end(), "is not in the reference graph", "node '" + node.name + "'");
    layers.push_back(n);
    values.insert(twin->outputs[0]);
  }
  const std::map<std::string, ChannelMeans> expected = observe_means(reference, values, run);
  for (const std::size_t n : layers) {
    const std::string value = quantized.nodes[n].outputs[0];
    const auto wanted = expected.find(value);
    if (wanted == expected.end()) continue;  // renamed behind a gradient quantizer
    const std::map<std::string, ChannelMeans> got = observe_means(quantized, {value}, run);
    const auto found = got.find(value);
    if (found == got.end() || found->second.count == 0 || wanted->second.count == 0) continue;
    std::vector<double> shift;
    for (std::size_t c = 0; c < wanted->second.sum.size(); ++c)
      shift.push_back(wanted->second.sum[c] / wanted->second.count - found->second.sum[c] / found->second.count);
    add_to_bias(quantized, n, shift);
  }
  return quantized;
}

}  // namespace nnq::methods
