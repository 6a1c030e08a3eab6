// NEON: blocks of 16 channels, 16-bit comparisons where the thresholds fit.
#include <arm_neon.h>

#include "kernels/epilogue/epilogue.h"

namespace nnq::neon {
namespace {

/// 16 sums, negated where their channel falls.
struct Sums {
  int32x4_t v[4];
};
inline Sums turned(const Thresholds& t, const std::int32_t* sums, std::int64_t c) {
  Sums s;
  for (int i = 0; i < 4; ++i) {
    s.v[i] = vld1q_s32(sums + i * 4);
    if (t.turns) {
      const int32x4_t turn = vld1q_s32(t.turn.data() + c + i * 4);
      s.v[i] = vsubq_s32(veorq_s32(s.v[i], turn), turn);
    }
  }
  return s;
}

inline int16x8_t saturated(int32x4_t low, int32x4_t high) { return vqmovn_high_s32(vqmovn_s32(low), high); }
inline uint16x8_t narrowed(uint32x4_t low, uint32x4_t high) { return vmovn_high_u32(vmovn_u32(low), high); }

/// The number of levels passed, a byte a channel (at most 255).
template <bool Narrow>
inline uint8x16_t passed(const Thresholds& t, const Sums& s, std::int64_t c) {
  uint16x8_t low = vdupq_n_u16(0), high = low;
  if constexpr (Narrow) {
    const int16x8_t v0 = saturated(s.v[0], s.v[1]), v1 = saturated(s.v[2], s.v[3]);
    const std::int16_t* limit = t.limits16.data() + c * t.levels;
    for (std::int32_t l = 0; l < t.levels; ++l, limit += epilogue_block) {
      low = vsubq_u16(low, vcgtq_s16(v0, vld1q_s16(limit)));
      high = vsubq_u16(high, vcgtq_s16(v1, vld1q_s16(limit + 8)));
    }
  } else {
    uint32x4_t count[4] = {vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0)};
    const std::int32_t* limit = t.limits.data() + c * t.levels;
    for (std::int32_t l = 0; l < t.levels; ++l, limit += epilogue_block) {
      for (int i = 0; i < 4; ++i) count[i] = vsubq_u32(count[i], vcgtq_s32(s.v[i], vld1q_s32(limit + i * 4)));
    }
    low = narrowed(count[0], count[1]);
    high = narrowed(count[2], count[3]);
  }
  return vmovn_high_u16(vmovn_u16(low), high);
}

/// The same on the block's lines.
inline uint8x16_t on_lines(const Thresholds& t, const std::int32_t* sums, std::int64_t c) {
  uint32x4_t count[4];
  for (int i = 0; i < 4; ++i) {
    const float32x4_t product =
                          vmulq_f32(vcvtq_f32_s32(vld1q_s32(sums + i * 4)), vld1q_f32(t.line_a.data() + c + i * 4)),
                      v = vaddq_f32(product, vld1q_f32(t.line_b.data() + c + i * 4));
    count[i] = vcvtq_u32_f32(vminq_f32(v, vld1q_f32(t.line_most.data() + c + i * 4)));  // negative ones become 0
  }
  return vmovn_high_u16(vmovn_u16(narrowed(count[0], count[1])), narrowed(count[2], count[3]));
}

/// Calls f(block's sums, position, first channel, channels) for every block; sums of a last, partial block are copied.
template <class F>
inline void blocks(const ThresholdCall& call, F&& f) {
  const std::int64_t channels = call.thresholds->channels, whole = channels / epilogue_block * epilogue_block;
  for (std::int64_t i = 0; i < call.count; ++i) {
    const std::int32_t* sums = call.sums + i * call.stride;
    for (std::int64_t c = 0; c < whole; c += epilogue_block) f(sums + c, i, c, epilogue_block);
    if (whole == channels) continue;
    std::int32_t rest[epilogue_block] = {};
    for (std::int64_t c = whole; c < channels; ++c) rest[c - whole] = sums[c];
    f(rest, i, whole, channels - whole);
  }
}

template <bool Narrow>
void codes(const ThresholdCall& call) {
  const Thresholds& t = *call.thresholds;
  blocks(call, [&](const std::int32_t* sums, std::int64_t i, std::int64_t c, std::int64_t n) {
    uint8x16_t count = t.lines[static_cast<std::size_t>(c / epilogue_block)] != 0
                           ? on_lines(t, sums, c)
                           : passed<Narrow>(t, turned(t, sums, c), c);
    if (t.step == 2) count = vaddq_u8(count, count);
    const uint8x16_t code = vaddq_u8(count, vld1q_u8(t.start.data() + c));
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + i * t.channels + c;
    if (n == epilogue_block) {
      vst1q_u8(out, code);
      return;
    }
    std::uint8_t result[epilogue_block];
    vst1q_u8(result, code);
    for (std::int64_t k = 0; k < n; ++k) out[k] = result[k];
  });
}

}  // namespace

void threshold_codes(const ThresholdCall& call) noexcept {
  if (call.thresholds->narrow)
    codes<true>(call);
  else
    codes<false>(call);
}

void threshold_bits(const ThresholdCall& call) noexcept {
  const Thresholds& t = *call.thresholds;
  const std::int64_t words = (t.channels + 31) / 32;
  constexpr std::uint16_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint16x8_t bits = vld1q_u16(bit);
  blocks(call, [&](const std::int32_t* sums, std::int64_t i, std::int64_t c, std::int64_t n) {
    const Sums s = turned(t, sums, c);
    uint32x4_t over[4];
    for (int k = 0; k < 4; ++k) over[k] = vcgtq_s32(s.v[k], vld1q_s32(t.limits.data() + c + k * 4));
    std::uint32_t mask = vaddvq_u16(vandq_u16(narrowed(over[0], over[1]), bits));
    mask |= static_cast<std::uint32_t>(vaddvq_u16(vandq_u16(narrowed(over[2], over[3]), bits))) << 8;
    mask |= t.always[static_cast<std::size_t>(c / epilogue_block)];
    mask &= (1U << n) - 1;
    std::uint32_t* word = static_cast<std::uint32_t*>(call.out) + i * words + c / 32;
    *word = c % 32 == 0 ? mask : *word | mask << 16;
  });
}

}  // namespace nnq::neon
