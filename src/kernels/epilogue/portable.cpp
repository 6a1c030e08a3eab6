// The reference rows.
#include <cstring>

#include "kernels/epilogue/real_loops.h"

namespace nnq {
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
