// CI-BCNN in a network: item 9 and 11 of the sheet, and that what is trained is what is deployed.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "methods/search/mine_interactions.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "quantize/support.h"
#include "train/executor.h"

namespace nnq::methods {
namespace {

using test::Builder;

/// Two binary convolutions between float layers, 8x8 images, 4 classes.
Builder network() {
  Builder b(11);
  std::string x = b.norm("bn0", b.conv("conv0", b.input("x", {3, 1, 8, 8}), 1, 20), 20);
  x = b.norm("bn1", b.conv("conv1", x, 20, 20), 20);
  x = b.norm("bn2", b.conv("conv2", x, 20, 24), 24);
  x = b.graph.add("Flatten", {b.graph.add("GlobalAveragePool", {b.relu(x)}, {}, "gap")}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 24, 4, true)};
  return b;
}

Graph binary(const Graph& graph) {
  const QuantizerSpec one{"bnn", 1, {}};
  return place_quantizers(graph, {{{"conv1", one, one, {}}, {"conv2", one, one, {}}}, false});
}

std::vector<LayerInteractions> with_edges(const Graph& graph) {
  std::vector<LayerInteractions> layers = interaction_layers(graph, .05, {});
  for (LayerInteractions& layer : layers) {
    layer.graph.add({0, 1, 3});
    layer.graph.add({3, 1, -5});
    layer.graph.add({3, 2, 5});
    layer.graph.add({17, 16, -3});
  }
  return layers;
}

std::map<std::string, at::Tensor> values_of(const Graph& graph, const at::Tensor& x) {
  std::map<std::string, at::Tensor> values;
  const at::NoGradGuard no_gradient;
  train::Executor executor(graph, {});
  executor.forward({{"x", x}}, false,
                   [&](const std::string& name, const at::Tensor& t) { values[name] = t.contiguous().clone(); });
  return values;
}

TEST(Interactions, AreFoundWhereSumsArePopcounts) {
  const std::vector<LayerInteractions> layers = interaction_layers(binary(network().graph), .01, {});
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].layer, "conv1");
  EXPECT_EQ(layers[0].range, 180);
  EXPECT_EQ(layers[0].unit, 2);
  EXPECT_EQ(layers[1].graph.channels(), 24);
  EXPECT_TRUE(interaction_layers(network().graph, .01, {}).empty());
}

TEST(Interactions, TheGraphComputesTheIntegersOfTheDefinition) {
  const Builder b = network();
  const Graph plain = binary(b.graph);
  const std::vector<LayerInteractions> layers = with_edges(plain);
  const Graph graph = with_interactions(plain, layers);
  EXPECT_TRUE(has_interactions(graph));
  EXPECT_FALSE(has_interactions(plain));
  const auto values = values_of(graph, train::to_torch(b.feeds.at("x")));
  const at::Tensor p = values.at("conv1");
  const std::int64_t pixels = p.size(0) * p.size(2) * p.size(3);
  const at::Tensor flat = p.transpose(0, 1).contiguous().to(at::kLong);
  const std::vector<std::int64_t> expected =
      interact(layers[0].graph, {flat.data_ptr<std::int64_t>(), static_cast<std::size_t>(flat.numel())}, pixels,
               layers[0].range, layers[0].unit);
  const Node* norm = nullptr;
  for (const Node& node : graph.nodes)
    if (node.name == "bn1") norm = &node;
  ASSERT_NE(norm, nullptr);
  const at::Tensor got = values.at(norm->inputs[0]).transpose(0, 1).contiguous();
  std::int64_t corrected = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(static_cast<std::int64_t>(got.data_ptr<float>()[i]), expected[i]);
    corrected += expected[i] != flat.data_ptr<std::int64_t>()[i] ? 1 : 0;
  }
  EXPECT_GT(corrected, 0);
}

TEST(Interactions, AnEmptyGraphIsThePlainNetwork) {
  const Builder b = network();
  const Graph plain = binary(b.graph), same = with_interactions(plain, interaction_layers(plain, .01, {}));
  EXPECT_EQ(same.nodes.size(), plain.nodes.size());
  const at::Tensor x = train::to_torch(b.feeds.at("x"));
  EXPECT_TRUE(at::equal(values_of(same, x).at("fc"), values_of(plain, x).at("fc")));
}

TEST(Interactions, GradientsGoToTheSumAlone) {
  Graph graph;
  graph.inputs = {{"p", ValueType::of(DType::f32, {2, 4, 1, 1})}};
  // A convolution that hands its input on, so that its output is the sum whose gradient is watched.
  graph.initializers["w"] = Tensor(DType::f32, {4, 4, 1, 1});
  for (int c = 0; c < 4; ++c) graph.initializers["w"].mutable_as<float>()[c * 4 + c] = 1;
  graph.add("Conv", {"p", "w"}, {}, "sums");
  graph.outputs = {graph.add("Relu", {graph.nodes[0].outputs[0]}, {}, "out")};
  LayerInteractions layer{graph.nodes[0].name, 100, 3, {4, {.density = 1}}};
  layer.graph.add({0, 1, 3});
  layer.graph.add({2, 1, -5});
  train::Executor executor(with_interactions(graph, {layer}), {});
  const at::Tensor p =
      at::tensor({90.F, 5.F, 80.F, 1.F, 90.F, 5.F, -80.F, 1.F}).reshape({2, 4, 1, 1}).set_requires_grad(true);
  const at::Tensor y = executor.forward({{"p", p}}, true)[0];
  EXPECT_EQ(y.reshape(-1)[1].item<float>(), 5 + 3 - 6);
  EXPECT_EQ(y.reshape(-1)[5].item<float>(), 5 + 3 + 6);
  y.sum().backward();
  const at::Tensor expected = at::tensor({1.F, 1.F, 1.F, 1.F, 1.F, 1.F, 0.F, 1.F}).reshape_as(p);
  EXPECT_TRUE(at::equal(p.grad(), expected)) << "teachers get nothing from their students";
}

