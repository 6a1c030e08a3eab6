// How long products may stay in 16 bits: proven from a layer's own weights, panel by panel.
#include <algorithm>
#include <bit>

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

/// Runs `times` as long, neighbours added, to `to`; false: some are beyond the limits. All terms are within them.
bool join_runs(const PairSums* sums, std::int64_t count, std::int64_t times, PairLimits limits, PairSums* to) {
  std::int16_t beyond[pairs] = {};
  for (std::int64_t first = 0; first < count; first += times, ++to) {
    *to = sums[first];
    for (std::int64_t r = first + 1; r < std::min(count, first + times); ++r) {
      for (std::int64_t i = 0; i < pairs; ++i) {
        const bool over = (to->low[i] > limits.low - sums[r].low[i]) | (to->high[i] > limits.high - sums[r].high[i]);
        beyond[i] = static_cast<std::int16_t>(beyond[i] | over);
        to->low[i] = over ? limits.low : static_cast<std::int16_t>(to->low[i] + sums[r].low[i]);
        to->high[i] = over ? limits.high : static_cast<std::int16_t>(to->high[i] + sums[r].high[i]);
      }
    }
  }
  return std::all_of(beyond, beyond + pairs, [](std::int16_t b) { return b == 0; });
}

/// The longest run of 1, 2, 3, 4, 6, 8, 12, ... steps of one panel, whose pairs cannot leave 16 bits, or all steps; 0:
/// none. Sums of negative weights only grow within a run and so do those of positive ones: runs are judged at their
/// ends. room: 3 times `steps`.
std::int64_t narrow_run(const std::int8_t* panel, std::int64_t steps, PairLimits limits, PairSums* room) {
  PairSums *half = room + 2 * steps, *whole = room, *twice = room + steps;  // of runs of best / 2, best, best * 2
  if (!pair_sums(panel, steps, limits, whole)) return 0;
  std::int64_t best = 1, halves = 0, wholes = steps;
  bool thirds = false;  // whether three halves of `best` are tried
  while (wholes > 1) {
    const bool fit = join_runs(thirds ? half : whole, thirds ? halves : wholes, thirds ? 3 : 2, limits, twice);
    if (thirds) return fit ? best / 2 * 3 : best;
    if (fit) {
      best *= 2, halves = wholes, wholes = (wholes + 1) / 2;
      std::swap(half, whole), std::swap(whole, twice);
    } else if (best == 1) {
      return best;
    } else {
      thirds = true;
    }
  }
  return steps;
}

}  // namespace

void narrow_steps(const std::int8_t* panels, std::int64_t steps, std::int32_t largest, std::span<std::int32_t> each) {
  if (steps == 0 || largest <= 0) return std::fill(each.begin(), each.end(), static_cast<std::int32_t>(steps));
  const PairLimits limits{static_cast<std::int16_t>(std::min(32768 / largest, 32767)),
                          static_cast<std::int16_t>(32767 / largest)};
  std::vector<PairSums> room(static_cast<std::size_t>(3 * steps));
  for (std::int32_t& run : each) {
    run = static_cast<std::int32_t>(narrow_run(panels, steps, limits, room.data()));
    panels += steps * 2 * pairs;
  }
}

std::int64_t narrow_steps(const std::int8_t* panels, std::int64_t panel_count, std::int64_t steps,
                          std::int32_t largest) {
  std::vector<std::int32_t> each(static_cast<std::size_t>(panel_count));
  narrow_steps(panels, steps, largest, each);
  if (each.empty()) return steps;
  const std::int32_t least = *std::min_element(each.begin(), each.end());
  // Runs of 12 steps are not parts of those of 16; runs of 8 are parts of both.
  const bool parts = std::all_of(each.begin(), each.end(),
                                 [&](std::int32_t n) { return n == steps || (least > 0 && n % least == 0); });
  return parts ? least : std::bit_floor(static_cast<std::uint32_t>(least));
}

std::int64_t winograd_narrow_steps(const std::int8_t* panel, std::int64_t steps, std::int32_t largest) {
  constexpr std::int64_t lanes = 2 * pairs;
  // 2 G g (2 G)^T of a panel (kernels/winograd/winograd.h): what the kernel multiplies with codes 0 .. 4 * largest.
  std::vector<std::int8_t> u(static_cast<std::size_t>(16 * steps * lanes));
  for (std::int64_t k = 0; k < steps; ++k, panel += 9 * lanes) {
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
      spread(panel + x * lanes, panel + (3 + x) * lanes, panel + (6 + x) * lanes, half[0][x], 3 * lanes);
    for (std::int64_t y = 0; y < 4; ++y)
      spread(half[y][0], half[y][1], half[y][2], u.data() + (y * 4 * steps + k) * lanes, steps * lanes);
  }
  // Kernels begin a run every winograd_steps steps, where runs of 2^n begin, but none of 12.
  const auto run = static_cast<std::uint64_t>(narrow_steps(u.data(), 16, steps, 4 * largest));
  return static_cast<std::int64_t>(run == static_cast<std::uint64_t>(steps) ? run : std::bit_floor(run));
}

}  // namespace nnq
