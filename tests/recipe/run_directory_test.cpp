// Run directories: names, locks, resume, and what a kill may leave behind.
#include "recipe/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "nnq/error.h"
#include "nnq/report.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

Recipe sample_recipe(const std::vector<std::string>& overrides = {}) {
  return parse_recipe("name='little'\ndata='cifar10'\n[model]\nzoo='mlp'\n[[stage]]\nkind='train'\nepochs=4\n",
                      "little.toml", overrides);
}

std::string read_all(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

train::EpochReport epoch(std::int64_t number) {
  train::EpochReport report;
  report.epoch = number;
  report.loss = 1.0 / static_cast<double>(number);
  report.validation = 50 + static_cast<double>(number);
  return report;
}

/// Works in an empty folder, so that runs/ is its own.
class RunDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = fs::current_path();
    std::string name = (fs::path(::testing::TempDir()) / "nnq_runs_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    fs::current_path(folder_);
  }
  void TearDown() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  static std::string refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  fs::path before_, folder_;
};

TEST_F(RunDirectoryTest, WritesRecipeAndOrigin) {
  const Recipe recipe = sample_recipe();
  RunDirectory run = RunDirectory::create({}, recipe, "nnq train little.toml");
  EXPECT_TRUE(json::parse(read_all(run.file("run.json")))["data_hash"].is_null());
  run.set_data_hash(0xabcd);
  EXPECT_EQ(run.folder(), fs::path("runs/little-1"));
  EXPECT_EQ(run.name(), "little-1");
  EXPECT_EQ(read_all(run.file("recipe.toml")), to_toml(recipe));
  const json origin = json::parse(read_all(run.file("run.json")));
  EXPECT_EQ(origin["seed"], 1);
  EXPECT_EQ(origin["command"], "nnq train little.toml");
  EXPECT_EQ(origin["data_hash"], "000000000000abcd");
  EXPECT_EQ(origin["recipe_hash"], recipe_hash(recipe));
  EXPECT_GE(origin["machine"]["cores"].get<int>(), 1);
  EXPECT_FALSE(origin["machine"]["isa"].get<std::string>().empty());
  EXPECT_EQ(origin["started"].get<std::string>().size(), 20u);
}

TEST_F(RunDirectoryTest, OtherDataIsRefused) {
  { RunDirectory::create("mine", sample_recipe()).set_data_hash(0xabcd); }
  EXPECT_EQ(refusal([] { RunDirectory::resume("mine", sample_recipe()).set_data_hash(0xabcd); }), "accepted");
  EXPECT_THAT(refusal([] { RunDirectory::resume("mine", sample_recipe()).set_data_hash(0xabce); }),
              HasSubstr("other data"));
}

TEST_F(RunDirectoryTest, KilledBeforeItBeganIsStartedAgain) {
  { RunDirectory::create("mine", sample_recipe()); }
  fs::remove("mine/recipe.toml");  // written last
  EXPECT_EQ(refusal([] { RunDirectory::create("mine", sample_recipe()); }), "accepted");
}

TEST_F(RunDirectoryTest, ARunThatDidNothingLeavesNothing) {
  {
    RunDirectory run = RunDirectory::create({}, sample_recipe());
    EXPECT_TRUE(fs::exists("runs/little-1/recipe.toml"));
    run.remove_unused();
  }
  EXPECT_FALSE(fs::exists("runs/little-1"));
  fs::create_directory("mine");  // the user's own folder stays
  RunDirectory::create("mine", sample_recipe()).remove_unused();
  EXPECT_TRUE(fs::is_directory("mine"));
  EXPECT_TRUE(fs::is_empty("mine"));
  {
    RunDirectory run = RunDirectory::create("begun", sample_recipe());
    run.add_epoch(0, epoch(1));
    run.remove_unused();
  }
  EXPECT_TRUE(fs::exists("begun/recipe.toml"));
  fs::remove("begun/metrics.jsonl");
  RunDirectory::resume("begun", sample_recipe()).remove_unused();
  EXPECT_TRUE(fs::exists("begun/recipe.toml"));
}

TEST_F(RunDirectoryTest, TemporariesOfDeadProcessesGoOthersStay) {
  RunDirectory::create("mine", sample_recipe());
  const std::string dead = std::to_string((1 << 22) + 1);  // beyond Linux' largest process number
  fs::create_directory("mine/stage-1");
  const std::vector<fs::path> stale = {"mine/.model.nnq." + dead + ".0",
                                       "mine/stage-1/.checkpoint.onnx." + dead + ".12"};
  const std::vector<fs::path> others = {"mine/.model.nnq." + std::to_string(getpid()) + ".0", "mine/model.nnq",
                                        "mine/.hidden", "mine/.version.1.x", "mine/name." + dead + ".0"};
  for (const auto* list : {&stale, &others})
    for (const fs::path& file : *list) std::ofstream(file) << "x";
  RunDirectory::resume("mine", sample_recipe());
  for (const fs::path& file : stale) EXPECT_FALSE(fs::exists(file)) << file;
  for (const fs::path& file : others) EXPECT_TRUE(fs::exists(file)) << file;
}

