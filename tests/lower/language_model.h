// Frozen recurrent language models made by hand, and their inputs.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/random.h"
#include "nnq/encoding.h"
#include "nnq/graph.h"

namespace nnq::test {

inline constexpr std::int64_t vocabulary = 12, width = 24;

/// A frozen model: embedding -> layers -> product -> bias.
class LanguageModel {
 public:
  /// uniform: vectors of 8 bits with a scale each, quantized on line in front of every layer.
  explicit LanguageModel(bool gru, int bits = 2, bool integers = false, bool uniform = false)
      : gru_(gru), bits_(bits), integers_(integers), uniform_(uniform) {
    graph.opset = 17;
    graph.inputs.push_back(
        {"tokens", {.dtype = DType::i64, .ranked = true, .shape = {Dim(std::string("T")), Dim(std::string("N"))}}});
  }

  std::string embedding() { return add("Gather", {packed("table", vocabulary, width, false), "tokens"}, "embedding"); }

  /// x [.., n] quantized on line.
  std::string quantized(const std::string& x) {
    std::map<std::string, Attribute> attributes{{"bits", std::int64_t{uniform_ ? 8 : bits_}}};
    if (uniform_) attributes["uniform"] = std::int64_t{1};
    return graph.add("QuantizeVectors", {x}, attributes, x + ".vectors", kNnqDomain);
  }

  std::string recurrent(const std::string& from, const std::string& name) {
    const std::string x = uniform_ ? quantized(from) : from;
    const std::int64_t rows = (gru_ ? 3 : 4) * width;
    const std::string h = state(name + ".h");
    std::vector<std::string> inputs{
        x,
        unsqueezed(packed(name + ".W", rows, width, integers_)),
        unsqueezed(packed(name + ".R", rows, width, integers_)),
        graph.add_initializer(name + ".B", Tensor::of<float>({1, 2 * rows}, floats(2 * rows))),
        "",
        h};
    if (!gru_) inputs.push_back(state(name + ".c"));
    Node node{.name = name,
              .op = gru_ ? "GRU" : "LSTM",
              .domain = kNnqDomain,
              .inputs = inputs,
              .outputs = {name + ".out", name + ".h.next"},
              .attributes = {{"state_bits", std::int64_t{uniform_ ? 8 : bits_}}}};
    if (uniform_) node.attributes["state_uniform"] = std::int64_t{1};
    if (gru_)
      node.attributes["linear_before_reset"] = std::int64_t{1};
    else
      node.outputs.push_back(name + ".c.next");
    graph.add(node);
    for (std::size_t i = 1; i < node.outputs.size(); ++i) graph.outputs.push_back(node.outputs[i]);
    if (graph.initializer("axes") == nullptr)
      graph.add_initializer("axes", Tensor::of<std::int64_t>({1}, std::vector<std::int64_t>{1}));
    return add("Squeeze", {name + ".out", "axes"}, name + ".squeeze");
  }

  Graph finish(const std::string& x) {
    const std::string w = add("Transpose", {packed("softmax", vocabulary, width, integers_)}, "turned");
    const std::string y = add("MatMul", {x, w}, "softmax.product");
    const std::string bias = graph.add_initializer("softmax.bias", Tensor::of<float>({vocabulary}, floats(vocabulary)));
    graph.outputs.insert(graph.outputs.begin(), add("Add", {y, bias}, "logits"));
    verify(graph);
    return graph;
  }

  std::string add(const std::string& op, std::vector<std::string> inputs, const std::string& name) {
    return graph.add(
        Node{.name = name, .op = op, .domain = "", .inputs = std::move(inputs), .outputs = {name}, .attributes = {}});
  }

  Graph graph;

 private:
  std::vector<float> floats(std::int64_t n) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (float& v : x) v = random_.uniform(-0.4F, 0.4F);
    return x;
  }
  std::string state(const std::string& name) {
    graph.inputs.push_back(
        {name,
         {.dtype = DType::f32, .ranked = true, .shape = {Dim(std::int64_t{1}), Dim(std::string("N")), Dim(width)}}});
    return name;
  }
  std::string unsqueezed(const std::string& value) {
    if (graph.initializer("front") == nullptr)
      graph.add_initializer("front", Tensor::of<std::int64_t>({1}, std::vector<std::int64_t>{0}));
    return add("Unsqueeze", {value, "front"}, value + ".unsqueezed");
  }
  /// Rows of signs with scales of their own, or integers with a step a row.
  std::string packed(const std::string& name, std::int64_t rows, std::int64_t columns, bool integers) {
    const auto bits = static_cast<std::size_t>(bits_);
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * columns));
    for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(random_.below(std::uint64_t{1} << bits));
    std::vector<float> scale, offset;
    for (std::int64_t r = 0; r < (integers ? 1 : rows); ++r) {
      float sum = 0;
      for (std::size_t k = 0; k < bits; ++k) {
        const float alpha =
            integers ? std::ldexp(0.5F, static_cast<int>(k)) : random_.uniform(0.1F, 0.3F) / static_cast<float>(k + 1);
        sum += alpha;
        scale.push_back(2 * alpha);
      }
      offset.push_back(integers ? -std::ldexp(1.0F, bits_ - 1) : -sum);
    }
    const std::vector<std::uint8_t> bytes = pack_planes(codes, bits_);
    const std::string value = graph.add(
        "BitPlanes",
        {graph.add_initializer(name + ".planes", Tensor::of<std::uint8_t>(
                                                     {bits_, static_cast<std::int64_t>(bytes.size()) / bits_}, bytes)),
         graph.add_initializer(name + ".scale",
                               Tensor::of<float>({static_cast<std::int64_t>(offset.size()), bits_}, scale)),
         graph.add_initializer(name + ".offset", Tensor::of<float>({static_cast<std::int64_t>(offset.size())}, offset)),
         graph.add_initializer(name + ".shape",
                               Tensor::of<std::int64_t>({2}, std::vector<std::int64_t>{rows, columns}))},
        {}, name + ".values", kNnqDomain);
    if (!integers) return value;
    const std::string step = graph.add_initializer(name + ".step", Tensor::of<float>({rows}, floats(rows))),
                      zero = graph.add_initializer(name + ".zero", Tensor::of<float>({1}, std::vector<float>{0}));
    return graph.add("Affine", {value, step, zero}, {{"axis", std::int64_t{0}}}, name + ".real", kNnqDomain);
  }

  bool gru_;
  int bits_;
  bool integers_, uniform_;
  Random random_{7};
};

/// Tokens of `time` steps of three texts, zero states.
inline std::map<std::string, Tensor> feeds_of(const Graph& graph, std::int64_t time = 20) {
  std::map<std::string, Tensor> feeds;
  Random random(3);
  for (const GraphInput& input : graph.inputs) {
    if (input.name == "tokens") {
      Tensor tokens(DType::i64, {time, 3});
      for (std::int64_t& v : tokens.mutable_values<std::int64_t>())
        v = static_cast<std::int64_t>(random.below(vocabulary));
      feeds[input.name] = tokens;
      continue;
    }
    const bool sequence = !input.type.shape[0].known();
    Tensor values(DType::f32, {sequence ? time : 1, 3, width});
    if (sequence)
      for (float& v : values.mutable_values<float>()) v = random.uniform(-1, 1);
    feeds[input.name] = values;
  }
  return feeds;
}

inline std::vector<Tensor> in_order(const Graph& graph, const std::map<std::string, Tensor>& feeds) {
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs) inputs.push_back(feeds.at(input.name));
  return inputs;
}

}  // namespace nnq::test
