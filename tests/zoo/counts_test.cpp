// Exact parameters and multiply-accumulates of the networks as their papers have them.
#include <gtest/gtest.h>

#include "nnq/zoo.h"

namespace nnq {
namespace {

/// Of one sample (or one token) of the graph, with its input's free dimensions 1 unless `input` is given.
std::int64_t macs(const Graph& graph, Shape input = {}) {
  if (input.empty()) {
    for (const Dim& dim : graph.inputs[0].type.shape) input.push_back(dim.known() ? dim.value : 1);
  }
  const auto types = infer_types(graph, {{graph.inputs[0].name, ValueType::of(graph.inputs[0].type.dtype, input)}});
  std::int64_t total = 0;
  for (const Node& node : graph.nodes) {
    const Op* op = find_op(node.domain, node.op);
    if (op == nullptr || !op->macs) continue;
    std::vector<ValueType> in, out;
    for (const std::string& value : node.inputs) in.push_back(value.empty() ? ValueType() : types.at(value));
    for (const std::string& value : node.outputs) out.push_back(value.empty() ? ValueType() : types.at(value));
    total += op->macs(node, in, out);
  }
  return total;
}

/// Weights of convolutions and linear layers alone.
std::int64_t weights(const Graph& graph) {
  std::int64_t total = 0;
  for (const auto& [name, tensor] : graph.initializers) total += name.ends_with(".weight") ? tensor.count() : 0;
  return total;
}

// Courbariaux et al. 2016: 784 - 3 x 4096 - 10 with batch norm behind every layer and no biases.
TEST(Counts, BnnMlp) {
  const Graph graph = build_zoo("mlp");
  EXPECT_EQ(weights(graph), 36806656);
  EXPECT_EQ(trainable_parameters(graph), 36806656 + 2 * (3 * 4096 + 10));
  EXPECT_EQ(macs(graph), 36806656);
}

TEST(Counts, BnnConvNets) {
  const Graph cifar = build_zoo("vgg_small");
  EXPECT_EQ(weights(cifar), 14022016);
  EXPECT_EQ(trainable_parameters(cifar), 14022016 + 2 * (2 * (128 + 256 + 512) + 2 * 1024 + 10));
  EXPECT_EQ(macs(cifar), 616966144);
  EXPECT_EQ(weights(build_zoo("vgg_small", {{"width", "0.5"}})), 6397632);  // the SVHN network
}

// Polino et al. 2018: 5.3M, 1M, 0.3M, 0.1M and 5.8M, with biases and batch norm behind every layer but the last.
TEST(Counts, DistillationTeacherAndStudents) {
  EXPECT_EQ(trainable_parameters(build_zoo("distillation_teacher")), 5346142);
  EXPECT_EQ(trainable_parameters(build_zoo("distillation_student1")), 1000235);
  EXPECT_EQ(trainable_parameters(build_zoo("distillation_student2")), 318415);
  EXPECT_EQ(trainable_parameters(build_zoo("distillation_student3")), 111935);
  EXPECT_EQ(trainable_parameters(build_zoo("distillation_deep")), 5825396);
  EXPECT_EQ(trainable_parameters(build_zoo("distillation_student3", {{"dropout", "no"}})), 111935);
}

TEST(Counts, LeNet5) {
  const Graph graph = build_zoo("lenet5");
  EXPECT_EQ(trainable_parameters(graph), 61706);
  EXPECT_EQ(macs(graph), 117600 + 240000 + 48000 + 10080 + 840);
}

// Sheet of arXiv:1711.00449: 4,096 + 294,912 + 409,600 + 1,280 at 64 kernels, 704,512 of them binary.
TEST(Counts, AttackedCnn) {
  EXPECT_EQ(weights(build_zoo("attacked_cnn")), 709888);
  EXPECT_EQ(weights(build_zoo("attacked_cnn", {{"kernels", "16"}})), 1024 + 18432 + 25600 + 320);
}

// He et al. 2015, table 6: 0.27M, 0.46M, 0.66M, 0.85M; every two blocks a stage more add 12 convolutions of
// 2,359,296 MACs.
TEST(Counts, CifarResNetsWithFreeShortcuts) {
  struct Row {
    const char* name;
    std::int64_t parameters, macs;
  };
  constexpr Row rows[] = {{"resnet20", 269722, 40551040},
                          {"resnet32", 464154, 68862592},
                          {"resnet44", 658586, 97174144},
                          {"resnet56", 853018, 125485696}};
  for (const Row& row : rows) {
    const Graph graph = build_zoo(row.name);
    EXPECT_EQ(trainable_parameters(graph), row.parameters) << row.name;
    EXPECT_EQ(macs(graph), row.macs) << row.name;
  }
  // Option B adds two 1x1 convolutions with their norms.
  EXPECT_EQ(trainable_parameters(build_zoo("resnet20", {{"shortcut", "B"}})), 269722 + 16 * 32 + 64 + 32 * 64 + 128);
}

TEST(Counts, ResNet18) {
  const Graph graph = build_zoo("resnet18");
  EXPECT_EQ(trainable_parameters(graph), 11689512);
  EXPECT_EQ(macs(graph), 1814073344);
  EXPECT_EQ(trainable_parameters(build_zoo("resnet18", {{"shortcuts", "bireal"}})), 11689512);
}

// Howard et al. 2017, recomputed in full; the published totals round these.
TEST(Counts, MobileNetV1AtEveryMultiplierAndResolution) {
  struct Row {
    const char* alpha;
    std::int64_t parameters, macs[4];  // 224, 192, 160, 128
  };
  constexpr Row rows[] = {{"1", 4231976, {568740352, 418121728, 290675200, 186400768}},
                          {"0.75", 2585560, {325400448, 239273472, 166396800, 106770432}},
                          {"0.5", 1331592, {149497088, 109970432, 76524800, 49160192}},
                          {"0.25", 470072, {41030272, 30212608, 21059200, 13570048}}};
  for (const Row& row : rows) {
    const Graph graph = build_zoo("mobilenet_v1", {{"alpha", row.alpha}});
    EXPECT_EQ(trainable_parameters(graph), row.parameters) << row.alpha;
    for (int i = 0; i < 4; ++i) {
      const std::int64_t side = 224 - 32 * i;
      EXPECT_EQ(macs(graph, {1, 3, side, side}), row.macs[i]) << row.alpha << " at " << side;
    }
  }
  // Other multipliers round the channels down: floor(0.35 * 32) = 11.
  EXPECT_EQ(build_zoo("mobilenet_v1", {{"alpha", "0.35"}, {"classes", "2"}}).initializer("conv0.weight")->shape()[0],
            11);
}

// Xu et al. 2018's sizes: 10,000 words, 300 units.
TEST(Counts, LanguageModels) {
  constexpr std::int64_t embedding = 3000000, softmax = 3010000;
  const Graph lstm = build_zoo("lstm_lm"), gru = build_zoo("gru_lm");
  EXPECT_EQ(trainable_parameters(lstm), embedding + 4 * 300 * 600 + 8 * 300 + softmax);
  EXPECT_EQ(trainable_parameters(gru), embedding + 3 * 300 * 600 + 6 * 300 + softmax);
  EXPECT_EQ(macs(lstm), 4 * 300 * 600 + 3000000);
  EXPECT_EQ(macs(gru), 3 * 300 * 600 + 3000000);
}

}  // namespace
}  // namespace nnq
