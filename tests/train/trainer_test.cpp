#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nnq/error.h"
#include "train/checkpoint.h"
#include "train/training.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

class Trainer : public TrainerTest {};

TEST_F(Trainer, LearnsAndReportsEachEpoch) {
  std::vector<EpochReport> seen;
  const TrainResult result = run(small_mlp(), quick_options(), false, [&](const EpochReport& r) { seen.push_back(r); });
  ASSERT_EQ(result.history.size(), 4u);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[3].epoch, 4);
  EXPECT_FALSE(result.interrupted);
  EXPECT_LT(result.history[3].loss, result.history[0].loss);
  EXPECT_GT(result.best_validation, 85);
  EXPECT_EQ(measured(result.graph), result.best_validation);
}

TEST_F(Trainer, EveryOptimizerAndLossLearns) {
  for (const char* kind : {"sgd", "adam", "adamw", "adamax", "shift_adamax"}) {
    TrainOptions options = quick_options();
    options.optimizer.kind = kind;
    if (options.optimizer.kind == "sgd") options.optimizer.learning_rate = 0.1;
    options.loss = "squared_hinge";
    EXPECT_GT(run(small_mlp(), options).best_validation, 80) << kind;
  }
}

TEST_F(Trainer, QuantizedNetworksAreMeasuredFrozen) {
  for (const auto& [method, weights, activations] :
       {std::tuple{"bnn", 1, 1}, std::tuple{"dorefa", 2, 2}, std::tuple{"uniform", 4, 4}}) {
    TrainOptions options = quick_options();
    options.epochs = 6;
    const Graph graph = calibrate_graph(quantized_mlp(method, weights, activations), train, centred(), 64, 1);
    const TrainResult result = run(graph, options);
    EXPECT_GT(result.best_validation, 60) << method;
    EXPECT_EQ(measured(result.graph), result.best_validation) << method;
  }
}

TEST_F(Trainer, LargeGradientsAreClipped) {
  TrainOptions options = quick_options();
  options.optimizer.kind = "sgd";
  options.optimizer.learning_rate = 1;
  options.optimizer.momentum = 0;
  options.clip_gradient_norm = 1e-3;
  Training training(small_mlp(), train, centred(), options, nullptr);
  const auto before = training.graph().initializers;
  training.step();
  double sum = 0;
  for (const auto& [name, tensor] : training.graph().initializers) {
    if (name.ends_with("mean") || name.ends_with("variance") || tensor.dtype() != DType::f32) continue;
    for (std::int64_t i = 0; i < tensor.count(); ++i) {
      const double change = static_cast<double>(tensor.as<float>()[i]) - before.at(name).as<float>()[i];
      sum += change * change;
    }
  }
  EXPECT_NEAR(std::sqrt(sum), 1e-3, 1e-5);
}

TEST_F(Trainer, EarlyStopAndKeepBest) {
  TrainOptions options = quick_options();
  options.epochs = 40;
  options.early_stop = 2;
  options.optimizer.learning_rate = 0.05;
  const TrainResult result = run(small_mlp(), options);
  ASSERT_LT(result.epochs_done, 40);
  const std::size_t n = result.history.size();
  ASSERT_GT(n, 2u);
  EXPECT_EQ(result.history[n - 3].validation, result.best_validation);
  EXPECT_EQ(measured(result.graph), result.best_validation);
  EXPECT_LE(result.history[n - 1].validation, result.best_validation);
  expect_same(run(small_mlp(), options, true), result);  // it stays stopped

  options.keep_best = false;
  const TrainResult last = run(small_mlp(), options);
  EXPECT_EQ(measured(last.graph), last.history.back().validation);
}

TEST_F(Trainer, AveragedWeightsAreHandedOut) {
  TrainOptions options = quick_options();
  options.keep_best = false;
  const TrainResult plain = run(small_mlp(), options);
  options.ema = 0.98;
  const TrainResult averaged = run(small_mlp(), options);
  EXPECT_FALSE(plain.graph.initializers == averaged.graph.initializers);
  EXPECT_EQ(plain.history.back().loss, averaged.history.back().loss);  // training itself is the same
  EXPECT_EQ(measured(averaged.graph), averaged.history.back().validation);
  EXPECT_GT(averaged.best_validation, 80);
}

