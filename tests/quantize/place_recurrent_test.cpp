// Quantizers in recurrent networks: rows of every matrix, and the state inside the layer.
#include <gtest/gtest.h>

#include "nnq/error.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"

namespace nnq {
namespace {

Graph model(const std::string& cell) {
  return build_zoo(cell, {{"vocabulary", "11"}, {"hidden", "6"}, {"layers", "1"}});
}

Graph placed(const std::string& cell, const QuantizerSpec& activations) {
  PlacementOptions options;
  options.rules = {{"*", {"alternating", 2, {}}, {}, {}}, {"*1", {"alternating", 2, {}}, activations, {}}};
  return place_quantizers(model(cell), options);
}

Tensor tokens() {
  Tensor t(DType::i64, {5, 2});
  for (std::int64_t i = 0; i < 10; ++i) t.mutable_as<std::int64_t>()[i] = (3 * i + 1) % 11;
  return t;
}

TEST(PlaceRecurrent, EveryMatrixHasItsRowsFirst) {
  for (const char* cell : {"lstm_lm", "gru_lm"}) {
    const std::int64_t gates = std::string(cell) == "lstm_lm" ? 4 : 3;
    const Graph graph = placed(cell, {});
    std::map<std::string, Shape> shapes;
    for (const Node& node : graph.nodes)
      if (node.is("Quantizer", kNnqDomain)) shapes[node.name] = graph.initializer(node.inputs[0])->shape();
    const std::string layer = gates == 4 ? "lstm1" : "gru1";
    EXPECT_EQ(shapes, (std::map<std::string, Shape>{{"embedding.weight_quantizer", {11, 6}},
                                                    {layer + ".R.weight_quantizer", {gates * 6, 6}},
                                                    {layer + ".W.weight_quantizer", {gates * 6, 6}},
                                                    {"softmax.weight_quantizer", {11, 6}}}));
    // Outside training a Quantizer is the identity: the network still computes what it did.
    const Tensor before = interpret(model(cell), {{"tokens", tokens()}})[0],
                 after = interpret(graph, {{"tokens", tokens()}})[0];
    EXPECT_TRUE(before == after);
  }
}

TEST(PlaceRecurrent, AQuantizedStateBelongsToTheNode) {
  const Graph graph = placed("lstm_lm", {"alternating", 3, {{"cycles", std::int64_t{1}}}});
  int found = 0;
  for (const Node& node : graph.nodes) {
    if (!node.is("LSTM", kNnqDomain)) continue;
    ++found;
    EXPECT_EQ(node.get_int("state_bits", 0), 3);
    EXPECT_EQ(node.get_int("state_cycles", 0), 1);
  }
  EXPECT_EQ(found, 1);
}

std::vector<Node> nodes_of(const Graph& graph, const std::string& op) {
  std::vector<Node> nodes;
  for (const Node& node : graph.nodes)
    if (node.op == op) nodes.push_back(node);
  return nodes;
}

TEST(PlaceRecurrent, AUniformStateQuantizesItsInputToo) {
  for (const char* cell : {"lstm_lm", "gru_lm"}) {
    const Graph graph = placed(cell, {"uniform", 8, {}});
    const std::vector<Node> vectors = nodes_of(graph, "QuantizeVectors");
    ASSERT_EQ(vectors.size(), 1U);
    EXPECT_EQ(vectors[0].get_int("uniform", 0), 1);
    EXPECT_EQ(vectors[0].get_int("bits", 0), 8);
    const Node layer = nodes_of(graph, std::string(cell) == "lstm_lm" ? "LSTM" : "GRU").at(0);
    EXPECT_EQ(layer.domain, kNnqDomain);
    EXPECT_EQ(layer.get_int("state_uniform", 0), 1);
    EXPECT_EQ(layer.inputs[0], vectors[0].outputs[0]);
    // 8 bits are nearly the float network.
    const Tensor before = interpret(model(cell), {{"tokens", tokens()}})[0],
                 after = interpret(graph, {{"tokens", tokens()}})[0];
    for (std::int64_t i = 0; i < before.count(); ++i)
      ASSERT_NEAR(after.as<float>()[i], before.as<float>()[i], 5e-3) << i;
  }
}

/// Floats in, the state as the next layer's input: both are quantized on line, the sequence of a layer is already.
TEST(PlaceRecurrent, AFloatInputIsQuantizedAsTheStateIs) {
  Graph graph;
  graph.opset = 17;
  graph.inputs.push_back({"x", ValueType::of(DType::f32, {3, 1, 4})});
  const auto layer = [&](const std::string& name, const std::string& x) {
    for (const char* kind : {"W", "R"}) graph.add_initializer(name + kind, Tensor(DType::f32, {1, 16, 4}));
    graph.add(Node{.name = name,
                   .op = "LSTM",
                   .domain = "",
                   .inputs = {x, name + "W", name + "R"},
                   .outputs = {name + ".y", name + ".h"},
                   .attributes = {{"hidden_size", std::int64_t{4}}}});
  };
  graph.add_initializer("axes", Tensor::of<std::int64_t>({1}, std::vector<std::int64_t>{1}));
  layer("a", "x");
  layer("b", "x");    // the same vectors
  layer("c", "a.h");  // a float state
  graph.add(Node{.name = "squeeze",
                 .op = "Squeeze",
                 .domain = "",
                 .inputs = {"b.y", "axes"},
                 .outputs = {"b.s"},
                 .attributes = {}});
  layer("d", "b.s");  // quantized already
  graph.outputs = {"a.y", "c.h", "d.h"};
  PlacementOptions options;
  options.rules = {{"*", {"alternating", 2, {}}, {"alternating", 3, {}}, {}}};
  const Graph once = place_quantizers(graph, options), twice = place_quantizers(once, options);
  for (const Graph& done : {once, twice}) {
    const std::vector<Node> vectors = nodes_of(done, "QuantizeVectors");
    ASSERT_EQ(vectors.size(), 2U);
    EXPECT_EQ(vectors[0].get_int("bits", 0), 3);
    const std::vector<Node> layers = nodes_of(done, "LSTM");
    std::map<std::string, std::string> reads;
    for (const Node& node : layers) reads[node.name] = node.inputs[0];
    EXPECT_EQ(reads["a"], reads["b"]);
    EXPECT_NE(reads["a"], "x");
    EXPECT_NE(reads["c"], "a.h");
    EXPECT_EQ(reads["d"], "b.s");
  }
}

TEST(PlaceRecurrent, TheStateTakesOneMethodAndPlainLayers) {
  const auto refusal = [](const QuantizerSpec& activations) -> std::string {
    try {
      placed("lstm_lm", activations);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  for (const QuantizerSpec& spec : {QuantizerSpec{"uniform", 2, {}}, QuantizerSpec{"dorefa", 8, {}}})
    EXPECT_NE(refusal(spec).find("cannot quantize a recurrent state"), std::string::npos) << refusal(spec);
  EXPECT_NE(refusal({"uniform", 8, {{"cycles", std::int64_t{1}}}}).find("no parameter"), std::string::npos);
  EXPECT_THROW(placed("lstm_lm", {"alternating", 2, {{"no_such", std::int64_t{1}}}}), Error);
  PlacementOptions options;
  options.rules = {{"gru1", {}, {"alternating", 2, {}}, {}}};
  Graph graph = model("gru_lm");
  for (Node& node : graph.nodes)
    if (node.op == "GRU") node.attributes["linear_before_reset"] = std::int64_t{0};
  EXPECT_THROW(place_quantizers(graph, options), Error);
}

/// At 8 bits the sum of signs is nearly the state itself; at 1 bit outputs have one magnitude a sample and step.
TEST(QuantizedState, IsASumOfScaledSigns) {
  for (const char* cell : {"lstm_lm", "gru_lm"}) {
    const Graph plain = model(cell);
    const std::string layer = std::string(cell) == "lstm_lm" ? "lstm1" : "gru1";
    const auto states = [&](const Graph& graph) {
      Tensor y;
      interpret(graph, {{"tokens", tokens()}}, [&](const std::string& name, const Tensor& value) {
        if (name == layer + ".out") y = value;
      });
      return y;
    };
    PlacementOptions fine, coarse;
    fine.rules = {{layer, {}, {"alternating", 8, {}}, {}}};
    coarse.rules = {{layer, {}, {"alternating", 1, {}}, {}}};
    const Tensor real = states(plain), near = states(place_quantizers(plain, fine)),
                 signs = states(place_quantizers(plain, coarse));
    ASSERT_EQ(real.count(), near.count());
    for (std::int64_t i = 0; i < real.count(); ++i) {
      EXPECT_NEAR(near.as<float>()[i], real.as<float>()[i], 5e-3);
      EXPECT_EQ(std::abs(signs.as<float>()[i]), std::abs(signs.as<float>()[i / 6 * 6]));
    }
  }
}

}  // namespace
}  // namespace nnq
