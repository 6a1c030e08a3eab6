// Networks to export: the zoo with small widths, frozen quantized networks, and inputs for them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/random.h"
#include "nnq/zoo.h"
#include "quantize/support.h"

namespace nnq::test {

/// A zoo network with few parameters.
inline Graph small_network(const ZooEntry& entry) {
  const std::map<std::string, std::string> wanted{{"hidden", entry.name == "mlp" ? "32,32" : "16"},
                                                  {"width", "0.1"},
                                                  {"fc", "16"},
                                                  {"alpha", "0.1"},
                                                  {"size", entry.name == "lenet5" || entry.name == "mlp" ? "14" : "32"},
                                                  {"classes", "10"},
                                                  {"vocabulary", "30"}};
  std::map<std::string, std::string> parameters;
  for (const ZooParameter& parameter : entry.parameters)
    if (const auto it = wanted.find(parameter.name); it != wanted.end()) parameters.insert(*it);
  return build_zoo(entry.name, parameters);
}

/// Without ResNet-18, which has no small form (resnet18_slow_test.cpp), and with one of the distillation family: they
/// are the same few operators, in millions of weights.
inline std::vector<ZooEntry> quick_zoo() {
  std::vector<ZooEntry> entries = all_zoo();
  std::erase_if(entries, [](const ZooEntry& entry) {
    return entry.name == "resnet18" ||
           (entry.name.starts_with("distillation_") && entry.name != "distillation_student3");
  });
  return entries;
}

/// Inputs by name: floats in [-2, 2), integers below 30; free dimensions are `batch`.
inline std::map<std::string, Tensor> feeds_for(const Graph& graph, std::int64_t batch, std::uint64_t seed) {
  Random random(seed);
  std::map<std::string, Tensor> feeds;
  for (const GraphInput& input : graph.inputs) {
    Shape shape;
    for (const Dim& dim : input.type.shape) shape.push_back(dim.known() ? dim.value : batch);
    Tensor value(input.type.dtype, shape);
    if (input.type.dtype == DType::i64)
      for (std::int64_t& v : value.mutable_values<std::int64_t>()) v = static_cast<std::int64_t>(random.below(30));
    else
      for (float& v : value.mutable_values<float>()) v = static_cast<float>(random.below(4096)) / 1024.0F - 2.0F;
    feeds[input.name] = value;
  }
  return feeds;
}

/// The network with every layer's weights and activations at these bits (1: binary weights and signs), frozen.
inline Graph frozen_network(const Graph& graph, int weight_bits, int activation_bits, bool per_channel) {
  QuantizerSpec weights{"uniform", weight_bits, {}}, activations{"uniform", activation_bits, {}};
  if (per_channel) weights.parameters["per_channel"] = std::int64_t{1};
  if (activation_bits == 1) activations = {"bnn", 1, {}};
  PlacementOptions options;
  options.rules = {{"*", weights, activations, {}}};
  for (const Node& node : graph.nodes)  // recurrent states are quantized by `alternating` only
    if (node.op == "LSTM" || node.op == "GRU") options.rules.push_back({node.name, weights, {}, {}});
  return freeze(place_quantizers(graph, options), callbacks());
}

}  // namespace nnq::test