TEST_F(Trainer, AverageFollowsItsFormula) {
  TrainOptions options = quick_options();
  options.ema = 0.3;  // below (1 + t) / (10 + t) from t = 3 on
  Training training(small_mlp(), train, centred(), options, nullptr);
  const auto weight = [&](const char* group) {
    const auto tensors = training.checkpoint().tensors;
    for (const auto& [name, tensor] : tensors)
      if (name.starts_with(group) && tensor.rank() == 2) return tensor.as<float>()[0];
    throw Error("no weight");
  };
  double expected = weight("model/");
  EXPECT_EQ(weight("average/"), static_cast<float>(expected));
  for (int t = 1; t <= 5; ++t) {
    training.step();
    const double kept = std::min(0.3, (1.0 + t) / (10.0 + t));
    expected = kept * expected + (1 - kept) * static_cast<double>(weight("model/"));
    EXPECT_NEAR(weight("average/"), expected, 1e-6) << t;
  }
}

TEST_F(Trainer, ANonFiniteLossNamesTheTensor) {
  TrainOptions options = quick_options();
  run(small_mlp(), options);
  const auto before = load_checkpoint(folder.path);
  Graph graph = small_mlp();
  std::string poisoned;
  for (auto& [name, tensor] : graph.initializers)
    if (tensor.rank() == 2 && poisoned.empty()) tensor.mutable_as<float>()[0] = 1e38F, poisoned = name;
  try {
    run(graph, options, false);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.where().find("value '"), std::string::npos) << error.what();
    EXPECT_NE(error.message().find("epoch 1, batch "), std::string::npos) << error.what();
  }
  for (auto& [name, tensor] : graph.initializers)
    if (name == poisoned) tensor.mutable_as<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  try {
    run(graph, options, false);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "parameter '" + poisoned + "' is not finite");
  }
}

TEST_F(Trainer, ADivergedRunKeepsItsLastGoodCheckpoint) {
  TrainOptions options = quick_options();
  options.optimizer.kind = "sgd";
  options.optimizer.momentum = 0;
  options.optimizer.learning_rate = 1e38;
  options.schedule.kind = "constant";
  options.schedule.warmup_epochs = 0;
  Graph graph = build_zoo("mlp", {{"hidden", ""}, {"size", "4"}, {"classes", "4"}, {"last_norm", "no"}});
  EXPECT_THROW(run(graph, options), Error);
  EXPECT_FALSE(load_checkpoint(folder.path).has_value());  // nothing broken was saved
}

TEST_F(Trainer, WorksWithoutValidationAndWithFewSamples) {
  const Samples few = bright_rows(5, 3);
  TrainOptions options = quick_options();
  options.schedule.kind = "plateau";
  const TrainResult result = train_graph(small_mlp(), few, nullptr, centred(), options, folder.path, false, {});
  EXPECT_EQ(result.epochs_done, 4);
  EXPECT_EQ(result.best_validation, -1);
  EXPECT_EQ(result.history[0].validation, -1);
}

TEST_F(Trainer, RefusesWhatMakesNoSense) {
  TrainOptions options = quick_options();
  options.loss = "cross-entropy";
  EXPECT_THROW(run(small_mlp(), options), Error);
  options = quick_options();
  options.ema = 1;
  EXPECT_THROW(run(small_mlp(), options), Error);
  options = quick_options();
  EXPECT_THROW(train_graph(small_mlp(), Samples{}, nullptr, centred(), options, folder.path, false, {}), Error);
  train.labels.mutable_as<std::int64_t>()[0] = 4;  // beyond the network
  EXPECT_THROW(run(small_mlp(), options), Error);
}

}  // namespace
}  // namespace nnq::train
