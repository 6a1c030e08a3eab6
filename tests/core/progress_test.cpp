#include "core/progress.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace nnq {
namespace {

Progress::Clock::time_point fake_time;
Progress::Clock::time_point fake_now() { return fake_time; }
void pass(int seconds) { fake_time += std::chrono::seconds(seconds); }

/// What `work` writes to stderr, which is a file while captured and so never a terminal.
template <class F>
std::string shown_by(F&& work) {
  testing::internal::CaptureStderr();
  work();
  return testing::internal::GetCapturedStderr();
}

class ProgressTest : public testing::Test {
 protected:
  void SetUp() override { unsetenv("NNQ_QUIET"); }
  void TearDown() override { unsetenv("NNQ_QUIET"); }
};

TEST_F(ProgressTest, LogGetsPlainLinesEveryFifteenSeconds) {
  const std::string shown = shown_by([] {
    Progress progress("train", 100, fake_now);
    for (int second = 1; second <= 40; ++second) {
      pass(1);
      progress.advance(2, second == 30 ? "loss 0.412" : "");
    }
  });
  EXPECT_EQ(shown, "train: 30 %, 35 s left\ntrain: 60 %, 20 s left  loss 0.412\n");
}

TEST_F(ProgressTest, ShortWorkShowsNothing) {
  EXPECT_EQ(shown_by([] {
              Progress progress("train", 10, fake_now);
              for (int i = 0; i < 10; ++i) progress.advance(1);
              pass(14);
              progress.advance(1);
            }),
            "");
}

TEST_F(ProgressTest, TheLastLineHasNoTimeLeft) {
  EXPECT_EQ(shown_by([] {
              Progress progress("export", 2, fake_now);
              pass(20);
              progress.advance(5);  // more than there was: stays at the total
            }),
            "export: 100 %\n");
}

TEST_F(ProgressTest, NoWorkAtAllIsNotDividedBy) {
  EXPECT_EQ(shown_by([] {
              Progress progress("nothing", 0, fake_now);
              pass(20);
              progress.advance(0);
            }),
            "nothing: 0 %\n");
}

TEST_F(ProgressTest, QuietSilencesIt) {
  const auto work = [] {
    Progress progress("train", 2, fake_now);
    pass(20);
    progress.advance(1);
  };
  setenv("NNQ_QUIET", "1", 1);
  EXPECT_TRUE(Progress::quiet());
  EXPECT_EQ(shown_by(work), "");
  setenv("NNQ_QUIET", "0", 1);
  EXPECT_FALSE(Progress::quiet());
  EXPECT_NE(shown_by(work), "");
  setenv("NNQ_QUIET", "", 1);
  EXPECT_FALSE(Progress::quiet());
}

TEST(Duration, IsReadable) {
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(4.4), "4 s");
  EXPECT_EQ(duration_text(59.6), "1 min 00 s");
  EXPECT_EQ(duration_text(125), "2 min 05 s");
  EXPECT_EQ(duration_text(3599.4), "59 min 59 s");
  EXPECT_EQ(duration_text(3600), "1 h 00 min");
  EXPECT_EQ(duration_text(4321), "1 h 12 min");
}

}  // namespace
}  // namespace nnq
