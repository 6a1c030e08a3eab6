// Weights without codes: what they deploy as, and layers split by their low rank.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "methods/compress/factorize.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "quantize/support.h"
#include "train/executor.h"

namespace nnq::methods {
namespace {

using test::Builder;

Builder small_network() {
  Builder b(7);
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("x", {2, 3, 8, 8}), 3, 16), 16));
  x = b.relu(b.norm("bn1", b.conv("conv1", x, 16, 24), 24));
  x = b.graph.add("Flatten", {b.graph.add("GlobalAveragePool", {x}, {}, "gap")}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 24, 20, true)};
  return b;
}

Graph placed(const Graph& graph, const std::string& glob, const std::string& projection, std::int64_t rank,
             std::map<std::string, Attribute> parameters = {}) {
  parameters["projection"] = projection;
  parameters["rank"] = rank;
  return place_quantizers(graph, {{{glob, {"deep_twist", 8, parameters}, {}, {}}}, false});
}

Tensor run(const Graph& graph, const Builder& b) { return interpret(graph, b.feeds)[0]; }

void expect_close(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  for (std::int64_t i = 0; i < a.count(); ++i)
    EXPECT_NEAR(a.as<float>()[i], b.as<float>()[i], 1e-4F * (1 + std::abs(b.as<float>()[i])));
}

Graph frozen(const Graph& graph) { return train::Executor(graph, {}).frozen(); }

TEST(FloatWeights, PrunedWeightsFreezeAsTheyAreEvaluated) {
  const Builder b = small_network();
  const Graph pruned = frozen(placed(b.graph, "*", "prune", 1, {{"rate", 0.75F}}));
  for (const Node& node : pruned.nodes) EXPECT_FALSE(node.is("Quantizer", kNnqDomain));
  int layers = 0;
  for (const Node& node : pruned.nodes) {
    if (!node.is("Conv") && !node.is("Gemm")) continue;
    const Tensor* weight = pruned.initializer(node.inputs[1]);
    ASSERT_NE(weight, nullptr);
    std::int64_t zeros = 0;
    for (const float v : weight->values<float>()) zeros += v == 0 ? 1 : 0;
    EXPECT_LE(zeros, weight->count() * 3 / 4) << node.name;  // equal magnitudes stay together
    EXPECT_GT(zeros, weight->count() / 2) << node.name;
    ++layers;
  }
  EXPECT_EQ(layers, 3);
  train::Executor executor(placed(b.graph, "*", "prune", 1, {{"rate", 0.75F}}), {});
  const at::NoGradGuard no_gradient;
  const at::Tensor simulated = executor.forward({{"x", train::to_torch(b.feeds.at("x"))}}, false)[0].contiguous();
  expect_close(run(pruned, b), train::from_torch(simulated));
  EXPECT_NO_THROW(lower(pruned));
}

TEST(FloatWeights, MixWithQuantizedLayers) {
  const Builder b = small_network();
  const QuantizerSpec four{"uniform", 4, {}}, low{"deep_twist", 8, {{"projection", std::string("svd")}}};
  train::Executor executor(place_quantizers(b.graph, {{{"*", four, four, {}}, {"conv1", low, {}, {}}}, false}), {});
  executor.calibrate({train::to_torch(b.feeds.at("x"))});
  EXPECT_NO_THROW(lower(executor.frozen()));
}

TEST(Factorize, SplitsByLowRank) {
  const Builder b = small_network();
  const Graph graph = placed(b.graph, "*", "svd", 4);
  std::vector<FactorizedLayer> report;
  const Graph split = factorize_layers(graph, report);
  ASSERT_EQ(report.size(), 3u);
  EXPECT_EQ(report[0].weights_after, 4 * (16 + 27));
  EXPECT_EQ(report[1].weights_after, 4 * (24 + 144));
  EXPECT_EQ(report[2].weights_after, 4 * (20 + 24));
  EXPECT_EQ(report[2].weights_before, 480);
  expect_close(run(split, b), run(frozen(graph), b));
  EXPECT_NO_THROW(lower(split));
}

TEST(Factorize, SplitsByTucker2) {
  const Builder b = small_network();
  const Graph graph = placed(b.graph, "conv1", "tucker2", 6, {{"rank_inputs", std::int64_t{5}}});
  std::vector<FactorizedLayer> report;
  const Graph split = factorize_layers(graph, report);
  ASSERT_EQ(report.size(), 1u);
  EXPECT_EQ(report[0].weights_after, 16 * 5 + 5 * 6 * 9 + 6 * 24);
  expect_close(run(split, b), run(frozen(graph), b));
}

TEST(Factorize, CountsOfTheSheet) {  // T = S = 64, d = 3, R = 16: 4,352 of 36,864 weights, 8.47 times fewer
  Builder b(3);
  b.graph.outputs = {b.conv("conv", b.input("x", {1, 64, 4, 4}), 64, 64)};
  std::vector<FactorizedLayer> report;
  factorize_layers(placed(b.graph, "*", "tucker2", 16), report);
  EXPECT_EQ(report[0].weights_before, 36864);
  EXPECT_EQ(report[0].weights_after, 4352);
}

TEST(Factorize, LeavesALayerWholeThatWouldNotShrink) {
  const Builder b = small_network();
  const Graph graph = placed(b.graph, "fc", "svd", 16);  // 16 (20 + 24) > 480
  std::vector<FactorizedLayer> report;
  const Graph split = factorize_layers(graph, report);
  EXPECT_EQ(report[0].weights_after, report[0].weights_before);
  EXPECT_EQ(split.nodes.size(), b.graph.nodes.size());
  expect_close(run(split, b), run(frozen(graph), b));
}

TEST(Factorize, KeepsStridesAndPadding) {
  for (const std::string projection : {"svd", "tucker2"}) {
    Builder b(5);
    b.graph.outputs = {b.conv("conv", b.input("x", {2, 16, 9, 9}), 16, 16)};
    Node& conv = b.graph.nodes.back();
    conv.attributes["strides"] = std::vector<std::int64_t>{2, 2};
    conv.attributes["pads"] = std::vector<std::int64_t>{0, 1, 2, 1};
    const Graph graph = placed(b.graph, "*", projection, 3);
    std::vector<FactorizedLayer> report;
    expect_close(run(factorize_layers(graph, report), b), run(frozen(graph), b));
  }
}

TEST(Factorize, SaysWhatItCannotDo) {
  const Builder b = small_network();
  std::vector<FactorizedLayer> report;
  EXPECT_THROW(factorize_layers(b.graph, report), Error);
  EXPECT_THROW(factorize_layers(placed(b.graph, "*", "prune", 1), report), Error);
}

}  // namespace
}  // namespace nnq::methods
