// Random networks at every pair of widths: program and graph agree on every value that both have.
#include "support.h"

namespace nnq::test {
namespace {

/// One layer of random form on `x` of `channels` channels; returns its output, and the new channels.
std::string random_layer(Builder& b, const std::string& n, std::string x, std::int64_t& channels, bool signs) {
  const auto coin = [&] { return b.random.below(2) != 0; };
  const auto out = static_cast<std::int64_t>(1 + b.random.below(7));
  const bool depthwise = b.random.below(4) == 0;
  const std::int64_t to = depthwise ? channels * (coin() ? 2 : 1) : out, kernel = coin() ? 3 : 1;
  const bool residual = !depthwise && b.random.below(3) == 0;
  const std::string shortcut = x;
  const std::int64_t in = channels;
  channels = residual ? in : to;
  std::string y = b.conv("conv" + n, x, in, channels, kernel, coin(), depthwise ? in : 1);
  const std::uint64_t pool = b.random.below(6);  // 0: before the norm, 1: behind the activation
  if (pool == 0 && !residual) y = b.max_pool(y);
  if (b.random.below(4) != 0 || signs) y = b.norm("bn" + n, y, channels);
  if (residual) y = b.graph.add("Add", coin() ? std::vector{y, shortcut} : std::vector{shortcut, y}, {}, "add" + n);
  if (!signs && b.random.below(4) != 0) y = b.relu(y);
  if (pool == 1) y = b.max_pool(y);
  return y;
}

Builder random_network(std::uint64_t seed, bool signs) {
  Builder b(seed);
  std::int64_t channels = 2, layers = 2 + static_cast<std::int64_t>(b.random.below(3));
  std::string x = b.input("image", {2, 2, 18, 16});
  for (std::int64_t i = 0; i < layers; ++i) x = random_layer(b, std::to_string(i), x, channels, signs);
  if (b.random.below(2) != 0) {
    b.graph.outputs = {b.conv("last", x, channels, 3)};
    return b;
  }
  x = b.graph.add("GlobalAveragePool", {x}, {}, "gap");
  b.graph.outputs = {b.gemm("last", b.graph.add("Flatten", {x}, {}, "flat"), channels, 3, b.random.below(2) != 0)};
  return b;
}

TEST(LowerRandomNetworks, EveryWidth) {
  int integers = 0;
  for (int weights = 1; weights <= 8; ++weights) {
    for (int activations = 1; activations <= 8; ++activations) {
      for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        SCOPED_TRACE("W" + std::to_string(weights) + "A" + std::to_string(activations) + " seed " +
                     std::to_string(seed));
        const Builder b =
            random_network(seed * 100 + static_cast<std::uint64_t>(weights * 8 + activations), activations == 1);
        integers += compare(b, bits(weights, activations, seed % 2 == 0, seed % 3 == 0)).integers;
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GT(integers, 8 * 8 * 6 * 3);
}

}  // namespace
}  // namespace nnq::test
