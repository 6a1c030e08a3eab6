// Weights out of their planes, the set of their values, and what pairs of products may add up to: fast ways against
// plain ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include "core/random.h"
#include "runtime/steps/layer_pack.h"
#include "runtime/tiny_programs.h"

namespace nnq::testing {
namespace {

/// `count` weights of `bits` planes; `common`: of eight bits of a plane about that many are set.
PackedWeights random_weights(Random& random, int bits, std::int64_t count, std::uint64_t common) {
  std::vector<std::int32_t> scales;
  for (int k = 0; k < bits; ++k) scales.push_back(bits > 4 ? 1 << k : static_cast<int>(random.below(16)));
  const std::int32_t span = std::accumulate(scales.begin(), scales.end(), 0);  // the largest weight is at most 127
  const auto offset = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(256 - span))) - 128;
  PackedWeights w = packed(bits, offset, scales, {}, count);
  std::vector<std::uint8_t> planes(w.plane_bytes() * static_cast<std::size_t>(bits));
  for (std::uint8_t& byte : planes) {
    for (int i = 0; i < 8; ++i) byte = static_cast<std::uint8_t>(byte | (random.below(8) < common ? 1U << i : 0U));
  }
  return packed(bits, w.offset, scales, std::move(planes), count);
}

TEST(PackedWeights, UnpackAsThePageSays) {
  Random random(61);
  for (int round = 0; round < 300; ++round) {
    const int bits = 1 + round % 8;
    const auto count = static_cast<std::int64_t>(random.below(400));
    const PackedWeights w = random_weights(random, bits, count, random.below(9));
    const std::vector<std::int8_t> values = w.unpack();
    ASSERT_EQ(values.size(), static_cast<std::size_t>(count));
    for (std::int64_t e = 0; e < count; ++e) {
      std::int32_t expected = w.offset;
      for (std::size_t k = 0; k < w.plane_scale.size(); ++k)
        expected += w.plane_scale[k] * (w.data[k * w.plane_bytes() + static_cast<std::size_t>(e / 8)] >> (e % 8) & 1);
      ASSERT_EQ(values[static_cast<std::size_t>(e)], expected) << bits << " bits, element " << e << " of " << count;
    }
    const std::set<std::int8_t> distinct(values.begin(), values.end());
    EXPECT_EQ(w.levels(), (std::vector<std::int8_t>(distinct.begin(), distinct.end()))) << bits << " bits, " << count;
  }
}

TEST(PackedWeights, TernaryMeansNothingButMinusOneZeroAndOne) {
  for (const std::int64_t count : {1, 7, 8, 9, 17, 63, 64, 65, 72, 200}) {
    const std::int64_t bytes = (count + 7) / 8;
    // Codes 0, 1, 2 in turn; in the unused bits a 3, which is no weight.
    std::vector<std::uint8_t> planes(static_cast<std::size_t>(2 * bytes));
    for (std::int64_t i = 0; i < 8 * bytes; ++i) {
      const unsigned code = i < count ? static_cast<unsigned>(i % 3) : 3U;
      for (int k = 0; k < 2; ++k) {
        std::uint8_t& byte = planes[static_cast<std::size_t>(k * bytes + i / 8)];
        byte = static_cast<std::uint8_t>(byte | (code >> k & 1U) << (i % 8));
      }
    }
    EXPECT_TRUE(packed(2, -1, {1, 2}, planes, count).ternary()) << count;
    EXPECT_FALSE(packed(2, -2, {1, 2}, planes, count).ternary()) << "-2 .. 1";
    EXPECT_FALSE(packed(2, -1, {2, 2}, planes, count).ternary()) << "-1, 1 and 3";
    EXPECT_FALSE(packed(2, -1, {1, 3}, planes, count).ternary()) << "2";
    for (const std::int64_t at : {std::int64_t{0}, count / 2, count - 1}) {
      std::vector<std::uint8_t> with = planes;
      for (int k = 0; k < 2; ++k) {
        std::uint8_t& byte = with[static_cast<std::size_t>(k * bytes + at / 8)];
        byte = static_cast<std::uint8_t>(byte | 1U << (at % 8));
      }
      EXPECT_FALSE(packed(2, -1, {1, 2}, with, count).ternary()) << count << " weights, a 2 at " << at;
      EXPECT_TRUE(packed(2, -1, {1, 1}, with, count).ternary()) << "both planes set is +1 here";
    }
  }
  EXPECT_TRUE(packed(2, -1, {1, 2}, {}, 0).ternary()) << "no weights";
  EXPECT_FALSE(packed(1, -1, {2}, {0x55}, 8).ternary()) << "one plane";
}