TEST_F(RunDirectoryTest, ManyAtOnceGetFoldersOfTheirOwn) {
  std::vector<std::string> names(8);
  std::vector<std::thread> threads;
  for (std::string& name : names)
    threads.emplace_back([&name] { name = RunDirectory::create({}, sample_recipe()).folder().string(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST_F(RunDirectoryTest, RefusesFoldersInUse) {
  { RunDirectory::create("mine/", sample_recipe()); }
  EXPECT_THAT(refusal([] { RunDirectory::create("mine", sample_recipe()); }), HasSubstr("already holds a run"));
  const RunDirectory held = RunDirectory::resume("mine", sample_recipe());
  EXPECT_THAT(refusal([] { RunDirectory::resume("mine", sample_recipe()); }), HasSubstr("another nnq process"));
  fs::create_directory("other");
  std::ofstream("other/letter.txt") << "dear";
  EXPECT_THAT(refusal([] { RunDirectory::create("other", sample_recipe()); }), HasSubstr("not empty"));
  EXPECT_THAT(refusal([] { RunDirectory::create("other/letter.txt", sample_recipe()); }), HasSubstr("letter.txt"));
}

TEST_F(RunDirectoryTest, ResumeChecksTheRecipe) {
  { RunDirectory::create("mine", sample_recipe()); }
  EXPECT_THAT(refusal([] { RunDirectory::resume("mine", sample_recipe({"train.epochs=5"})); }),
              AllOf(HasSubstr("'stage.0.epochs'"), HasSubstr("recipe.toml")));
  EXPECT_THAT(refusal([] { RunDirectory::resume("mine", sample_recipe({"model.parameters.width=5"})); }),
              HasSubstr("'model.parameters.width'"));
  EXPECT_THAT(refusal([] { RunDirectory::resume("absent", sample_recipe()); }), HasSubstr("no run to resume"));
  EXPECT_EQ(refusal([] { RunDirectory::resume("mine", sample_recipe()); }), "accepted");
  EXPECT_EQ(json::parse(read_all("mine/run.json"))["resumed"].size(), 1u);
}

TEST_F(RunDirectoryTest, ResumeWithoutFolderTakesTheLast) {
  EXPECT_THAT(refusal([] { RunDirectory::resume({}, sample_recipe()); }), HasSubstr("no run of 'little'"));
  for (int i = 0; i < 10; ++i) RunDirectory::create({}, sample_recipe());
  fs::create_directory("runs/little-99x");
  EXPECT_EQ(RunDirectory::resume({}, sample_recipe()).folder(), fs::path("runs/little-10"));
}

TEST_F(RunDirectoryTest, EpochsAreNotRepeatedAfterAKill) {
  {
    RunDirectory run = RunDirectory::create("mine", sample_recipe());
    for (int i = 1; i <= 3; ++i) run.add_epoch(0, epoch(i));
    run.add_record(0, {{"event", "end"}});
    run.add_epoch(1, epoch(1));
  }
  std::ofstream("mine/metrics.jsonl", std::ios::app) << "{\"stage\":1,\"epo";  // torn
  RunDirectory run = RunDirectory::resume("mine", sample_recipe());
  run.forget_after(0, 2);
  for (int i = 3; i <= 4; ++i) run.add_epoch(0, epoch(i));
  std::vector<std::int64_t> epochs;
  std::ifstream in("mine/metrics.jsonl");
  for (std::string line; std::getline(in, line);) epochs.push_back(json::parse(line).at("epoch"));
  EXPECT_EQ(epochs, (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST_F(RunDirectoryTest, ForgetKeepsEarlierStagesWhole) {
  RunDirectory run = RunDirectory::create("mine", sample_recipe());
  run.add_epoch(0, epoch(5));
  run.add_record(0, {{"event", "end"}});
  run.add_epoch(1, epoch(1));
  run.forget_after(1, 0);
  EXPECT_THAT(read_all("mine/metrics.jsonl"), AllOf(HasSubstr("\"epoch\":5"), HasSubstr("\"end\"")));
  EXPECT_THAT(read_all("mine/metrics.jsonl"), ::testing::Not(HasSubstr("\"stage\":1")));
}

TEST_F(RunDirectoryTest, ReportReadsWhatIsWritten) {
  RunDirectory run = RunDirectory::create("mine", sample_recipe());
  for (int i = 1; i <= 2; ++i) run.add_epoch(0, epoch(i));
  RunResult result;
  result.model = "mine/model.onnx";
  result.packed = "mine/model.nnq";
  result.bytes = 1000;
  result.float_bytes = 32000;
  result.value = 91.5;
  result.float_value = 92;
  result.seconds = 12;
  run.write_result(result, "cifar10", {.agreement = 100, .count = 10000, .float_model = {}});
  const RunSummary summary = read_run("mine");
  EXPECT_EQ(summary.packed, fs::path("mine/model.nnq"));
  EXPECT_EQ(summary.value, 91.5);
  EXPECT_EQ(summary.float_bytes, 32000u);
  EXPECT_EQ(summary.data, "cifar10");
  EXPECT_EQ(summary.curves.at("loss"), (std::vector<double>{1, 0.5}));
  EXPECT_EQ(summary.curves.at("validation"), (std::vector<double>{51, 52}));
  EXPECT_FALSE(summary.curves.contains("stage"));
  const json document = json::parse(read_all("mine/result.json"));
  for (const char* key : {"run", "model", "packed", "data", "bytes", "float_bytes", "metric", "value", "float_value",
                          "met", "seconds", "interrupted", "agreement", "count"})
    EXPECT_TRUE(document.contains(key)) << key;
}

}  // namespace
}  // namespace nnq::recipe
