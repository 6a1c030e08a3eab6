// Statistics of batch normalisation measured anew.
#include "train/batch_norm_statistics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "nnq/error.h"
#include "train/executor.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

class BatchNormStatistics : public TrainerTest {
 protected:
  static Graph network() {
    return build_zoo(
        "vgg_small",
        {{"stage_channels", "4,6"}, {"depth", "1"}, {"fc", ""}, {"size", "4"}, {"channels", "1"}, {"classes", "4"}});
  }
  static const Node& first_norm(const Graph& graph) {
    for (const Node& node : graph.nodes)
      if (node.is("BatchNormalization")) return node;
    throw Error("no normalisation");
  }
  static Graph measured(const Graph& graph, const Samples& samples, std::int64_t batches, std::int64_t batch) {
    return reestimate_batch_norm(graph, samples, centred(),
                                 {.batches = batches, .batch = batch, .seed = 3, .augmentation = {}});
  }
  /// What goes into the first normalisation for all samples, [channels, values].
  static at::Tensor input_of_first(const Graph& graph, const Samples& samples) {
    const at::NoGradGuard no_gradient;
    Executor executor(graph, {});
    std::vector<std::int64_t> all(static_cast<std::size_t>(samples.images.shape()[0]));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
    at::Tensor seen;
    executor.forward({{executor.input_name(), to_torch(centred().apply(samples, all))}}, false,
                     [&](const std::string& name, const at::Tensor& t) {
                       if (name == first_norm(graph).inputs[0]) seen = t.clone();
                     });
    return seen.transpose(0, 1).flatten(1).to(at::kDouble).contiguous();
  }
};

TEST_F(BatchNormStatistics, AreThoseOfTheDataAndNothingElseChanges) {
  const Graph graph = network();
  const Node& norm = first_norm(graph);
  const at::Tensor values = input_of_first(graph, train);
  for (const std::int64_t batch : {400, 100}) {
    const Graph result = measured(graph, train, 1000, batch);
    EXPECT_TRUE(
        at::allclose(to_torch(result.initializers.at(norm.inputs[3])).to(at::kDouble), values.mean(1), 1e-4, 1e-5));
    EXPECT_TRUE(at::allclose(to_torch(result.initializers.at(norm.inputs[4])).to(at::kDouble),
                             values.var(at::IntArrayRef{1}, true, false), 1e-2, 1e-5));
    EXPECT_EQ(to_text(result), to_text(graph)) << "attributes stay";
    std::size_t changed = 0, norms = 0;
    for (const auto& [name, tensor] : graph.initializers) changed += result.initializers.at(name) == tensor ? 0 : 1;
    for (const Node& node : graph.nodes) norms += node.is("BatchNormalization") ? 1 : 0;
    EXPECT_EQ(changed, 2 * norms);
  }
}

TEST_F(BatchNormStatistics, SeeTheImagesThatTrainingSees) {
  const Graph graph = network();
  const std::string mean = first_norm(graph).inputs[3];
  StatisticsOptions options{.batches = 4, .batch = 100, .seed = 3, .augmentation = {}};
  const auto means = [&] {
    return to_torch(reestimate_batch_norm(graph, train, centred(), options).initializers.at(mean));
  };
  const at::Tensor plain = means();
  options.augmentation.shift = 2;
  EXPECT_GT((means() - plain).abs().max().item<double>(), 0.02) << "borders of zeros came in";
  options.augmentation = {.shift = 0, .flip = true};
  EXPECT_GT((means() - plain).abs().max().item<double>(), 1e-6);
}

TEST_F(BatchNormStatistics, AreOfTheQuantizedNetworkAsItDeploys) {
  PlacementOptions placement;
  const QuantizerSpec binary{"bnn", 1, {{"stochastic", std::int64_t{1}}}};
  placement.rules = {{"*", binary, binary, {}}};
  const Graph placed = calibrate_graph(place_quantizers(network(), placement), train, centred(), 64, 1);
  const Graph result = measured(placed, train, 1, 400);
  const Node& norm = first_norm(placed);
  const at::Tensor values = input_of_first(placed, train);  // in evaluation nothing is drawn
  EXPECT_TRUE(
      at::allclose(to_torch(result.initializers.at(norm.inputs[3])).to(at::kDouble), values.mean(1), 1e-4, 1e-4));
  EXPECT_EQ(measured(placed, train, 3, 64).initializers, measured(placed, train, 3, 64).initializers);
  // Deeper layers keep their codes alive: the frozen network normalises to mean 0 and variance 1.
  EXPECT_NE(result.initializers, placed.initializers);
}

TEST_F(BatchNormStatistics, ShiftNormalisationToo) {
  PlacementOptions placement;
  const QuantizerSpec binary{"bnn", 1, {{"shift_batch_norm", std::int64_t{1}}}};
  placement.rules = {{"*", binary, binary, {}}};
  const Graph placed = place_quantizers(network(), placement);
  const Graph result = measured(placed, train, 2, 100);
  std::size_t shifted = 0;
  for (const Node& node : placed.nodes) {
    if (!node.is("ShiftBatchNormalization", kNnqDomain)) continue;
    ++shifted;
    EXPECT_NE(result.initializers.at(node.inputs[3]), placed.initializers.at(node.inputs[3])) << node.name;
    EXPECT_NE(result.initializers.at(node.inputs[4]), placed.initializers.at(node.inputs[4])) << node.name;
  }
  EXPECT_GT(shifted, 0U);
}

TEST_F(BatchNormStatistics, WhatCannotBeMeasuredIsAnError) {
  EXPECT_THROW(
      measured(
          build_zoo("mlp", {{"size", "4"}, {"hidden", "8"}, {"classes", "4"}, {"norm", "no"}, {"last_norm", "no"}}),
          train, 1, 10),
      Error);
  EXPECT_THROW(measured(network(), train, 0, 10), Error);
  Samples none = train;
  none.images = Tensor(DType::u8, {0, 1, 4, 4});
  none.labels = Tensor(DType::i64, {0});
  EXPECT_THROW(measured(network(), none, 1, 10), Error);
}

}  // namespace
}  // namespace nnq::train
