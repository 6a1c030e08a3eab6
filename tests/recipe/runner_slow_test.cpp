// Runs that are killed and stopped from outside, as `nnq train` in a process of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include "nnq/run_store.h"
#include "recipe/runs.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the helpers of runs.h

/// `nnq train little.toml --run FOLDER [--resume]` in the background; its output goes to out.txt and err.txt.
class Process {
 public:
  Process(const std::string& folder, bool resume) {
    const std::string program = std::string(NNQ_BINARY_DIR) + "/bin/nnq";
    std::vector<const char*> arguments = {program.c_str(), "train", "little.toml", "--run", folder.c_str(),
                                          "--threads",     "2"};
    if (resume) arguments.push_back("--resume");
    arguments.push_back(nullptr);
    child_ = fork();
    if (child_ != 0) return;
    for (const auto& [file, descriptor] : {std::pair("out.txt", 1), std::pair("err.txt", 2)})
      dup2(open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644), descriptor);
    execv(program.c_str(), const_cast<char**>(arguments.data()));
    _exit(99);
  }
  ~Process() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    wait();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool running() {
    if (child_ > 0 && waitpid(child_, &status_, WNOHANG) == child_) child_ = 0;
    return child_ > 0;
  }
  void signal(int number) const { kill(child_, number); }
  /// Exit code, or 128 + signal.
  int wait() {
    if (child_ > 0) waitpid(child_, &status_, 0);
    child_ = 0;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  }

 private:
  pid_t child_ = -1;
  int status_ = 0;
};

void sleep_milliseconds(std::uint64_t count) { std::this_thread::sleep_for(std::chrono::milliseconds(count)); }

/// Waits for `holds` while the process runs, at most a minute.
bool wait_until(Process& process, const std::function<bool()>& holds) {
  for (int i = 0; i < 6000 && process.running(); ++i) {
    if (holds()) return true;
    sleep_milliseconds(10);
  }
  return false;
}

/// (stage, epoch) of every epoch record, in file order.
std::vector<std::pair<int, int>> epochs_of(const std::string& run) {
  std::vector<std::pair<int, int>> epochs;
  for (const nlohmann::json& record : read_metrics(run))
    if (record.is_object() && record.contains("epoch")) epochs.emplace_back(record["stage"], record["epoch"]);
  return epochs;
}

void write_recipe(const fs::path& folder) {
  const std::string data = write_quarters(folder, 1500, 12);
  std::ofstream(folder / "little.toml") << recipe_head(data, small_lenet, 100) + "shift = 1\nflip = true\n" +
                                               train_stage(4) + quantize_stage("uniform", 4, 4) + train_stage(4) +
                                               "[[stage]]\nkind = 'evaluate'\n";
}

std::vector<std::pair<int, int>> all_epochs() {
  return {{0, 1}, {0, 2}, {0, 3}, {0, 4}, {3, 1}, {3, 2}, {3, 3}, {3, 4}};
}

TEST(RunnerKilled, AtAnyMomentAndResumedEndsInTheSameBytes) {
  const WorkingFolder folder;
  write_recipe(folder.path());
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(Process("whole", false).wait(), 0) << read_text("err.txt");
  const auto whole = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count());
  ASSERT_EQ(epochs_of("whole"), all_epochs());

  Random random(static_cast<std::uint64_t>(getpid()));
  int kills = 0;
  std::string moments;
  for (int i = 0; i < 6; ++i) {
    Process process("killed", fs::exists("killed/recipe.toml"));
    const std::uint64_t after = whole / 20 + random.below(whole / 3);
    moments += std::to_string(after) + " ";
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(after);
    wait_until(process, [&] { return std::chrono::steady_clock::now() >= end; });
    if (!process.running()) {
      ASSERT_EQ(process.wait(), 0) << read_text("err.txt");
      break;
    }
    process.signal(SIGKILL);
    ASSERT_EQ(process.wait(), 128 + SIGKILL);
    ++kills;
  }
  SCOPED_TRACE("killed after milliseconds: " + moments);
  EXPECT_GE(kills, 2);
  ASSERT_EQ(Process("killed", fs::exists("killed/recipe.toml")).wait(), 0) << read_text("err.txt");
  for (const char* file : {"model.onnx", "model.nnq", "float.onnx"})
    EXPECT_TRUE(read_text(fs::path("whole") / file) == read_text(fs::path("killed") / file)) << file;
  EXPECT_EQ(epochs_of("killed"), all_epochs());
  EXPECT_EQ(read_json("killed/result.json")["value"], read_json("whole/result.json")["value"]);
}

TEST(RunnerStopped, SaysSoAndGoesOn) {
  const WorkingFolder folder;
  write_recipe(folder.path());
  ASSERT_EQ(Process("whole", false).wait(), 0) << read_text("err.txt");
  {
    Process process("stopped", false);
    ASSERT_TRUE(wait_until(process, [] { return epochs_of("stopped").size() >= 2; })) << read_text("err.txt");
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait(), 130);
  }
  EXPECT_THAT(read_text("out.txt"), HasSubstr("interrupted"));
  EXPECT_THAT(read_text("out.txt"), HasSubstr("--resume"));
  EXPECT_THAT(read_text("out.txt"), ::testing::Not(HasSubstr("nnq inspect")));
  EXPECT_EQ(read_json("stopped/result.json")["interrupted"], true);
  EXPECT_EQ(RunStore("runs/runs.sqlite").list().at(0).outcome.state, "interrupted");
  const std::size_t done = epochs_of("stopped").size();
  EXPECT_LT(done, all_epochs().size());
  ASSERT_EQ(Process("stopped", true).wait(), 0) << read_text("err.txt");
  EXPECT_EQ(read_json("stopped/result.json")["interrupted"], false);
  EXPECT_EQ(epochs_of("stopped"), all_epochs());
  EXPECT_EQ(RunStore("runs/runs.sqlite").list().at(0).outcome.state, "done");
  EXPECT_TRUE(read_text("whole/model.nnq") == read_text("stopped/model.nnq"));
}

}  // namespace
}  // namespace nnq::recipe
