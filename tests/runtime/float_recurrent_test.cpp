// Float LSTM and GRU steps of the runtime against the reference operators: directions, states, batches, time, with and
// without what may be left out, on every instruction set; layers that the step does not know stay with the reference.
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/random.h"
#include "kernels/cpu.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "nnq/runtime.h"

namespace nnq::test {
namespace {

struct FloatLayer {
  std::string op = "LSTM", direction = "forward";
  std::int64_t inputs = 13, hidden = 31, time = 5, batch = 3;
  bool bias = true, states = true;
  std::map<std::string, Attribute> more = {};
  std::string domain = {};
};

Graph graph_of(const FloatLayer& c) {
  Graph graph;
  graph.opset = 17;
  Random random(static_cast<std::uint64_t>(c.inputs + c.hidden));
  const std::int64_t d = c.direction == "bidirectional" ? 2 : 1, rows = (c.op == "LSTM" ? 4 : 3) * c.hidden;
  const auto constant = [&](const std::string& name, const Shape& shape) {
    Tensor t(DType::f32, shape);
    for (float& v : t.mutable_values<float>()) v = random.uniform(-0.5F, 0.5F);
    return graph.add_initializer(name, t);
  };
  const auto input = [&](const std::string& name, const Shape& shape) {
    graph.inputs.push_back({name, ValueType::of(DType::f32, shape)});
    return name;
  };
  Node node{.name = "layer",
            .op = c.op,
            .domain = c.domain,
            .inputs = {input("x", {c.time, c.batch, c.inputs}), constant("W", {d, rows, c.inputs}),
                       constant("R", {d, rows, c.hidden}), c.bias ? constant("B", {d, 2 * rows}) : ""},
            .outputs = {"y", "h"},
            .attributes = c.more};
  node.attributes["hidden_size"] = c.hidden;
  if (d == 2 || c.direction != "forward") node.attributes["direction"] = c.direction;
  if (c.states) {
    node.inputs.insert(node.inputs.end(), {"", input("h0", {d, c.batch, c.hidden})});
    if (c.op == "LSTM") node.inputs.push_back(input("c0", {d, c.batch, c.hidden}));
  }
  if (c.op == "LSTM") node.outputs.emplace_back("c");
  graph.outputs = node.outputs;
  graph.add(node);
  verify(graph);
  return graph;
}

void expect_reference(const FloatLayer& c, bool fast) {
  const Graph graph = graph_of(c);
  Random random(3);
  std::map<std::string, Tensor> feeds;
  std::vector<Tensor> inputs;
  for (const GraphInput& i : graph.inputs) {
    Tensor t(DType::f32, i.type.static_shape());
    for (float& v : t.mutable_values<float>()) v = random.uniform(-1, 1);
    feeds[i.name] = t;
    inputs.push_back(t);
  }
  const std::vector<Tensor> expected = interpret(graph, feeds);
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(lower(graph), model).ok());
  for (const Isa isa : every_isa) {
    if (isa > hardware_isa()) continue;
    setenv("NNQ_ISA", name_of(isa), 1);
    std::vector<Tensor> one_thread;
    for (const int threads : {1, 3}) {
      std::unique_ptr<Session> session;
      ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
      std::vector<Tensor> outputs;
      ASSERT_TRUE(session->run(inputs, outputs).ok());
      EXPECT_EQ(session->steps()[0].kernel == "reference", !fast) << session->steps()[0].kernel;
      for (std::size_t o = 0; o < outputs.size(); ++o) {
        ASSERT_EQ(outputs[o].shape(), expected[o].shape());
        for (std::int64_t i = 0; i < outputs[o].count(); ++i)
          ASSERT_NEAR(outputs[o].as<float>()[i], expected[o].as<float>()[i], 4e-6F)
              << c.op << " " << c.direction << ", " << name_of(isa) << ", output " << o << " at " << i;
      }
      if (threads == 1) one_thread = outputs;
      EXPECT_EQ(outputs, one_thread) << "depends on the number of threads";
    }
  }
  unsetenv("NNQ_ISA");
}

const std::map<std::string, Attribute> linear{{"linear_before_reset", std::int64_t{1}}};

TEST(FloatRecurrent, GivesWhatTheOperatorSays) {
  for (const char* direction : {"forward", "reverse", "bidirectional"}) {
    for (const auto& [time, batch] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 3}, {37, 1}, {2, 17}}) {
      const bool whole = time != 5;
      expect_reference({.direction = direction, .time = time, .batch = batch, .bias = whole, .states = whole}, true);
      expect_reference({.op = "GRU",
                        .direction = direction,
                        .hidden = 101,
                        .time = time,
                        .batch = batch,
                        .bias = whole,
                        .states = whole,
                        .more = linear},
                       true);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(FloatRecurrent, AQuantizedStateBehindAFloatInput) {
  expect_reference({.hidden = 40, .more = {{"state_bits", std::int64_t{2}}}, .domain = kNnqDomain}, true);
  auto gru = linear;
  gru["state_bits"] = std::int64_t{8};
  gru["state_uniform"] = std::int64_t{1};
  expect_reference({.op = "GRU", .more = gru, .domain = kNnqDomain}, true);
}

TEST(FloatRecurrent, OtherLayersStayWithTheReference) {
  expect_reference({.op = "GRU"}, false);  // resets before its product
  expect_reference({.more = {{"clip", 0.5F}}}, false);
  expect_reference({.more = {{"input_forget", std::int64_t{1}}}}, false);
  expect_reference({.more = {{"activations", std::vector<std::string>{"Sigmoid", "Relu", "Tanh"}}}}, false);
  expect_reference({.more = {{"activations", std::vector<std::string>{"Sigmoid", "Tanh", "Tanh"}}}}, true);
}

}  // namespace
}  // namespace nnq::test
