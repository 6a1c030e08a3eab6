// The reference rows, and what all rows share.
#include <algorithm>
#include <cstring>
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
  always.assign(static_cast<std::size_t>(blocks), 0);
  for (std::size_t c = 0; c < start.size(); ++c)
    always[c / epilogue_block] |= start[c] != 0 ? 1U << c % epilogue_block : 0U;
  lines.assign(always.size(), 0);
  // A line costs as much as 6 comparisons of 16 bits, 3 of 32 or 4 operations that turn sums, which it need not do.
  if (levels > (narrow ? (turns ? 2 : 6) : 1)) make_lines();
  if (!narrow) return;
  limits16.resize(limits.size());
  for (std::size_t i = 0; i < limits.size(); ++i)
    limits16[i] = static_cast<std::int16_t>(std::min<std::int32_t>(limits[i], 32767));
}

void Thresholds::make_lines() {
  for (std::vector<float>* line : {&line_a, &line_b, &line_most}) line->assign(turn.size(), 0);
  std::vector<std::int32_t> passable, before;
  ThresholdLine line{};
  bool found = false;
  for (std::size_t block = 0; block < lines.size(); ++block) {
    bool all = true;
    for (std::size_t c = block * 16; all && c < std::min(block * 16 + 16, static_cast<std::size_t>(channels)); ++c) {
      passable.clear();
      for (std::int32_t l = 0; l < levels; ++l) {
        const std::int32_t limit =
            limits[(block * static_cast<std::size_t>(levels) + static_cast<std::size_t>(l)) * 16 + c % 16];
        if (limit != std::numeric_limits<std::int32_t>::max()) passable.push_back(limit);
      }
      // All channels of a sum of codes have the same thresholds.
      if (c == 0 || passable != before) found = threshold_line(passable, line);
      std::swap(passable, before);
      all = found;
      line_a[c] = turn[c] < 0 ? -line.a : line.a;
      line_b[c] = line.b, line_most[c] = line.most;
    }
    lines[block] = all ? 1 : 0;
  }
}

