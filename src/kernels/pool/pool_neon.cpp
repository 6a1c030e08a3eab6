// NEON: sums of 16 channels in 16 bits, over all positions before they are widened. The largest value has no row of its
// own: the baseline compiles the portable one to umax and smax on whole vectors.
#include <arm_neon.h>

#include "kernels/pool/pool.h"

namespace nnq::neon {
namespace {

inline void add_to(std::int32_t* sums, uint16x4_t more) {
  vst1q_s32(sums, vaddq_s32(vld1q_s32(sums), vreinterpretq_s32_u32(vmovl_u16(more))));
}

}  // namespace

void sum_pool_bytes(const std::uint8_t* in, std::int64_t positions, std::int64_t channels,
                    std::int32_t* sums) noexcept {
  std::int64_t c = 0;
  for (; c + 16 <= channels; c += 16) {
    uint16x8_t low = vdupq_n_u16(0), high = low;
    for (std::int64_t p = 0; p < positions; ++p) {
      const uint8x16_t bytes = vld1q_u8(in + p * channels + c);
      low = vaddw_u8(low, vget_low_u8(bytes));
      high = vaddw_high_u8(high, bytes);
    }
    add_to(sums + c, vget_low_u16(low));
    add_to(sums + c + 4, vget_high_u16(low));
    add_to(sums + c + 8, vget_low_u16(high));
    add_to(sums + c + 12, vget_high_u16(high));
  }
  for (; c < channels; ++c) {
    for (std::int64_t p = 0; p < positions; ++p) sums[c] += in[p * channels + c];
  }
}

}  // namespace nnq::neon
