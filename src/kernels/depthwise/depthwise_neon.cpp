// NEON: eight channels at once, both taps of a pair; ld2 parts the pair's weights.
#include <arm_neon.h>

#include "kernels/depthwise/depthwise.h"

namespace nnq::neon {
namespace {

inline int16x8_t widened(const std::uint8_t* p) { return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p))); }

}  // namespace

void depthwise(const DepthwiseCall& call) noexcept {
  const std::int64_t whole = call.channels / 8 * 8;
  for (std::int64_t r = 0; r < call.row_count; ++r) {
    const DirectRow& row = call.rows[r];
    for (std::int64_t c = 0; c < whole; c += 8) {
      int32x4_t s0 = vld1q_s32(row.start + c), s1 = vld1q_s32(row.start + c + 4);
      const std::int16_t* w = call.weights + c * 2;
      for (std::int64_t t = 0; t < call.pairs; ++t, w += call.channels * 2) {
        const int16x8x2_t pair = vld2q_s16(w);
        for (int tap = 0; tap < 2; ++tap) {
          const int16x8_t x = widened(row.data + call.offsets[2 * t + tap] + c);
          s0 = vmlal_s16(s0, vget_low_s16(pair.val[tap]), vget_low_s16(x));
          s1 = vmlal_high_s16(s1, pair.val[tap], x);
        }
      }
      std::int32_t* sums = call.sums + r * call.channels + c;
      vst1q_s32(sums, s0);
      vst1q_s32(sums + 4, s1);
    }
    if (whole < call.channels) portable::depthwise_row(call, r, whole);
  }
}

}  // namespace nnq::neon