TEST(Interactions, TrainedEqualsDeployed) {
  const Builder b = network();
  const Graph plain = binary(b.graph), graph = with_interactions(plain, with_edges(plain));
  train::Executor executor(graph, {});
  const Graph frozen = executor.frozen();
  const at::Tensor x = train::to_torch(b.feeds.at("x"));
  const Tensor reference = interpret(frozen, b.feeds)[0];
  EXPECT_TRUE(at::equal(values_of(frozen, x).at(frozen.outputs[0]), train::to_torch(reference)));
  const at::Tensor simulated = values_of(graph, x).at("fc");
  EXPECT_LT((simulated - train::to_torch(reference)).abs().max().item<float>(), 1e-4F);
  const std::vector<Tensor> inputs{b.feeds.at("x")};
  std::vector<Tensor> run;
  throw_if_error(interpret_program(lower(frozen), inputs, run));
  EXPECT_TRUE(run[0] == reference);
}

/// What the runtime does with the program: outputs, and the kernels of its steps.
struct Deployed {
  std::vector<Tensor> outputs;
  std::vector<StepInfo> steps;
};

Deployed deployed(const Program& program, const Tensor& input, int threads) {
  std::shared_ptr<const Model> model;
  throw_if_error(Model::from_bytes(serialize_program(program), model));
  std::unique_ptr<Session> session;
  throw_if_error(Session::create(model, {.threads = threads}, session));
  Deployed done;
  throw_if_error(session->run({&input, 1}, done.outputs));
  done.steps = session->steps();
  return done;
}

/// Intervals, corrections and their sum are steps on integers: thresholds or rounding (more than 15 intervals), a
/// product of few bits and an addition.
TEST(Interactions, TheRuntimeCorrectsWithIntegerKernels) {
  const Builder b = network();
  const Graph plain = binary(b.graph);
  std::vector<LayerInteractions> layers = with_edges(plain);
  for (LayerInteractions& layer : layers) layer.graph.add({5, 9, 35});
  const Graph frozen = train::Executor(with_interactions(plain, layers), {}).frozen();
  const Program program = lower(frozen);
  std::size_t corrections = 0;
  for (const Step& step : program.steps) {
    if (step.name.find(".interaction") == std::string::npos) continue;
    ++corrections;
    EXPECT_NE(step.kind, StepKind::float_op) << step.name;
    EXPECT_NE(step.kind, StepKind::quantize) << step.name;
    EXPECT_NE(step.kind, StepKind::dequantize) << step.name;
  }
  EXPECT_EQ(corrections, 2U * 3 * 3);  // layers, sizes of influence, steps of each
  const std::vector<Tensor> inputs{b.feeds.at("x")};
  std::vector<Tensor> reference;
  throw_if_error(interpret_program(program, inputs, reference));
  EXPECT_TRUE(reference[0] == interpret(frozen, b.feeds)[0]);
  for (const int threads : {1, 3}) {
    const Deployed run = deployed(program, inputs[0], threads);
    EXPECT_TRUE(run.outputs[0] == reference[0]) << threads;
    for (const StepInfo& step : run.steps) {
      const bool corrects = step.name.find(".interaction") != std::string::npos;
      EXPECT_FALSE(corrects && step.kernel == "reference") << step.name;
    }
  }
}

Samples stripes(std::int64_t count) {
  Samples samples;
  samples.images = Tensor(DType::u8, {count, 1, 8, 8});
  samples.labels = Tensor(DType::i64, {count});
  at::manual_seed(4);
  const at::Tensor noise = at::randint(160, {count * 64}, at::kLong);
  for (std::int64_t n = 0; n < count; ++n) {
    samples.labels.mutable_as<std::int64_t>()[n] = n % 4;
    for (std::int64_t i = 0; i < 64; ++i)
      samples.images.mutable_as<std::uint8_t>()[n * 64 + i] =
          static_cast<std::uint8_t>(noise[n * 64 + i].item<std::int64_t>() + (i / 16 == n % 4 ? 95 : 0));
  }
  return samples;
}

TEST(Interactions, MiningNeverRaisesTheLossItJudgesBy) {  // 11
  Builder b = network();
  const Graph graph = binary(b.graph);
  MiningOptions options;
  options.steps = 25;
  options.batch = 40;
  options.unit_share = .05;
  options.least_change = 1e-4;
  const Samples samples = stripes(40);
  b.graph.inputs[0].type = ValueType::of(DType::f32, {40, 1, 8, 8});
  Graph wide = graph;
  wide.inputs[0].type = b.graph.inputs[0].type;
  const MiningResult first = mine_interactions(wide, samples, {}, options, 3);
  EXPECT_LE(first.loss_after, first.loss_before);
  EXPECT_EQ(first.accepted + first.rejected, 25);
  const MiningResult second = mine_interactions(wide, samples, {}, options, 3);
  for (std::size_t i = 0; i < first.layers.size(); ++i)
    EXPECT_EQ(first.layers[i].graph.edges(), second.layers[i].graph.edges());
  EXPECT_THROW(mine_interactions(b.graph, samples, {}, options, 3), Error) << "nothing is binary";
  EXPECT_THROW(mine_interactions(with_interactions(graph, with_edges(graph)), samples, {}, options, 3), Error);
}

}  // namespace
}  // namespace nnq::methods
