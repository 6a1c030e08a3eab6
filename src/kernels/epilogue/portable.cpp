// The reference rows, and what all rows share.
#include <algorithm>
#include <limits>

#include "kernels/epilogue/real_loops.h"

namespace nnq {

void Thresholds::make(std::int64_t channel_count, std::int32_t level_count, const std::int32_t* thresholds,
                      const std::int8_t* direction, std::int32_t first, std::int32_t code_step, std::int32_t base) {
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min(),
                         never = std::numeric_limits<std::int32_t>::max();
  channels = channel_count, levels = level_count, step = code_step;
  const std::int64_t blocks = (channels + epilogue_block - 1) / epilogue_block;
  limits.assign(static_cast<std::size_t>(blocks * levels * epilogue_block), never);
  turn.assign(static_cast<std::size_t>(blocks * epilogue_block), 0);
  start.assign(turn.size(), static_cast<std::uint8_t>(first - base));
  narrow = true;
  for (std::int64_t c = 0; c < channels; ++c) {
    const bool falls = direction[c] < 0;
    turn[static_cast<std::size_t>(c)] = falls ? -1 : 0;
    turns = turns || falls;
    for (std::int32_t l = 0; l < levels; ++l) {
      const std::int32_t t = thresholds[c * levels + l];
      std::int32_t& limit =
          limits[static_cast<std::size_t>((c / epilogue_block * levels + l) * epilogue_block + c % epilogue_block)];
      if (t == (falls ? lowest : never)) continue;
      if (t == (falls ? never : lowest)) {  // always passed, and so are the levels before it
        start[static_cast<std::size_t>(c)] = static_cast<std::uint8_t>(start[static_cast<std::size_t>(c)] + step);
        continue;
      }
      limit = (falls ? -t : t) - 1;
      narrow = narrow && limit >= -32768 && limit <= 32766;
    }
  }
  if (!narrow) return;
  limits16.resize(limits.size());
  for (std::size_t i = 0; i < limits.size(); ++i)
    limits16[i] = static_cast<std::int16_t>(std::min<std::int32_t>(limits[i], 32767));
}

namespace portable {
namespace {

/// Calls f(levels passed by each of a block's channels, position, first channel, channels) for every block.
template <class F>
void blocks(const ThresholdCall& call, F&& f) {
  const Thresholds& t = *call.thresholds;
  for (std::int64_t i = 0; i < call.count; ++i) {
    for (std::int64_t c = 0; c < t.channels; c += epilogue_block) {
      const std::int64_t n = std::min(epilogue_block, t.channels - c);
      const std::int32_t *sums = call.sums + i * call.stride + c, *turn = t.turn.data() + c;
      std::int32_t turned[epilogue_block] = {}, count[epilogue_block] = {};
      for (std::int64_t k = 0; k < n; ++k) turned[k] = sums[k];
      for (std::int64_t k = 0; k < epilogue_block; ++k) turned[k] = (turned[k] ^ turn[k]) - turn[k];
      const std::int32_t* limit = t.limits.data() + c * t.levels;
      for (std::int32_t l = 0; l < t.levels; ++l, limit += epilogue_block) {
        for (std::int64_t k = 0; k < epilogue_block; ++k) count[k] += turned[k] > limit[k] ? 1 : 0;
      }
      f(count, i, c, n);
    }
  }
}

}  // namespace

void threshold_codes(const ThresholdCall& call) noexcept {
  const Thresholds& t = *call.thresholds;
  blocks(call, [&](const std::int32_t* count, std::int64_t i, std::int64_t c, std::int64_t n) {
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + i * t.channels + c;
    for (std::int64_t k = 0; k < n; ++k)
      out[k] = static_cast<std::uint8_t>(t.start[static_cast<std::size_t>(c + k)] + t.step * count[k]);
  });
}

void threshold_bits(const ThresholdCall& call) noexcept {
  const Thresholds& t = *call.thresholds;
  const std::int64_t words = (t.channels + 31) / 32;
  blocks(call, [&](const std::int32_t* count, std::int64_t i, std::int64_t c, std::int64_t n) {
    std::uint32_t bits = 0;
    for (std::int64_t k = 0; k < n; ++k)
      bits |= (t.start[static_cast<std::size_t>(c + k)] != 0 || count[k] != 0 ? 1u : 0u) << k;
    std::uint32_t* word = static_cast<std::uint32_t*>(call.out) + i * words + c / 32;
    *word = c % 32 == 0 ? bits : *word | bits << 16;
  });
}

void real_epilogue(const RealCall& call) noexcept { real_loops(call); }

}  // namespace portable
}  // namespace nnq
