// Recurrent language models as in alternating multi-bit quantization (Xu et al. 2018, arXiv:1802.00150): embedding, one
// or more LSTM or GRU layers, softmax layer. Input: token numbers int64 [T, N]; output: logits [T, N, vocabulary].
#include <cmath>

#include "core/random.h"
#include "nnq/error.h"
#include "zoo/registry.h"

namespace nnq::zoo {
namespace {

Tensor uniform(std::uint64_t seed, const std::string& name, const Shape& shape, float bound) {
  Tensor tensor(DType::f32, shape);
  Random random(seed, name);
  for (float& v : tensor.mutable_values<float>()) v = random.uniform(-bound, bound);
  return tensor;
}

Graph language_model(const std::string& cell, std::int64_t gates, const Values& values, std::uint64_t seed) {
  const std::int64_t vocabulary = values.integer("vocabulary", 2, 10000000),
                     hidden = values.integer("hidden", 1, 65536), layers = values.integer("layers", 1, 16);
  const double init = values.number("init", 0, 10);
  const auto bound = static_cast<float>(init > 0 ? init : 1 / std::sqrt(static_cast<double>(hidden)));
  Graph graph;
  graph.opset = 17;
  graph.inputs.push_back(
      {"tokens", {.dtype = DType::i64, .ranked = true, .shape = {Dim(std::string("T")), Dim(std::string("N"))}}});
  graph.initializers["embedding.weight"] = uniform(seed, "embedding", {vocabulary, hidden}, bound);
  const auto node = [&](const std::string& name, const std::string& op, std::vector<std::string> inputs,
                        std::map<std::string, Attribute> attributes) {
    return graph.add(Node{.name = name,
                          .op = op,
                          .domain = "",
                          .inputs = std::move(inputs),
                          .outputs = {name + ".out"},
                          .attributes = std::move(attributes)});
  };
  std::string x = node("embedding", "Gather", {"embedding.weight", "tokens"}, {});
  graph.initializers["squeeze.axes"] = Tensor::of<std::int64_t>({1}, std::vector<std::int64_t>{1});
  for (std::int64_t layer = 1; layer <= layers; ++layer) {
    const std::string name = (cell == "LSTM" ? "lstm" : "gru") + std::to_string(layer);
    graph.initializers[name + ".W"] = uniform(seed, name + ".W", {1, gates * hidden, hidden}, bound);
    graph.initializers[name + ".R"] = uniform(seed, name + ".R", {1, gates * hidden, hidden}, bound);
    graph.initializers[name + ".B"] = uniform(seed, name + ".B", {1, 2 * gates * hidden}, bound);
    std::map<std::string, Attribute> attributes = {{"hidden_size", hidden}};
    if (cell == "GRU") attributes["linear_before_reset"] = std::int64_t{1};
    x = node(name, cell, {x, name + ".W", name + ".R", name + ".B"}, attributes);
    x = node(name + ".squeeze", "Squeeze", {x, "squeeze.axes"}, {});
  }
  graph.initializers["softmax.weight"] = uniform(seed, "softmax", {hidden, vocabulary}, bound);
  graph.initializers["softmax.bias"] = Tensor(DType::f32, {vocabulary});
  x = node("softmax", "MatMul", {x, "softmax.weight"}, {});
  graph.add(Node{.name = "softmax.add",
                 .op = "Add",
                 .domain = "",
                 .inputs = {x, "softmax.bias"},
                 .outputs = {"logits"},
                 .attributes = {}});
  graph.outputs = {"logits"};
  verify(graph);
  return graph;
}

Network entry(const std::string& name, const std::string& cell, std::int64_t gates) {
  return {.entry = {name,
                    cell + " language model (sizes of arXiv:1802.00150)",
                    {{"vocabulary", "10000", "2..", "tokens"},
                     {"hidden", "300", "1..65536", "units a layer, also of the embedding"},
                     {"layers", "1", "1..16", "recurrent layers"},
                     {"init", "0", "0..10", "weights begin uniform in -init..init; 0: 1 / sqrt(hidden)"}}},
          .build = [cell, gates](const Values& values, std::uint64_t seed) {
            return language_model(cell, gates, values, seed);
          }};
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(language_models) { return {entry("lstm_lm", "LSTM", 4), entry("gru_lm", "GRU", 3)}; }
