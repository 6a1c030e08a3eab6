// Every row of the depthwise table against a naive loop.
#include "kernels/depthwise/depthwise.h"

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

TEST(Depthwise, EveryNumberOfChannels) {
  for (const DepthwiseKernels& kernel : rows_of(depthwise_table)) {
    Random random(1);
    for (const std::int64_t channels : {1, 2, 15, 16, 17, 31, 32, 40, 64, 65}) {
      for (const std::int64_t pairs : {1, 2, 5, 13}) {
        for (const std::int64_t rows : {0, 1, 3}) {
          Guarded<std::uint8_t> data(sz((rows + 2 * pairs) * channels));
          Guarded<std::int16_t> weights(sz(pairs * channels * 2));
          Guarded<std::int32_t> start(sz(channels)), sums(sz(rows * channels));
          const bool extreme = pairs == 13;
          for (std::int64_t i = 0; i < data.size(); ++i)
            data[i] = extreme ? 255 : static_cast<std::uint8_t>(random.next());
          for (std::int64_t i = 0; i < weights.size(); ++i)
            weights[i] = extreme ? -128 : static_cast<std::int8_t>(random.next());
          for (std::int64_t i = 0; i < channels; ++i) start[i] = static_cast<std::int32_t>(random.below(99)) - 49;
          std::vector<DirectRow> list;
          for (std::int64_t r = 0; r < rows; ++r) list.push_back({data.data() + r * channels, start.data()});
          std::vector<std::int64_t> offsets;
          for (std::int64_t t = 2 * pairs; t > 0; --t) offsets.push_back(t * channels);
          kernel.run({list.data(), rows, offsets.data(), pairs, weights.data(), channels, sums.data()});
          for (std::int64_t i = 0; i < sums.size(); ++i) {
            const std::int64_t r = i / channels, c = i % channels;
            std::int32_t expected = start[c];
            for (std::int64_t t = 0; t < 2 * pairs; ++t)
              expected += weights[(t / 2 * channels + c) * 2 + t % 2] * data[r * channels + offsets[sz(t)] + c];
            ASSERT_EQ(sums[i], expected) << kernel.name << " " << channels << " channels, " << pairs << " pairs, at "
                                         << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace nnq::test
