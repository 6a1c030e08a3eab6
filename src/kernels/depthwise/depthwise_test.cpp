// Every row of the depthwise table against a naive loop.
#include "kernels/depthwise/depthwise.h"

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

/// Weights and codes of one call, and what it should give.
struct Filters {
  Filters(std::int64_t rows, std::int64_t channel_count, std::int64_t pair_count, Random& random)
      : channels(channel_count),
        pairs(pair_count),
        data(sz((rows + 2 * pairs) * channels)),
        weights(sz(pairs * channels * 2)),
        narrow(sz(weights.size())),
        start(sz(channels)),
        sums(sz(rows * channels)) {
    for (std::int64_t i = 0; i < channels; ++i) start[i] = static_cast<std::int32_t>(random.below(99)) - 49;
    for (std::int64_t r = 0; r < rows; ++r) list.push_back({data.data() + r * channels, start.data()});
    for (std::int64_t t = 2 * pairs; t > 0; --t) offsets.push_back(t * channels);
  }

  void expect(const char* name, DepthwiseKernel run) {
    for (std::int64_t i = 0; i < weights.size(); ++i) narrow[i] = static_cast<std::int8_t>(weights[i]);
    run({list.data(), static_cast<std::int64_t>(list.size()), offsets.data(), pairs, weights.data(), channels,
         sums.data(), narrow.data()});
    for (std::int64_t i = 0; i < sums.size(); ++i) {
      const std::int64_t r = i / channels, c = i % channels;
      std::int32_t expected = start[c];
      for (std::int64_t t = 0; t < 2 * pairs; ++t)
        expected += weights[(t / 2 * channels + c) * 2 + t % 2] * data[r * channels + offsets[sz(t)] + c];
      ASSERT_EQ(sums[i], expected) << name << " " << channels << " channels, " << pairs << " pairs, at " << i;
    }
  }

  std::int64_t channels, pairs;
  Guarded<std::uint8_t> data;
  Guarded<std::int16_t> weights;
  Guarded<std::int8_t> narrow;
  Guarded<std::int32_t> start, sums;
  std::vector<DirectRow> list;
  std::vector<std::int64_t> offsets;
};

TEST(Depthwise, EveryNumberOfChannels) {
  for (const DepthwiseKernels& kernel : rows_of(depthwise_table)) {
    Random random(1);
    for (const std::int64_t channels : {1, 2, 15, 16, 17, 31, 32, 40, 64, 65}) {
      for (const std::int64_t pairs : {1, 2, 5, 13}) {
        for (const std::int64_t rows : {0, 1, 3}) {
          Filters f(rows, channels, pairs, random);
          const bool extreme = pairs == 13;
          for (std::int64_t i = 0; i < f.data.size(); ++i)
            f.data[i] = extreme ? 255 : static_cast<std::uint8_t>(random.next());
          for (std::int64_t i = 0; i < f.weights.size(); ++i)
            f.weights[i] = extreme ? -128 : static_cast<std::int8_t>(random.next());
          f.expect(kernel.name, kernel.run);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(Depthwise, NarrowKeepsEverySumItWasProvenFor) {
  for (const DepthwiseKernels& kernel : rows_of(depthwise_table)) {
    if (kernel.narrow == nullptr) continue;
    Random random(2);
    for (const std::int64_t channels : {32, 33, 40, 63, 64, 65, 96}) {
      for (const std::int64_t pairs : {1, 2, 5, 13}) {
        for (const std::int64_t rows : {0, 1, 2, 3, 4, 5, 6, 7}) {
          for (const int fill : {0, 1, 2}) {  // 1, 2: the furthest sums that fit
            Filters f(rows, channels, pairs, random);
            const int most = 128 / static_cast<int>(2 * pairs);
            for (std::int64_t i = 0; i < f.data.size(); ++i)
              f.data[i] = fill == 0 ? static_cast<std::uint8_t>(random.next()) : std::uint8_t{255};
            for (std::int64_t i = 0; i < f.weights.size(); ++i) {
              const int drawn = static_cast<int>(random.below(static_cast<std::uint64_t>(2 * most + 1))) - most;
              f.weights[i] = static_cast<std::int16_t>(fill == 0 ? drawn : fill == 1 ? most : -most);
            }
            f.expect(kernel.narrow_name, kernel.narrow);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(Depthwise, NarrowIsProvenFromTheWeights) {
  std::vector<std::int8_t> w = {64, 64, -64, -64};
  EXPECT_TRUE(narrow_depthwise_fits(w.data(), 4, 255)) << "128 * 255 = 32640, up and down";
  w[0] = 65;
  EXPECT_FALSE(narrow_depthwise_fits(w.data(), 4, 255)) << "129 * 255 = 32895";
  EXPECT_TRUE(narrow_depthwise_fits(w.data(), 4, 254)) << "129 * 254 = 32766";
  w[0] = 64, w[2] = -65;
  EXPECT_FALSE(narrow_depthwise_fits(w.data(), 4, 255));
  EXPECT_TRUE(narrow_depthwise_fits(w.data(), 0, 255));
}

}  // namespace
}  // namespace nnq::test
