#include "train/trainer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "nnq/error.h"
#include "train/checkpoint.h"
#include "train/threads.h"
#include "train/training.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

class Trainer : public ::testing::Test {
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

void expect_same(const TrainResult& a, const TrainResult& b) {
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

TEST_F(Trainer, StoppedBetweenEpochsAndResumedGivesTheSameBits) {
  for (const bool quantized : {false, true}) {
    const Graph graph =
        quantized ? calibrate_graph(quantized_mlp("uniform", 3, 3), train, centred(), 64, 1) : small_mlp();
    TrainOptions options = quick_options();
    options.ema = quantized ? 0.95 : 0;
    options.clip_gradient_norm = 0.5;
    const TrainResult whole = elsewhere(graph, options);
    const TrainResult part = run(graph, options, false, [](const EpochReport& r) {
      if (r.epoch == 2) std::raise(SIGTERM);
    });
    EXPECT_TRUE(part.interrupted);
    EXPECT_EQ(part.epochs_done, 2);
    expect_same(run(graph, options, true), whole);
    expect_same(run(graph, options, true), whole);  // a finished run resumes to its own end
  }
}

TEST_F(Trainer, ASignalInTheMiddleOfAnEpochStopsAndResumesWithTheSameBits) {
  train = bright_rows(6000, 1);
  TrainOptions options = quick_options();
  options.epochs = 2;
  const TrainResult whole = elsewhere(small_mlp(), options);
  std::thread alarm;
  const TrainResult part = run(small_mlp(), options, false, [&](const EpochReport& r) {
    if (r.epoch > 1) return;
    alarm = std::thread([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ::kill(::getpid(), SIGINT);
    });
  });
  alarm.join();
  EXPECT_TRUE(part.interrupted);
  EXPECT_EQ(part.epochs_done, 1);
  EXPECT_GT(load_checkpoint(folder.path)->batch, 0);
  expect_same(run(small_mlp(), options, true), whole);
}

TEST_F(Trainer, EveryBatchIsAPlaceToGoOnFrom) {
  train = bright_rows(100, 1);
  TrainOptions options = quick_options();
  options.ema = 0.9;
  const Graph graph = calibrate_graph(quantized_mlp("uniform", 3, 3), train, centred(), 64, 1);
  Training whole(graph, train, centred(), options, nullptr);
  std::vector<std::vector<std::byte>> saved;
  for (bool more = true; more;) {
    saved.push_back(write_checkpoint(whole.checkpoint()));
    more = whole.step();
  }
  const EpochReport report = whole.finish_epoch();
  ASSERT_EQ(saved.size(), 7u);
  for (const auto& bytes : saved) {
    const Checkpoint from = read_checkpoint(bytes, "checkpoint");
    Training second(graph, train, centred(), options, &from);
    while (second.step()) {
    }
    EXPECT_EQ(second.finish_epoch().loss, report.loss);
    EXPECT_TRUE(second.checkpoint().tensors == whole.checkpoint().tensors) << "from batch " << from.batch;
  }
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

TEST_F(Trainer, ResumesOnlyItsOwnRun) {
  TrainOptions options = quick_options();
  options.epochs = 1;
  run(small_mlp(), options);
  TrainOptions changed = options;
  changed.batch = 32;
  try {
    run(small_mlp(), changed, true);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("batch was '16', now it is '32'"), std::string::npos) << error.what();
  }
  EXPECT_THROW(run(build_zoo("mlp", {{"hidden", "24,8"}, {"size", "4"}, {"classes", "4"}}), options, true), Error);
  options.epochs = 2;  // longer is allowed
  EXPECT_EQ(run(small_mlp(), options, true).epochs_done, 2);
  std::filesystem::resize_file(checkpoint_file(folder.path), 1000);
  EXPECT_THROW(run(small_mlp(), options, true), Error);
  EXPECT_EQ(run(small_mlp(), options, false).epochs_done, 2);
}

TEST_F(Trainer, WithoutACheckpointResumeStartsAndANewRunForgetsTheOld) {
  TrainOptions options = quick_options();
  options.epochs = 1;
  EXPECT_EQ(run(small_mlp(), options, true).epochs_done, 1);
  options.epochs = 0;
  EXPECT_EQ(run(small_mlp(), options, false).epochs_done, 0);
  EXPECT_FALSE(load_checkpoint(folder.path).has_value());
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
