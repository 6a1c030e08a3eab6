#include "methods/search/policy_network.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.h"

namespace nnq::methods {
namespace {

/// Existence and scaled influence of a layer as [blocks, 2, 16, 16].
at::Tensor state_of(const ChannelGraph& graph, int k0) {
  constexpr std::int64_t b = PolicyNetwork::block;
  at::Tensor state = at::zeros({(graph.channels() + b - 1) / b, 2, b, b});
  auto at_entry = state.accessor<float, 4>();
  for (const Interaction& e : graph.edges()) {
    at_entry[e.teacher / b][0][e.teacher % b][e.student % b] = 1;
    at_entry[e.teacher / b][1][e.teacher % b][e.student % b] = static_cast<float>(scaled_influence(e.influence, k0));
  }
  return state;
}

/// 0 where a pair of channels can be, -infinity on the diagonal and beyond the last channel: [blocks, 16, 16].
at::Tensor mask_of(std::int64_t channels) {
  constexpr std::int64_t b = PolicyNetwork::block;
  const std::int64_t blocks = (channels + b - 1) / b;
  at::Tensor mask = at::full({blocks, b, b}, -std::numeric_limits<double>::infinity(), at::kFloat);
  auto entry = mask.accessor<float, 3>();
  for (std::int64_t g = 0; g < blocks; ++g)
    for (std::int64_t t = 0; t < std::min(b, channels - g * b); ++t)
      for (std::int64_t s = 0; s < std::min(b, channels - g * b); ++s)
        if (t != s) entry[g][t][s] = 0;
  return mask;
}

}  // namespace

at::Tensor& PolicyNetwork::add(const std::string& name, const Shape& shape, double bound, std::uint64_t seed) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  Random random(seed, "policy " + name);
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    tensor.data_ptr<float>()[i] = random.uniform(-static_cast<float>(bound), static_cast<float>(bound));
  return weights_[name] = tensor.set_requires_grad(true);
}

PolicyNetwork::PolicyNetwork(std::uint64_t seed) {
  const auto uniform = [&](const std::string& name, const Shape& shape, std::int64_t fan_in) {
    add(name + ".weight", shape, 1 / std::sqrt(static_cast<double>(fan_in)), seed);
  };
  uniform("encoder1", {8, 2, 3, 3}, 18);
  uniform("encoder2", {16, 8, 3, 3}, 72);
  uniform("features", {hidden, 16 * 4 * 4}, 256);
  uniform("gates_in", {3 * hidden, hidden}, hidden);
  uniform("gates_hidden", {3 * hidden, hidden}, hidden);
  uniform("unfold", {16 * 4 * 4, 2 * hidden}, 2 * hidden);
  uniform("decoder1", {16, 8, 4, 4}, 256);
  uniform("decoder2", {8, 2, 4, 4}, 128);
  for (const auto& [name, width] : std::vector<std::pair<std::string, std::int64_t>>{{"encoder1", 8},
                                                                                     {"encoder2", 16},
                                                                                     {"features", hidden},
                                                                                     {"gates_in", 3 * hidden},
                                                                                     {"gates_hidden", 3 * hidden},
                                                                                     {"unfold", 256},
                                                                                     {"decoder1", 8},
                                                                                     {"decoder2", 2}})
    add(name + ".bias", {width}, 0, seed);
}

std::vector<LayerPolicy> PolicyNetwork::forward(const std::vector<const ChannelGraph*>& graphs, int k0) const {
  at::Tensor memory = at::zeros({1, hidden});
  std::vector<LayerPolicy> policies;
  for (const ChannelGraph* graph : graphs) {
    at::Tensor x = state_of(*graph, k0);
    const std::int64_t blocks = x.size(0);
    x = at::conv2d(x, get("encoder1.weight"), get("encoder1.bias"), 2, 1).relu();
    x = at::conv2d(x, get("encoder2.weight"), get("encoder2.bias"), 2, 1).relu();
    const at::Tensor features =
        at::linear(x.reshape({blocks, 256}), get("features.weight"), get("features.bias")).relu();
    memory = at::gru_cell(features.mean(0, true), memory, get("gates_in.weight"), get("gates_hidden.weight"),
                          get("gates_in.bias"), get("gates_hidden.bias"));
    const at::Tensor joined = at::cat({features, memory.expand({blocks, hidden})}, 1);
    x = at::linear(joined, get("unfold.weight"), get("unfold.bias")).relu().reshape({blocks, 16, 4, 4});
    x = at::conv_transpose2d(x, get("decoder1.weight"), get("decoder1.bias"), 2, 1).relu();
    x = at::conv_transpose2d(x, get("decoder2.weight"), get("decoder2.bias"), 2, 1);
    const at::Tensor logits = x.select(1, 0) + mask_of(graph->channels());
    policies.push_back({at::log_softmax(logits.reshape(-1), 0).reshape(logits.sizes()), x.select(1, 1).tanh()});
  }
  return policies;
}

std::vector<train::Parameter> PolicyNetwork::parameters() {
  std::vector<train::Parameter> parameters;
  for (auto& [name, tensor] : weights_) {
    train::Parameter parameter;
    parameter.name = name;
    parameter.tensor = &tensor;
    parameter.decay = false;
    parameters.push_back(parameter);
  }
  return parameters;
}

}  // namespace nnq::methods
