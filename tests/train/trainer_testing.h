// A small problem and a small network for tests of the training loop.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "core/random.h"
#include "nnq/dataset.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"
#include "train/threads.h"
#include "train/trainer.h"

namespace nnq::train::testing {

/// Noisy 4x4 images; the class says which row is bright.
inline Samples bright_rows(std::int64_t count, std::uint64_t seed) {
  Samples samples;
  samples.images = Tensor(DType::u8, {count, 1, 4, 4});
  samples.labels = Tensor(DType::i64, {count});
  samples.classes = {"a", "b", "c", "d"};
  samples.source = "synthetic";
  auto* pixels = samples.images.mutable_as<std::uint8_t>();
  auto* labels = samples.labels.mutable_as<std::int64_t>();
  Random random(seed);
  for (std::int64_t n = 0; n < count; ++n) {
    labels[n] = static_cast<std::int64_t>(random.below(4));
    for (std::int64_t i = 0; i < 16; ++i)
      pixels[n * 16 + i] = static_cast<std::uint8_t>(random.below(160) + (i / 4 == labels[n] ? 95 : 0));
  }
  return samples;
}

inline Preprocessing centred() {
  Preprocessing p;
  p.mean = {0.5F};
  p.std = {0.25F};
  return p;
}

inline Graph small_mlp(const std::string& activation = "relu") {
  return build_zoo("mlp", {{"hidden", "24,16"}, {"size", "4"}, {"classes", "4"}, {"activation", activation}});
}

/// The same with quantizers on weights and activations of every layer.
inline Graph quantized_mlp(const std::string& method, int weight_bits, int activation_bits,
                           const std::map<std::string, Attribute>& parameters = {}) {
  PlacementOptions placement;
  LayerRule rule;
  rule.glob = "*";
  rule.weights.method = rule.activations.method = method;
  rule.weights.parameters = rule.activations.parameters = parameters;
  rule.weights.bits = weight_bits;
  rule.activations.bits = activation_bits;
  placement.rules = {rule};
  return place_quantizers(small_mlp(method == "bnn" ? "hardtanh" : "relu"), placement);
}

inline TrainOptions quick_options() {
  TrainOptions options;
  options.epochs = 4;
  options.batch = 16;
  options.optimizer.kind = "adam";
  options.optimizer.learning_rate = 0.01;
  options.augmentation.flip = true;
  return options;
}

/// A folder of its own, removed at the end.
struct TemporaryFolder {
  std::filesystem::path path;
  explicit TemporaryFolder(const std::string& name)
      : path(std::filesystem::temp_directory_path() / ("nnq_" + name + "_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

/// Runs in folders of their own.
class TrainerTest : public ::testing::Test {
 protected:
  Samples train = bright_rows(400, 1), validation = bright_rows(200, 2);
  /// Tiny operators on several threads wait for each other more than they compute, above all on a busy machine.
  void SetUp() override { set_threads(1); }
  TemporaryFolder folder{"trainer_test"}, other{"trainer_test_other"};

  TrainResult run(const Graph& graph, const TrainOptions& options, bool resume = false,
                  const std::function<void(const EpochReport&)>& on_epoch = {}) {
    return train_graph(graph, train, &validation, centred(), options, folder.path, resume, on_epoch);
  }
  TrainResult elsewhere(const Graph& graph, const TrainOptions& options) {
    return train_graph(graph, train, &validation, centred(), options, other.path, false, {});
  }
  double measured(const Graph& graph) {
    return evaluate_accuracy(freeze_graph(graph, 1), validation, centred(), 64, "test");
  }
};

inline void expect_same(const TrainResult& a, const TrainResult& b) {
  EXPECT_EQ(a.epochs_done, b.epochs_done);
  EXPECT_EQ(a.best_validation, b.best_validation);
  EXPECT_TRUE(a.graph.initializers == b.graph.initializers);
  ASSERT_EQ(a.history.size(), b.history.size());
  for (std::size_t i = 0; i < a.history.size(); ++i) {
    EXPECT_EQ(a.history[i].loss, b.history[i].loss);
    EXPECT_EQ(a.history[i].train_accuracy, b.history[i].train_accuracy);
    EXPECT_EQ(a.history[i].validation, b.history[i].validation);
    EXPECT_EQ(a.history[i].learning_rate, b.history[i].learning_rate);
  }
}

}  // namespace nnq::train::testing