namespace portable {
namespace {

/// Calls f(sums, position, first channel, channels) for every block; sums of a last, partial block are copied, so that
/// all loops over a block have a constant length and become vectors.
template <class F>
inline void blocks(const ThresholdCall& call, F&& f) {
  const std::int64_t channels = call.thresholds->channels, whole = channels / epilogue_block * epilogue_block;
  for (std::int64_t i = 0; i < call.count; ++i) {
    const std::int32_t* const sums = call.sums + i * call.stride;
    for (std::int64_t c = 0; c < whole; c += epilogue_block) f(sums + c, i, c, epilogue_block);
    if (whole == channels) continue;
    std::int32_t rest[epilogue_block] = {};
    for (std::int64_t c = whole; c < channels; ++c) rest[c - whole] = sums[c];
    f(rest, i, whole, channels - whole);
  }
}

struct Block {
  alignas(16) std::int32_t value[epilogue_block];
};

/// Sums, negated where their channel falls.
template <bool Turns>
inline Block turned(const Thresholds& t, const std::int32_t* sums, std::int64_t c) {
  Block b;
  const std::int32_t* turn = t.turn.data() + c;
  for (std::int64_t k = 0; k < epilogue_block; ++k) b.value[k] = Turns ? (sums[k] ^ turn[k]) - turn[k] : sums[k];
  return b;
}

/// The number of levels passed.
template <bool Turns>
inline Block passed(const Thresholds& t, const std::int32_t* sums, std::int64_t c) {
  const Block b = turned<Turns>(t, sums, c);
  Block count = {};
  const std::int32_t* limit = t.limits.data() + c * t.levels;
  for (std::int32_t l = 0; l < t.levels; ++l, limit += epilogue_block) {
    for (std::int64_t k = 0; k < epilogue_block; ++k) count.value[k] -= b.value[k] > limit[k] ? -1 : 0;
  }
  return count;
}

inline Block on_lines(const Thresholds& t, const std::int32_t* sums, std::int64_t c) {
  Block count;
  for (std::int64_t k = 0; k < epilogue_block; ++k) {
    float v = static_cast<float>(sums[k]) * t.line_a[static_cast<std::size_t>(c + k)] +
              t.line_b[static_cast<std::size_t>(c + k)];
    v = v > 0 ? v : 0;
    const float most = t.line_most[static_cast<std::size_t>(c + k)];
    count.value[k] = static_cast<std::int32_t>(v < most ? v : most);
  }
  return count;
}

template <bool Turns>
void codes(const ThresholdCall& call) {
  const Thresholds& t = *call.thresholds;
  const std::int32_t shift = t.step - 1;  // the step is 1 or 2
  blocks(call, [&](const std::int32_t* sums, std::int64_t i, std::int64_t c, std::int64_t n) {
    const Block count =
        t.lines[static_cast<std::size_t>(c / epilogue_block)] != 0 ? on_lines(t, sums, c) : passed<Turns>(t, sums, c);
    std::uint8_t code[epilogue_block];
    for (std::int64_t k = 0; k < epilogue_block; ++k) code[k] = static_cast<std::uint8_t>(count.value[k] << shift);
    const std::uint8_t* start = t.start.data() + c;
    for (std::int64_t k = 0; k < epilogue_block; ++k) code[k] = static_cast<std::uint8_t>(code[k] + start[k]);
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + i * t.channels + c;
    if (n == epilogue_block)
      std::memcpy(out, code, epilogue_block);
    else
      std::memcpy(out, code, static_cast<std::size_t>(n));
  });
}

constexpr std::int32_t bit_of[epilogue_block] = {1,      1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                                                 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};

template <bool Turns>
void bits(const ThresholdCall& call) {
  const Thresholds& t = *call.thresholds;
  const std::int64_t words = (t.channels + 31) / 32;
  blocks(call, [&](const std::int32_t* sums, std::int64_t i, std::int64_t c, std::int64_t n) {
    const Block b = turned<Turns>(t, sums, c);
    const std::int32_t* limit = t.limits.data() + c;
    std::int32_t passed = 0;
    for (std::int64_t k = 0; k < epilogue_block; ++k) passed |= b.value[k] > limit[k] ? bit_of[k] : 0;
    const std::uint32_t mask =
        (static_cast<std::uint32_t>(passed) | t.always[static_cast<std::size_t>(c / 16)]) & ((1U << n) - 1);
    std::uint32_t* word = static_cast<std::uint32_t*>(call.out) + i * words + c / 32;
    *word = c % 32 == 0 ? mask : *word | mask << 16;
  });
}

}  // namespace

void threshold_codes(const ThresholdCall& call) noexcept {
  if (call.thresholds->turns)
    codes<true>(call);
  else
    codes<false>(call);
}

void threshold_bits(const ThresholdCall& call) noexcept {
  if (call.thresholds->turns)
    bits<true>(call);
  else
    bits<false>(call);
}

void real_epilogue(const RealCall& call) noexcept { real_loops(call); }

void widen(const WidenCall& call) noexcept {
  const WidenCall c = call;
  std::int64_t i = 0;
  for (; i + epilogue_block <= c.count; i += epilogue_block) {  // of constant length, by a place of its own: vectors
    Block block;
    for (std::int64_t k = 0; k < epilogue_block; ++k) block.value[k] = c.a[i + k] + c.offset;
    if (c.b != nullptr) {
      for (std::int64_t k = 0; k < epilogue_block; ++k) block.value[k] += c.b[i + k];
    }
    std::memcpy(c.sums + i, block.value, sizeof(block.value));
  }
  for (; i < c.count; ++i) c.sums[i] = c.a[i] + c.offset + (c.b != nullptr ? c.b[i] : 0);
}

}  // namespace portable
}  // namespace nnq