/// The definition: every run of n steps, every pair, every order of codes 0 .. largest.
bool runs_fit(const std::vector<std::int8_t>& panels, std::int64_t steps, std::int32_t largest, std::int64_t n) {
  const auto count = static_cast<std::int64_t>(panels.size()) / (steps * 64);
  for (std::int64_t p = 0; p < count; ++p) {
    for (std::int64_t first = 0; first < steps; first += n) {
      for (std::int64_t pair = 0; pair < 32; ++pair) {
        std::int64_t low = 0, high = 0;
        for (std::int64_t k = first; k < std::min(steps, first + n); ++k) {
          for (std::int64_t h = 0; h < 2; ++h) {
            const std::int64_t w = panels[static_cast<std::size_t>((p * steps + k) * 64 + 2 * pair + h)];
            (w < 0 ? low : high) += w * largest;
          }
        }
        if (low < -32768 || high > 32767) return false;
      }
    }
  }
  return true;
}

TEST(NarrowSteps, AreTheLongestRunThatFits) {
  Random random(62);
  std::set<std::int64_t> found;
  for (int round = 0; round < 400; ++round) {
    const auto steps = static_cast<std::int64_t>(1 + random.below(40)),
               count = static_cast<std::int64_t>(1 + round % 3);
    const auto largest = static_cast<std::int32_t>(round % 5 == 0 ? 255 : 1 + random.below(255));
    const auto span = static_cast<std::int32_t>(1 + random.below(127));
    std::vector<std::int8_t> panels(static_cast<std::size_t>(count * steps * 64));
    for (std::int8_t& v : panels)
      v = static_cast<std::int8_t>(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(2 * span + 1))) -
                                   span);
    std::vector<std::int32_t> each(static_cast<std::size_t>(count));
    narrow_steps(panels.data(), steps, largest, each);
    for (std::int64_t p = 0; p < count; ++p) {
      const std::vector<std::int8_t> panel(panels.begin() + p * steps * 64, panels.begin() + (p + 1) * steps * 64);
      std::int64_t expected = 0;
      for (std::int64_t n = 1; expected < steps && runs_fit(panel, steps, largest, n); n *= 2) expected = n;
      if (expected > 1 && expected < steps && runs_fit(panel, steps, largest, expected / 2 * 3))
        expected = expected / 2 * 3;
      expected = std::min(expected, steps);
      ASSERT_EQ(each[static_cast<std::size_t>(p)], expected) << steps << " steps, codes to " << largest;
      found.insert(expected);
    }
    const std::int64_t common = narrow_steps(panels.data(), count, steps, largest);
    const auto least = static_cast<std::uint32_t>(*std::min_element(each.begin(), each.end()));
    ASSERT_GE(common, std::bit_floor(least));
    ASSERT_TRUE(common == 0 || runs_fit(panels, steps, largest, common)) << steps << " steps, codes to " << largest;
  }
  EXPECT_GT(found.size(), 8U);  // none, one, some, all
}

TEST(NarrowSteps, KnowTheLastPairThatFits) {
  std::vector<std::int8_t> panel(64, 0);
  panel[10] = panel[11] = 64;
  EXPECT_EQ(narrow_steps(panel.data(), 1, 1, 255), 1);  // 32640
  panel[10] = 65;
  EXPECT_EQ(narrow_steps(panel.data(), 1, 1, 255), 0);  // 32895
  panel[10] = panel[11] = -128;
  EXPECT_EQ(narrow_steps(panel.data(), 1, 1, 128), 1);  // -32768
  EXPECT_EQ(narrow_steps(panel.data(), 1, 1, 129), 0);
}

}  // namespace
}  // namespace nnq::testing
