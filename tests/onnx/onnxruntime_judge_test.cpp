// ONNX Runtime computes from exported files what nnq's interpreter computes from the graphs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "judge.h"
#include "networks.h"
#include "nnq/onnx.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;

std::string judged_name(const ::testing::TestParamInfo<ZooEntry>& entry) { return entry.param.name; }

class JudgeZoo : public Judge, public ::testing::WithParamInterface<ZooEntry> {};

TEST_P(JudgeZoo, FloatLogitsAgree) {
  const Graph graph = small_network(GetParam());
  const auto feeds = feeds_for(graph, 2, 3);
  expect_close(judged(graph, feeds), interpret(graph, feeds), 1e-4);
}

class JudgeFrozen : public JudgeZoo {};

/// Integer regions give the same integers; what is float around them differs by summation order at most.
TEST_P(JudgeFrozen, PredictionsAgree) {
  const std::string& name = GetParam().name;
  const Graph network = small_network(GetParam());
  for (const auto& [weights, activations] : {std::pair{4, 4}, {1, 1}, {2, 8}}) {
    if (weights != 4 && name != "resnet20" && name != "vgg_small" && name != "lenet5") continue;
    expect_same_predictions(frozen_network(network, weights, activations, weights == 2));
  }
}

INSTANTIATE_TEST_SUITE_P(All, JudgeZoo, ::testing::ValuesIn(all_zoo()), judged_name);
INSTANTIATE_TEST_SUITE_P(All, JudgeFrozen, ::testing::ValuesIn(quick_zoo()), judged_name);

/// One graph with each own operator: its function body computes what nnq's operator computes, bit for bit.
Graph own_operators(std::int64_t opset) {
  Graph graph;
  graph.opset = opset;
  Random random(5);
  graph.inputs.push_back({"x", ValueType::of(DType::f32, {2, 6, 3, 5})});
  const auto floats = [&](const std::string& name, Shape shape, int range, float unit) {
    return graph.add_initializer(name, dyadic(random, std::move(shape), range, unit));
  };
  const auto add = [&](const char* op, std::vector<std::string> inputs, std::map<std::string, Attribute> attributes) {
    graph.outputs.push_back(graph.add(op, std::move(inputs), std::move(attributes), op, kNnqDomain));
  };
  const std::string scale = graph.add_initializer("scale", Tensor::of<float>({1}, std::vector<float>{0.25F}));
  add("Quantize", {"x", scale}, {{"min", std::int64_t{-5}}, {"max", std::int64_t{6}}, {"bits", std::int64_t{4}}});
  add("Sign", {"x"}, {});
  const std::string thresholds =
      graph.add_initializer("thresholds", Tensor::of<float>({3}, std::vector<float>{-0.5F, 0.0F, 0.375F}));
  add("Bucketize", {"x", thresholds}, {{"bits", std::int64_t{2}}});
  add("Levels", {graph.outputs.back(), floats("levels", {4}, 1000, 0.001F)}, {});
  add("Affine", {"x", floats("a", {6}, 1000, 0.001F), floats("b", {6}, 1000, 0.001F)}, {});
  add("Affine", {"x", floats("a1", {1}, 1000, 0.001F), floats("b5", {5}, 1000, 0.001F)}, {{"axis", std::int64_t{-1}}});
  add("Quantizer", {"x", floats("state", {3}, 10, 1)},
      {{"method", std::string("uniform")}, {"role", std::string("activation")}, {"bits", std::int64_t{4}}});
  Tensor planes(DType::u8, {3, 3});  // 20 elements of 3 bits
  for (std::uint8_t& byte : planes.mutable_values<std::uint8_t>()) byte = static_cast<std::uint8_t>(random.below(256));
  graph.initializers["planes"] = planes;
  graph.initializers["shape"] = Tensor::of<std::int64_t>({3}, std::vector<std::int64_t>{4, 5, 1});
  add("BitPlanes", {"planes", floats("plane_scale", {4, 3}, 8, 0.25F), floats("offset", {4}, 8, 0.25F), "shape"}, {});
  add("BitPlanes", {"planes", floats("plane_scale1", {1, 3}, 8, 0.25F), floats("offset1", {1}, 8, 0.25F), "shape"}, {});
  add("Codebook", {"planes", floats("table", {4, 8}, 1000, 0.001F), "shape"}, {});
  add("Codebook", {"planes", floats("table1", {1, 8}, 1000, 0.001F), "shape"}, {});
  add("BucketCodebook",
      {"planes", floats("points", {8}, 1000, 0.001F), floats("low", {7}, 1000, 0.001F),
       floats("high", {7}, 1000, 0.001F), "shape"},
      {{"bucket", std::int64_t{3}}});
  add("ShiftBatchNormalization",
      {"x", floats("gamma", {6}, 1000, 0.003F), floats("beta", {6}, 16, 0.25F), floats("mean", {6}, 16, 0.25F),
       graph.add_initializer("inverse_std",
                             Tensor::of<float>({6}, std::vector<float>{0.1F, 0.3F, 0.7F, 1.0F, 3.0F, 90.0F}))},
      {});
  return graph;
}

TEST_F(Judge, FunctionBodiesOfOwnOperatorsHaveTheOperatorsBits) {
  for (const std::int64_t opset : {13, 17, 18, 21}) {
    const Graph graph = own_operators(opset);
    auto feeds = feeds_for(graph, 1, 6);
    feeds["x"].mutable_as<float>()[0] = -0.0F;
    feeds["x"].mutable_as<float>()[1] = 0.0F;
    feeds["x"].mutable_as<float>()[2] = 0.125F;  // ties of Quantize
    feeds["x"].mutable_as<float>()[3] = 0.375F;
    feeds["x"].mutable_as<float>()[4] = std::nanf("");
    const std::vector<Tensor> theirs = judged(graph, feeds, /*optimize=*/false), ours = interpret(graph, feeds);
    ASSERT_EQ(theirs.size(), ours.size());
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_EQ(difference_between(theirs[i], ours[i], 0, 0), "") << graph.outputs[i] << ", opset " << opset;
  }
}

/// The folder of real models beside a folder of NNQ_DATA; empty when there is none.
fs::path model_folder() {
  const char* data = std::getenv("NNQ_DATA");
  std::istringstream folders(data == nullptr ? "" : data);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path models = fs::path(folder) / ".." / "models";
    if (fs::exists(models / "cifar10_resnet20.onnx")) return models;
  }
  return {};
}

TEST_F(Judge, TheRealResNet20AgreesAsItIsAndExportedAgain) {
  const fs::path folder = model_folder();
  if (folder.empty()) GTEST_SKIP() << "models/cifar10_resnet20.onnx is not beside NNQ_DATA";
  const fs::path file = folder / "cifar10_resnet20.onnx";
  const Graph graph = import_onnx(file);
  const auto feeds = feeds_for(graph, 2, 7);
  const std::vector<Tensor> ours = interpret(graph, feeds);
  expect_close(run_onnxruntime(file, feeds), ours, 1e-4);
  expect_close(judged(graph, feeds), ours, 1e-4);
}

}  // namespace
}  // namespace nnq::test
