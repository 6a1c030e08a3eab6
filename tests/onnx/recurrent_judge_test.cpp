// LSTM and GRU with a state quantized on line: ONNX Runtime computes from their function bodies what nnq computes.
#include <gtest/gtest.h>

#include "judge.h"
#include "lower/language_model.h"
#include "nnq/onnx.h"

namespace nnq::test {
namespace {

struct Case {
  bool gru;
  int bits;
  std::int64_t cycles;
  bool bias = true, state = true, uniform = false;
};

constexpr std::int64_t units = 12, features = 5;

/// One layer over x [T, N, 5], weights uniform; with or without what may be left out.
Graph layer(const Case& c, std::int64_t opset) {
  Graph graph;
  graph.opset = opset;
  Random random(11);
  const std::int64_t rows = (c.gru ? 3 : 4) * units;
  const auto floats = [&](const std::string& name, const Shape& shape) {
    Tensor tensor(DType::f32, shape);
    for (float& v : tensor.mutable_values<float>()) v = random.uniform(-0.7F, 0.7F);
    return graph.add_initializer(name, tensor);
  };
  const auto input = [&](const std::string& name, std::int64_t first, std::int64_t last) {
    SymbolicShape shape{first > 0 ? Dim(first) : Dim(std::string("T")), Dim(std::string("N")), Dim(last)};
    graph.inputs.push_back({name, {.dtype = DType::f32, .ranked = true, .shape = shape}});
    return name;
  };
  Node node{.name = "layer",
            .op = c.gru ? "GRU" : "LSTM",
            .domain = kNnqDomain,
            .inputs = {input("x", 0, features), floats("W", {1, rows, features}), floats("R", {1, rows, units}),
                       c.bias ? floats("B", {1, 2 * rows}) : ""},
            .outputs = {"y", "y_h"},
            .attributes = {{"state_bits", std::int64_t{c.bits}}}};
  if (c.cycles >= 0) node.attributes["state_cycles"] = c.cycles;
  if (c.uniform) node.attributes["state_uniform"] = std::int64_t{1};
  if (c.gru) node.attributes["linear_before_reset"] = std::int64_t{1};
  if (!c.gru) node.outputs.emplace_back("y_c");
  if (c.state) {
    node.inputs.emplace_back("");
    node.inputs.push_back(input("h", 1, units));
    if (!c.gru) node.inputs.push_back(input("c", 1, units));
  }
  graph.outputs = node.outputs;
  graph.add(std::move(node));
  verify(graph);
  return graph;
}

/// Share of elements that differ by more than rounding: a code that lies on a threshold may differ, and what follows.
double differing(const Tensor& theirs, const Tensor& ours) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < ours.count(); ++i)
    count += std::abs(theirs.as<float>()[i] - ours.as<float>()[i]) > 2e-5F ? 1 : 0;
  return static_cast<double>(count) / static_cast<double>(ours.count());
}

class JudgeRecurrent : public Judge {};

TEST_F(JudgeRecurrent, EveryWidthOfTheStateAgrees) {
  for (const Case& c : {Case{false, 1, -1}, Case{false, 2, 2, false, false}, Case{false, 3, 0}, Case{false, 8, 1},
                        Case{true, 1, 3}, Case{true, 2, -1, false, true}, Case{true, 4, 2, true, false},
                        Case{false, 8, -1, true, true, true}, Case{true, 8, 2, false, false, true}}) {
    for (const std::int64_t opset : {13, 17, 21}) {
      const Graph graph = layer(c, opset);
      const auto feeds = feeds_for(graph, 5, 12);
      const std::vector<Tensor> theirs = judged(graph, feeds), ours = interpret(graph, feeds);
      ASSERT_EQ(theirs.size(), ours.size());
      for (std::size_t i = 0; i < ours.size(); ++i) {
        ASSERT_EQ(theirs[i].shape(), ours[i].shape());
        EXPECT_EQ(differing(theirs[i], ours[i]), 0)
            << (c.gru ? "GRU " : "LSTM ") << c.bits << " bits, opset " << opset << ", output " << graph.outputs[i];
      }
    }
  }
}

TEST_F(JudgeRecurrent, VectorsQuantizedOnLineAgree) {
  for (const bool uniform : {false, true}) {
    for (const std::int64_t opset : {13, 17, 21}) {
      Graph graph;
      graph.opset = opset;
      graph.inputs.push_back({"x", ValueType::of(DType::f32, {4, 3, 29})});
      std::map<std::string, Attribute> attributes{{"bits", std::int64_t{uniform ? 8 : 3}}};
      if (uniform) attributes["uniform"] = std::int64_t{1};
      graph.outputs = {graph.add("QuantizeVectors", {"x"}, attributes, "y", kNnqDomain)};
      verify(graph);
      auto feeds = feeds_for(graph, 5, 12);
      std::fill_n(feeds["x"].mutable_as<float>(), 29, 0.0F);  // a vector without a scale
      const std::vector<Tensor> theirs = judged(graph, feeds), ours = interpret(graph, feeds);
      ASSERT_EQ(theirs[0].shape(), ours[0].shape());
      EXPECT_EQ(differing(theirs[0], ours[0]), 0) << uniform << ", opset " << opset;
    }
  }
}

TEST_F(JudgeRecurrent, ATextIsPredictedAlike) {
  for (const bool gru : {false, true}) {
    for (const int bits : {2, 3}) {
      LanguageModel model(gru, bits);
      const Graph graph = model.finish(model.recurrent(model.recurrent(model.embedding(), "first"), "second"));
      auto feeds = feeds_for(graph, 20, 13);
      for (std::int64_t& token : feeds["tokens"].mutable_values<std::int64_t>()) token %= vocabulary;
      const std::vector<Tensor> theirs = judged(graph, feeds), ours = interpret(graph, feeds);
      EXPECT_LE(differing(theirs[0], ours[0]), 0.01) << gru << bits;
      const auto left = predictions(theirs[0]), right = predictions(ours[0]);
      std::size_t differ = 0;
      for (std::size_t i = 0; i < left.size(); ++i) differ += left[i] != right[i] ? 1 : 0;
      EXPECT_EQ(differ, 0U) << "of " << left.size();
    }
  }
}

}  // namespace
}  // namespace nnq::test
