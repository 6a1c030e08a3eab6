#include "core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

namespace nnq {
namespace {

// The expected numbers were computed by an independent implementation in Python; they must never change, because runs
// on record name only their seed.
TEST(Random, StreamsAreFixed) {
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafull);  // splitmix64's first output for seed 0
  EXPECT_EQ(hash64(""), 0x5b21f68ffa77f14cull);
  EXPECT_EQ(hash64("nnq"), 0xb492b5e94fdc6aa9ull);
  EXPECT_EQ(hash64("nnq", 7), 0xa053cf060baf2736ull);
  Random plain(1);
  EXPECT_EQ(plain.next(), 0xa8a359cd7d59e2abull);
  EXPECT_EQ(plain.next(), 0xf23a906a2a046e9bull);
  EXPECT_EQ(plain.next(), 0xec6326f71258629cull);
  Random named(42, "weights");
  EXPECT_EQ(named.next(), 0x7014e5302f435c00ull);
  EXPECT_EQ(named.next(), 0x8fbc5e7212630535ull);
  EXPECT_EQ(Random(1, "split").permutation(10), (std::vector<std::int64_t>{9, 6, 5, 4, 2, 0, 3, 8, 7, 1}));
  Random dice(7);
  for (const std::uint64_t expected : {3u, 0u, 7u, 3u, 8u, 8u, 4u, 5u}) EXPECT_EQ(dice.below(10), expected);
  Random gauss(3);
  for (const double expected : {-0.15959928491619552, -2.612693464985697, -1.167000223551063})
    EXPECT_NEAR(gauss.normal(), expected, 1e-14);
}

TEST(Random, AtIsNextWithoutAdvancing) {
  Random random(5, 9);
  const Random same(5, 9);
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(random.next(), same.at(i));
  EXPECT_NE(Random(5, 9).at(0), Random(5, 10).at(0));
  EXPECT_NE(Random(5, 9).at(0), Random(6, 9).at(0));
  EXPECT_NE(Random(5, 9).at(0), Random(9, 5).at(0));
}

TEST(Random, ThreadsDrawingPartsOfAStreamSeeTheWhole) {
  const Random stream(11, "shared");
  std::vector<std::uint64_t> drawn(4000);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < drawn.size(); i += 4) drawn[i] = stream.at(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Random alone(11, "shared");
  for (const std::uint64_t value : drawn) ASSERT_EQ(value, alone.next());
}

TEST(Random, UniformsFillTheirInterval) {
  Random random(1);
  double sum = 0;
  float low = 1, high = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const float u = random.uniform_at(i);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    low = std::min(low, u);
    high = std::max(high, u);
    sum += random.uniform();
    const float v = random.uniform(-3.0f, -2.0f);
    ASSERT_TRUE(v >= -3.0f && v <= -2.0f) << v;
  }
  EXPECT_LT(low, 1e-4f);
  EXPECT_GT(high, 1 - 1e-4f);
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);  // deviation of the mean: 0.0009
}

TEST(Random, NormalHasMeanZeroAndDeviationOne) {
  Random random(2);
  double sum = 0, squares = 0;
  constexpr int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double v = random.normal();
    ASSERT_TRUE(std::isfinite(v));
    sum += v;
    squares += v * v;
  }
  EXPECT_NEAR(sum / n, 0, 0.02);
  EXPECT_NEAR(squares / n, 1, 0.03);
}

TEST(Random, BelowIsUniformAndInRange) {
  Random random(3);
  std::vector<int> seen(6);
  for (int i = 0; i < 60000; ++i) ++seen[random.below(6)];
  for (const int count : seen) EXPECT_NEAR(count, 10000, 500);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(random.below(1), 0u);
    EXPECT_LT(random.below(~0ull), ~0ull);
    EXPECT_LT(random.below((1ull << 63) + 1), (1ull << 63) + 1);
  }
}

TEST(Random, PermutationHoldsEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 2, 1000}) {
    std::vector<std::int64_t> order = Random(4).permutation(count);
    std::sort(order.begin(), order.end());
    ASSERT_EQ(order.size(), static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
  }
}

}  // namespace
}  // namespace nnq
