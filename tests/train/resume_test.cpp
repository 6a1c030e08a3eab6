// Stopped and resumed training gives the bits of training that was not disturbed.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "nnq/error.h"
#include "train/checkpoint.h"
#include "train/training.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

class Resume : public TrainerTest {};

TEST_F(Resume, StoppedBetweenEpochsAndResumedGivesTheSameBits) {
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

TEST_F(Resume, ASignalInTheMiddleOfAnEpochStopsAndResumesWithTheSameBits) {
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

/// Makes checkpoints before each batch of an epoch, then goes on from every one of them.
void expect_resumable_anywhere(const Graph& graph, const Samples& samples, const TrainOptions& options) {
  Training whole(graph, samples, centred(), options, nullptr);
  std::vector<std::vector<std::byte>> saved;
  for (bool more = true; more;) {
    saved.push_back(write_checkpoint(whole.checkpoint()));
    more = whole.step();
  }
  const EpochReport report = whole.finish_epoch();
  ASSERT_EQ(saved.size(), 7u);
  for (const auto& bytes : saved) {
    const Checkpoint from = read_checkpoint(bytes, "checkpoint");
    Training second(graph, samples, centred(), options, &from);
    while (second.step()) {
    }
    EXPECT_EQ(second.finish_epoch().loss, report.loss);
    EXPECT_TRUE(second.checkpoint().tensors == whole.checkpoint().tensors) << "from batch " << from.batch;
  }
}

TEST_F(Resume, EveryBatchIsAPlaceToGoOnFrom) {
  train = bright_rows(100, 1);
  TrainOptions options = quick_options();
  options.ema = 0.9;
  const auto calibrated = [&](const Graph& graph) { return calibrate_graph(graph, train, centred(), 64, 1); };
  expect_resumable_anywhere(calibrated(quantized_mlp("uniform", 3, 3)), train, options);
  options.optimizer.kind = "shift_adamax";
  expect_resumable_anywhere(calibrated(quantized_mlp("bnn", 1, 1, {{"stochastic", std::int64_t{1}}})), train, options);
}

TEST_F(Resume, ResumesOnlyItsOwnRun) {
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

TEST_F(Resume, WithoutACheckpointResumeStartsAndANewRunForgetsTheOld) {
  TrainOptions options = quick_options();
  options.epochs = 1;
  EXPECT_EQ(run(small_mlp(), options, true).epochs_done, 1);
  options.epochs = 0;
  EXPECT_EQ(run(small_mlp(), options, false).epochs_done, 0);
  EXPECT_FALSE(load_checkpoint(folder.path).has_value());
}

}  // namespace
}  // namespace nnq::train
