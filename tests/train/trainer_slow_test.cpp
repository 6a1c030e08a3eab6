// Kills a training process at random moments and resumes it until it ends: the weights must be those of a run that was
// never disturbed. The child is this program again, so that no thread of LibTorch is forked.
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <thread>

#include "nnq/error.h"
#include "train/checkpoint.h"
#include "train/threads.h"
#include "train/trainer.h"
#include "trainer_testing.h"

extern char** environ;

namespace nnq::train {
namespace {

using namespace testing;

constexpr const char* kFolder = "NNQ_TEST_TRAINING_FOLDER";

/// What parent and children train: a quantized network with everything that has state.
TrainResult train_in(const std::filesystem::path& folder, bool resume) {
  set_threads(1);
  TrainOptions options = quick_options();
  options.epochs = 12;
  options.ema = 0.97;
  options.schedule.warmup_epochs = 1;
  options.clip_gradient_norm = 1;
  const Samples samples = bright_rows(1200, 1), validation = bright_rows(200, 2);
  const Graph graph = calibrate_graph(quantized_mlp("uniform", 3, 3), samples, centred(), 64, 1);
  return train_graph(graph, samples, &validation, centred(), options, folder, resume, {});
}

/// There until a child has loaded LibTorch and begins.
std::filesystem::path ready_file(const std::filesystem::path& folder) { return folder.string() + ".starting"; }

TEST(TrainingChild, DISABLED_Trains) {
  const char* folder = std::getenv(kFolder);
  ASSERT_NE(folder, nullptr);
  std::filesystem::remove(ready_file(folder));
  const TrainResult result = train_in(folder, true);
  _exit(result.interrupted ? 10 : 0);
}

pid_t start_child(const std::filesystem::path& folder) {
  ::setenv(kFolder, folder.c_str(), 1);
  std::string program = "/proc/self/exe", filter = "--gtest_filter=TrainingChild.DISABLED_Trains",
              disabled = "--gtest_also_run_disabled_tests";
  char* arguments[] = {program.data(), filter.data(), disabled.data(), nullptr};
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1 /* O_WRONLY */, 0);
  pid_t child = -1;
  if (::posix_spawn(&child, program.c_str(), &quiet, nullptr, arguments, environ) != 0) child = -1;
  posix_spawn_file_actions_destroy(&quiet);
  return child;
}

/// Lets a child train for `time` and sends it `signal`; true when it had ended well before that.
bool disturb(const std::filesystem::path& folder, std::chrono::milliseconds time, int signal) {
  std::ofstream(ready_file(folder)) << "x";
  const pid_t child = start_child(folder);
  EXPECT_GT(child, 0);
  for (int i = 0; i < 60000 && std::filesystem::exists(ready_file(folder)); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto end = std::chrono::steady_clock::now() + time;
  int status = 0;
  while (std::chrono::steady_clock::now() < end) {
    if (::waitpid(child, &status, WNOHANG) == child) {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(child, signal);
  ::waitpid(child, &status, 0);
  // A child that is not in its loop yet, or has left it, dies of any signal; in the loop it writes a checkpoint.
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == signal;
  EXPECT_TRUE(killed || (WIFEXITED(status) && (WEXITSTATUS(status) == 10 || WEXITSTATUS(status) == 0))) << status;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct Disturbed {
  bool ended = false;
  int times = 0;
  std::vector<std::int64_t> steps;  // of the checkpoint behind each
};

/// Trains in `folder` until a child ends by itself, each disturbed after at most `longest`.
Disturbed disturbed_run(const std::filesystem::path& folder, std::chrono::milliseconds longest,
                        const std::vector<int>& signals, unsigned seed) {
  std::mt19937 random(seed);
  Disturbed run;
  for (std::size_t i = 0; i < 200 && !run.ended; ++i) {
    const std::chrono::milliseconds time(random() % static_cast<unsigned>(longest.count() + 1));
    run.ended = disturb(folder, time, signals[i % signals.size()]);
    if (!run.ended) ++run.times;
    const auto checkpoint = load_checkpoint(folder);  // whole, or none: throws otherwise
    run.steps.push_back(checkpoint ? checkpoint->step : 0);
  }
  return run;
}

void survive(const std::vector<int>& signals, unsigned seed) {
  const TemporaryFolder whole("kill_whole");
  const auto start = std::chrono::steady_clock::now();
  const TrainResult expected = train_in(whole.path, false);
  auto longest = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start) / 3;
  auto broken = std::make_unique<TemporaryFolder>("kill_broken");
  Disturbed run = disturbed_run(broken->path, longest, signals, seed);
  // The machine may have become faster since the whole run was timed: the same again, more often.
  for (int again = 0; again < 5 && run.ended && run.times < 3; ++again) {
    longest /= 3;
    broken = nullptr;
    broken = std::make_unique<TemporaryFolder>("kill_broken");
    run = disturbed_run(broken->path, longest, signals, seed);
  }
  EXPECT_TRUE(run.ended) << run.times << " disturbances, last step " << run.steps.back();
  EXPECT_GE(run.times, 3) << "the run was over before it was disturbed often enough";
  EXPECT_TRUE(std::is_sorted(run.steps.begin(), run.steps.end()));
  const TrainResult result = train_in(broken->path, true);
  EXPECT_EQ(result.epochs_done, expected.epochs_done);
  EXPECT_EQ(result.best_validation, expected.best_validation);
  EXPECT_TRUE(result.graph.initializers == expected.graph.initializers);
  EXPECT_TRUE(load_checkpoint(broken->path)->tensors == load_checkpoint(whole.path)->tensors);
  for (std::size_t i = 0; i < expected.history.size(); ++i)
    EXPECT_EQ(result.history[i].loss, expected.history[i].loss) << "epoch " << i + 1;
}

TEST(KilledTraining, GoesOnToTheSameBits) { survive({SIGKILL}, 1); }

TEST(KilledTraining, StoppedAndKilledByTurnsToo) { survive({SIGTERM, SIGKILL, SIGINT}, 2); }

}  // namespace
}  // namespace nnq::train
