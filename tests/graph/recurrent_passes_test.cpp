// carry_state, add_dropout, remove_dropout.
#include <gtest/gtest.h>

#include "nnq/error.h"
#include "nnq/recurrent.h"
#include "nnq/zoo.h"

namespace nnq {
namespace {

Graph model(const std::string& name, const std::string& layers = "2") {
  return build_zoo(name, {{"vocabulary", "11"}, {"hidden", "6"}, {"layers", layers}});
}

Tensor tokens(std::int64_t first, std::int64_t count) {
  Tensor t(DType::i64, {count, 2});
  for (std::int64_t i = 0; i < count * 2; ++i) t.mutable_as<std::int64_t>()[i] = (7 * (first * 2 + i) + i / 3) % 11;
  return t;
}

TEST(CarryState, PiecesGiveWhatTheWholeGives) {
  for (const char* name : {"lstm_lm", "gru_lm"}) {
    const Graph plain = model(name), carrying = carry_state(plain);
    verify(carrying);
    const std::vector<StatePair> pairs = state_pairs(carrying.metadata);
    ASSERT_EQ(pairs.size(), std::string(name) == "lstm_lm" ? 4U : 2U);
    EXPECT_EQ(carrying.inputs.size(), 1 + pairs.size());
    EXPECT_EQ(carrying.outputs[0], plain.outputs[0]);
    std::map<std::string, Tensor> inputs;
    for (std::size_t i = 1; i < carrying.inputs.size(); ++i)
      inputs[carrying.inputs[i].name] = Tensor(DType::f32, {1, 2, 6});
    std::vector<float> joined;
    for (const std::int64_t first : {0, 3}) {
      Tensor piece(DType::i64, {3, 2});
      std::copy_n(tokens(0, 6).as<std::int64_t>() + first * 2, 6, piece.mutable_as<std::int64_t>());
      inputs["tokens"] = piece;
      const std::vector<Tensor> outputs = interpret(carrying, inputs);
      const auto values = outputs[0].values<float>();
      joined.insert(joined.end(), values.begin(), values.end());
      for (std::size_t o = 1; o < carrying.outputs.size(); ++o)
        for (const StatePair& pair : pairs)
          if (pair.output == carrying.outputs[o]) inputs[pair.input] = outputs[o];
    }
    const Tensor whole = interpret(plain, {{"tokens", tokens(0, 6)}})[0];
    ASSERT_EQ(static_cast<std::int64_t>(joined.size()), whole.count());
    for (std::size_t i = 0; i < joined.size(); ++i) EXPECT_NEAR(joined[i], whole.as<float>()[i], 1e-6) << name;
  }
}

TEST(CarryState, TwiceIsOnce) {
  const Graph once = carry_state(model("lstm_lm")), twice = carry_state(once);
  EXPECT_EQ(twice.inputs.size(), once.inputs.size());
  EXPECT_EQ(twice.outputs, once.outputs);
  EXPECT_EQ(twice.metadata, once.metadata);
}

TEST(CarryState, RefusesLayersThatReadBackwards) {
  Graph graph = model("gru_lm", "1");
  for (Node& node : graph.nodes)
    if (node.op == "GRU") node.attributes["direction"] = std::string("reverse");
  EXPECT_THROW(carry_state(graph), Error);
}

TEST(RecurrentDropout, StandsBeforeTheFirstLayerAndBehindEach) {
  const Graph plain = model("lstm_lm"), dropped = add_dropout(plain, 0.5F);
  verify(dropped);
  std::vector<std::string> before;
  for (const Node& node : dropped.nodes) {
    if (!node.is("Dropout")) continue;
    const std::int64_t made = dropped.producer(node.inputs[0]);
    before.push_back(dropped.nodes[static_cast<std::size_t>(made)].op);
  }
  EXPECT_EQ(before, (std::vector<std::string>{"Gather", "LSTM", "LSTM"}));
  for (const Node& node : dropped.nodes)  // from step to step nothing is dropped: states are no inputs of Dropout
    EXPECT_TRUE(!node.is("LSTM") || dropped.consumers(node.outputs[0]).size() == 1U);
  const Graph back = remove_dropout(dropped);
  EXPECT_EQ(to_text(back), to_text(plain));
  EXPECT_EQ(back.initializers.size(), plain.initializers.size());
}

}  // namespace
}  // namespace nnq
