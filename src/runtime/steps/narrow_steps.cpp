// How long products may stay in 16 bits: proven from a layer's own weights, panel by panel.
#include <algorithm>

#include "runtime/steps/layer.h"

namespace nnq {
namespace {

constexpr std::int64_t pairs = 32;  // of products, in a kernel step of 16 channels

/// What pairs of weights can add up to, below and above 0: magnitudes in units of the largest code.
struct PairSums {
  std::int16_t low[pairs], high[pairs];
};
struct PairLimits {
  std::int16_t low, high;
};

/// The sums of every kernel step of a panel; whether all are within the limits.
bool pair_sums(const std::int8_t* panel, std::int64_t steps, PairLimits limits, PairSums* sums) {
  std::int16_t beyond[pairs] = {};
  for (std::int64_t k = 0; k < steps; ++k, panel += 2 * pairs) {
    for (std::int64_t i = 0; i < pairs; ++i) {
      const std::int16_t a = panel[2 * i], b = panel[2 * i + 1];
      const auto low = static_cast<std::int16_t>(-(std::min<std::int16_t>(a, 0) + std::min<std::int16_t>(b, 0)));
      const auto high = static_cast<std::int16_t>(std::max<std::int16_t>(a, 0) + std::max<std::int16_t>(b, 0));
      beyond[i] = static_cast<std::int16_t>(beyond[i] | (low > limits.low) | (high > limits.high));
      sums[k].low[i] = low, sums[k].high[i] = high;
    }
  }
  return std::all_of(beyond, beyond + pairs, [](std::int16_t b) { return b == 0; });
}

/// Runs twice as long: neighbours added, in place; false: some are beyond the limits. Both terms are within them.
bool join_runs(PairSums* sums, std::int64_t count, PairLimits limits) {
  std::int16_t beyond[pairs] = {};
  for (std::int64_t r = 0; 2 * r + 1 < count; ++r) {
    const PairSums &a = sums[2 * r], &b = sums[2 * r + 1];
    PairSums& to = sums[r];
    for (std::int64_t i = 0; i < pairs; ++i) {
      beyond[i] = static_cast<std::int16_t>(beyond[i] | (a.low[i] > limits.low - b.low[i]) |
                                            (a.high[i] > limits.high - b.high[i]));
      to.low[i] = static_cast<std::int16_t>(a.low[i] + b.low[i]);
      to.high[i] = static_cast<std::int16_t>(a.high[i] + b.high[i]);
    }
  }
  if (count % 2 != 0) sums[count / 2] = sums[count - 1];
  return std::all_of(beyond, beyond + pairs, [](std::int16_t b) { return b == 0; });
}

/// The longest run of 1, 2, 4, ... steps of one panel, `most` at the most, whose pairs cannot leave 16 bits; 0: none.
/// Sums of negative weights only grow within a run and so do those of positive ones: runs are judged at their ends.
std::int64_t narrow_run(const std::int8_t* panel, std::int64_t steps, PairLimits limits, std::int64_t most,
                        PairSums* sums) {
  if (!pair_sums(panel, steps, limits, sums)) return 0;
  std::int64_t best = 1;
  for (std::int64_t runs = steps; best < most && runs > 1; best *= 2, runs = (runs + 1) / 2) {
    if (!join_runs(sums, runs, limits)) break;
  }
  return best;
}

}  // namespace

std::int64_t narrow_steps(const std::int8_t* panels, std::int64_t panel_count, std::int64_t steps,
                          std::int32_t largest) {
  if (steps == 0) return 0;
  if (largest <= 0) return steps;
  const PairLimits limits{static_cast<std::int16_t>(std::min(32768 / largest, 32767)),
                          static_cast<std::int16_t>(32767 / largest)};
  std::vector<PairSums> sums(static_cast<std::size_t>(steps));
  std::int64_t best = 1;
  while (best < steps) best *= 2;
  for (std::int64_t p = 0; p < panel_count && best > 0; ++p)
    best = std::min(best, narrow_run(panels + p * steps * 2 * pairs, steps, limits, best, sums.data()));
  return std::min(best, steps);
}

std::int64_t winograd_narrow_steps(const std::int8_t* panels, std::int64_t panel_count, std::int64_t steps,
                                   std::int32_t largest) {
  constexpr std::int64_t lanes = 2 * pairs;
  // 2 G g (2 G)^T of a panel (kernels/winograd/winograd.h): what the kernel multiplies with codes 0 .. 4 * largest.
  std::vector<std::int8_t> u(static_cast<std::size_t>(16 * steps * lanes));
  std::int64_t best = steps;
  for (std::int64_t p = 0; p < panel_count && best > 0; ++p) {
    for (std::int64_t k = 0; k < steps; ++k, panels += 9 * lanes) {
      std::int8_t half[4][3][lanes];
      const auto spread = [](const std::int8_t* a, const std::int8_t* b, const std::int8_t* c, std::int8_t* to,
                             std::int64_t stride) {
        for (std::int64_t i = 0; i < lanes; ++i) {
          to[i] = static_cast<std::int8_t>(2 * a[i]);
          to[stride + i] = static_cast<std::int8_t>(a[i] + b[i] + c[i]);
          to[2 * stride + i] = static_cast<std::int8_t>(a[i] - b[i] + c[i]);
          to[3 * stride + i] = static_cast<std::int8_t>(2 * c[i]);
        }
      };
      for (std::int64_t x = 0; x < 3; ++x)
        spread(panels + x * lanes, panels + (3 + x) * lanes, panels + (6 + x) * lanes, half[0][x], 3 * lanes);
      for (std::int64_t y = 0; y < 4; ++y)
        spread(half[y][0], half[y][1], half[y][2], u.data() + (y * 4 * steps + k) * lanes, steps * lanes);
    }
    best = std::min(best, narrow_steps(u.data(), 16, steps, 4 * largest));
  }
  return best;
}

}  // namespace nnq
