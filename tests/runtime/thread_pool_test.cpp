// The pool under stress: every part runs once, whatever the number of parts and threads, asleep or awake.
#include "runtime/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>

namespace nnq {
namespace {

TEST(ThreadPool, EveryPartRunsOnceInEveryRound) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    std::vector<int> seen(101);  // plain: that two threads never meet in a part is what is tested
    for (int round = 1; round <= 2000; ++round) {
      const auto parts = static_cast<std::int64_t>(round % 7 == 0 ? 1 : round % 102);
      for (int& s : seen) s = 0;
      pool.parallel(parts, [&](std::int64_t part) { seen[static_cast<std::size_t>(part)] += round; });
      for (std::size_t i = 0; i < seen.size(); ++i)
        ASSERT_EQ(seen[i], static_cast<std::int64_t>(i) < parts ? round : 0) << threads << " threads, round " << round;
      // Long enough now and then for workers to fall asleep.
      if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
}

TEST(ThreadPool, ManyTinyPartsAreEachTakenByOneThread) {
  ThreadPool pool(3);
  std::vector<int> seen(100000);
  for (int round = 1; round <= 10; ++round) {
    pool.parallel(static_cast<std::int64_t>(seen.size()),
                  [&](std::int64_t part) { ++seen[static_cast<std::size_t>(part)]; });
    for (const int s : seen) ASSERT_EQ(s, round);
  }
}

TEST(ThreadPool, APartThatTakesLongIsWaitedFor) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    int done[3] = {};
    pool.parallel(3, [&](std::int64_t part) {
      std::this_thread::sleep_for(std::chrono::milliseconds(part * 3));
      done[part] = 1;
    });
    EXPECT_EQ(done[0] + done[1] + done[2], 3);
  }
}

}  // namespace
}  // namespace nnq
