// The run store: what goes in comes out, several writers, damaged files.
#include "nnq/run_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "nnq/error.h"

namespace nnq {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class RunStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::path(testing::TempDir()) / "nnq_store_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    file_ = folder_ / "deep" / "runs.sqlite";
  }
  void TearDown() override { fs::remove_all(folder_); }
  RunRecord record(const std::string& name) const {
    return {.folder = folder_ / name,
            .name = name,
            .data = "cifar10",
            .recipe_hash = "0123456789abcdef",
            .version = "0.1.0",
            .started = "2026-01-01T00:00:00Z",
            .seed = 7};
  }
  std::string refusal() const {
    try {
      RunStore(file_).list();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  fs::path folder_, file_;
};

TEST_F(RunStoreTest, KeepsRunsOverReopening) {
  {
    RunStore store(file_);
    const std::int64_t first = store.begin_run(record("a")), second = store.begin_run(record("b"));
    store.add_epoch(first, 0, 1, {{"loss", 2.0}, {"validation", 60.0}});
    store.add_epoch(first, 0, 2, {{"loss", 1.0}, {"validation", 70.0}});
    store.finish_run(first,
                     {.value = 91.5, .float_value = 92, .bytes = 10, .float_bytes = 320, .met = false, .seconds = 5});
    EXPECT_NE(first, second);
  }
  const RunStore store(file_);
  const std::vector<StoredRun> runs = store.list();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].record.name, "b");
  EXPECT_EQ(runs[0].outcome.state, "running");
  const StoredRun& done = runs[1];
  EXPECT_EQ(done.record.folder, fs::weakly_canonical(folder_ / "a"));
  EXPECT_EQ(done.record.seed, 7u);
  EXPECT_EQ(done.record.recipe_hash, "0123456789abcdef");
  EXPECT_EQ(done.outcome.state, "done");
  EXPECT_EQ(done.outcome.value, 91.5);
  EXPECT_EQ(done.outcome.float_bytes, 320u);
  EXPECT_FALSE(done.outcome.met);
  EXPECT_EQ(done.epochs, 2);
  EXPECT_EQ(store.curves(done.id).at("loss"), (std::vector<double>{2, 1}));
}

TEST_F(RunStoreTest, ResumeKeepsEpochsAndAFreshRunDoesNot) {
  RunStore store(file_);
  const std::int64_t run = store.begin_run(record("a"));
  for (int i = 1; i <= 3; ++i) store.add_epoch(run, 0, i, {{"loss", i}});
  store.add_epoch(run, 1, 1, {{"loss", 9}});
  store.finish_run(run, {.state = "interrupted"});
  EXPECT_EQ(store.begin_run(record("a"), /*resume=*/true), run);
  store.forget_after(run, 0, 2);
  store.add_epoch(run, 0, 2, {{"loss", 5}});  // the same epoch again
  EXPECT_EQ(store.curves(run).at("loss"), (std::vector<double>{1, 5}));
  EXPECT_EQ(store.list()[0].outcome.state, "running");
  EXPECT_EQ(store.begin_run(record("a")), run);
  EXPECT_EQ(store.list()[0].epochs, 0);
}

TEST_F(RunStoreTest, SeveralWritersAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      RunStore store(file_);
      const std::int64_t run = store.begin_run(record("run" + std::to_string(i)));
      for (int k = 1; k <= 20; ++k) store.add_epoch(run, 0, k, {{"loss", k}});
      store.finish_run(run, {});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<StoredRun> runs = RunStore(file_).list();
  ASSERT_EQ(runs.size(), 4u);
  for (const StoredRun& run : runs) EXPECT_EQ(run.epochs, 20);
}

TEST_F(RunStoreTest, DamagedFilesAreNamedWithAWayOut) {
  fs::create_directories(file_.parent_path());
  std::ofstream(file_) << std::string(8192, 'x');
  EXPECT_THAT(refusal(), AllOf(HasSubstr("runs.sqlite"), HasSubstr("damaged"), HasSubstr("move it away")));
}

TEST_F(RunStoreTest, DamageBehindTheHeaderIsFound) {
  {
    RunStore store(file_);
    for (int i = 0; i < 50; ++i) store.begin_run(record("run" + std::to_string(i)));
  }
  std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(100);
  file << std::string(6000, '\xff');
  file.close();
  EXPECT_THAT(refusal(), HasSubstr("runs.sqlite"));
}

TEST_F(RunStoreTest, FolderInTheWayIsRefused) {
  fs::create_directories(file_);
  EXPECT_THAT(refusal(), HasSubstr("cannot be"));
}

TEST_F(RunStoreTest, DefaultPathFollowsTheEnvironment) {
  setenv("NNQ_RUNS", "/somewhere/store.sqlite", 1);
  EXPECT_EQ(RunStore::default_path(), fs::path("/somewhere/store.sqlite"));
  unsetenv("NNQ_RUNS");
  EXPECT_EQ(RunStore::default_path(), fs::path("runs/runs.sqlite"));
}

}  // namespace
}  // namespace nnq
