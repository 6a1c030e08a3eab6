// Recurrent language models with packed weights and a quantized state, made by hand: everything becomes steps on
// multi-bit vectors, the program gives what the graph gives, and what does not fit stays float and says why.
#include <gtest/gtest.h>

#include "lower/language_model.h"
#include "lower/support.h"
#include "nnq/lower.h"

namespace nnq::test {
namespace {

/// The graph sums in double and uses the library's exp and tanh: real numbers agree to rounding, as long as no code of
/// the state lies on a threshold (none does here).
void expect_near(const Graph& graph, const Program& program) {
  const auto feeds = feeds_of(graph);
  const auto expected = interpret(graph, feeds);
  std::vector<Tensor> outputs;
  const Status status = interpret_program(program, in_order(graph, feeds), outputs);
  ASSERT_TRUE(status.ok()) << status.message();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& e = expected[i];
    ASSERT_EQ(outputs[i].shape(), e.shape());
    for (std::int64_t k = 0; k < e.count(); ++k)
      ASSERT_NEAR(outputs[i].as<float>()[k], e.as<float>()[k], 2e-5F) << graph.outputs[i] << " at " << k;
  }
}

TEST(LowerVectors, ALanguageModelHasNoFloatStep) {
  for (const bool gru : {false, true}) {
    for (const int layers : {1, 2}) {
      for (const int bits : {1, 2, 3}) {
        LanguageModel model(gru, bits);
        std::string x = model.embedding();
        for (int i = 0; i < layers; ++i) x = model.recurrent(x, "layer" + std::to_string(i));
        const Graph graph = model.finish(x);
        const Program program = lower(graph);
        EXPECT_TRUE(steps_of(program, StepKind::float_op).empty());
        EXPECT_TRUE(steps_of(program, StepKind::vector_levels).empty());
        EXPECT_EQ(steps_of(program, StepKind::recurrent).size(), static_cast<std::size_t>(layers));
        EXPECT_EQ(steps_of(program, StepKind::vector_dense).size(), 1U);
        EXPECT_EQ(steps_of(program, StepKind::vector_dense)[0]->epilogue.b.size(),
                  static_cast<std::size_t>(vocabulary));
        expect_near(graph, program);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(LowerVectors, IntegerWeightsWithAStepARow) {
  LanguageModel model(false, 4, true);
  const Graph graph = model.finish(model.recurrent(model.embedding(), "layer"));
  const Program program = lower(graph);
  ASSERT_EQ(steps_of(program, StepKind::recurrent).size(), 1U);
  EXPECT_FALSE(steps_of(program, StepKind::recurrent)[0]->planes.weight_signs);
  expect_near(graph, program);
}

/// Whole weights (a step a row) are one integer product, sums of signs one for each plane.
TEST(LowerVectors, UniformStatesAreIntegerProducts) {
  for (const bool gru : {false, true}) {
    for (const bool whole : {false, true}) {
      for (const int bits : {2, 4}) {
        LanguageModel model(gru, bits, whole, true);
        const std::string y = model.recurrent(model.recurrent(model.embedding(), "first"), "second");
        const Graph graph = model.finish(y);
        const Program program = lower(graph);
        const auto layers = steps_of(program, StepKind::recurrent);
        ASSERT_EQ(layers.size(), 2U);
        EXPECT_TRUE(layers[0]->recurrence.uniform);
        EXPECT_EQ(layers[0]->weights.plane_scale.empty(), !whole);
        EXPECT_EQ(layers[0]->recurrence.weights.plane_scale.empty(), !whole);
        EXPECT_EQ(steps_of(program, StepKind::vector_quantize).size(), 2U);
        EXPECT_EQ(steps_of(program, StepKind::vector_dense).size(), 1U);
        expect_near(graph, program);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(LowerVectors, AFloatInputIsQuantizedOnLine) {
  for (const bool uniform : {false, true}) {
    LanguageModel model(false, 2, false, uniform);
    model.graph.inputs.push_back(
        {"real",
         {.dtype = DType::f32, .ranked = true, .shape = {Dim(std::string("T")), Dim(std::string("N")), Dim(width)}}});
    const Graph graph = model.finish(model.recurrent(uniform ? "real" : model.quantized("real"), "layer"));
    const Program program = lower(graph);
    EXPECT_TRUE(steps_of(program, StepKind::float_op).empty());
    EXPECT_EQ(steps_of(program, StepKind::vector_quantize).size(), 1U);
    EXPECT_EQ(steps_of(program, StepKind::recurrent).size(), 1U);
    expect_near(graph, program);
    if (HasFatalFailure()) return;
  }
}

TEST(LowerVectors, TwoKindsOfVectorsStayApart) {
  LanguageModel model(false, 2, false, true);
  const Graph uniform = model.finish(model.recurrent(model.embedding(), "layer"));
  Graph graph = uniform;
  for (Node& node : graph.nodes) {
    if (node.name != "layer") continue;
    node.attributes.erase("state_uniform");
    node.attributes["state_bits"] = std::int64_t{2};
  }
  const Program program = lower(graph);
  EXPECT_TRUE(steps_of(program, StepKind::recurrent).empty());
  EXPECT_EQ(step_named(program, "layer").note, "input and state are vectors of two kinds");
  expect_near(graph, program);
}

TEST(LowerVectors, OtherReadersGetRealValues) {
  LanguageModel model(false);
  const std::string x = model.embedding(), y = model.recurrent(x, "layer");
  model.graph.outputs.push_back(model.add("Relu", {x}, "positive"));
  model.graph.outputs.push_back(model.add("Relu", {"layer.out"}, "sequence"));
  const Graph graph = model.finish(y);
  const Program program = lower(graph);
  EXPECT_EQ(steps_of(program, StepKind::recurrent).size(), 1U);
  EXPECT_EQ(steps_of(program, StepKind::vector_levels).size(), 2U);
  expect_near(graph, program);
}

TEST(LowerVectors, WhatDoesNotFitStaysFloatAndSaysWhy) {
  LanguageModel model(false);
  model.graph.inputs.push_back(
      {"real",
       {.dtype = DType::f32, .ranked = true, .shape = {Dim(std::string("T")), Dim(std::string("N")), Dim(width)}}});
  const Graph graph = model.finish(model.recurrent("real", "layer"));
  const Program program = lower(graph);
  EXPECT_TRUE(steps_of(program, StepKind::recurrent).empty());
  EXPECT_EQ(step_named(program, "layer").note, "the input is no multi-bit vector");
}

}  // namespace
}  // namespace nnq::test
