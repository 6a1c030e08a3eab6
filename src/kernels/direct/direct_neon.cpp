// NEON rows, for every 64-bit Arm. int8: 16-bit multiply-accumulate with one activation as the factor of eight
// weights; activations are unsigned and weights signed, which no 8-bit multiplication of NEON takes. narrow: the same,
// accumulated in 16 bits, twice the products an instruction, where the caller has proven that nothing leaves them.
// binary, ternary: cnt counts the bits of bytes. Tiles of four rows (binary six) times 16 channels: 28 to 30 of the 32
// registers.
#include <arm_neon.h>

#include "kernels/direct/direct.h"
#include "kernels/unrolled.h"

namespace nnq::neon {
namespace {

/// Weights of 16 channels, one vector for each of a unit's four k, in 16 bits.
struct Weights {
  int16x8_t low[4], high[4];
};
inline Weights widened(const std::uint8_t* panel) {
  const int8x16x4_t w = vld4q_s8(reinterpret_cast<const std::int8_t*>(panel));
  Weights wide;
  for (int j = 0; j < 4; ++j) {
    wide.low[j] = vmovl_s8(vget_low_s8(w.val[j]));
    wide.high[j] = vmovl_high_s8(w.val[j]);
  }
  return wide;
}

/// Four activations in 16 bits.
inline int16x4_t widened_unit(const std::uint8_t* a) {
  std::uint32_t word;
  __builtin_memcpy(&word, a, 4);
  return vreinterpret_s16_u16(vget_low_u16(vmovl_u8(vcreate_u8(word))));
}

/// A unit's four products of four channels: the lower or the upper half of each of w's vectors.
inline int32x4_t add_low(int32x4_t sum, const int16x8_t (&w)[4], int16x4_t a) {
  sum = vmlal_lane_s16(sum, vget_low_s16(w[0]), a, 0);
  sum = vmlal_lane_s16(sum, vget_low_s16(w[1]), a, 1);
  sum = vmlal_lane_s16(sum, vget_low_s16(w[2]), a, 2);
  return vmlal_lane_s16(sum, vget_low_s16(w[3]), a, 3);
}
inline int32x4_t add_high(int32x4_t sum, const int16x8_t (&w)[4], int16x4_t a) {
  sum = vmlal_high_lane_s16(sum, w[0], a, 0);
  sum = vmlal_high_lane_s16(sum, w[1], a, 1);
  sum = vmlal_high_lane_s16(sum, w[2], a, 2);
  return vmlal_high_lane_s16(sum, w[3], a, 3);
}

template <int Rows>
inline void int8_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                      std::int32_t* sums) {
  const std::uint8_t* a[Rows];
  int32x4_t sum[Rows][4];
  unrolled<Rows>([&](int r) {
    a[r] = row[r].data;
    unrolled<4>([&](int i) { sum[r][i] = vld1q_s32(row[r].start + column + i * 4); });
  });
  for (std::int64_t k = 0; k < call.steps; ++k, panel += 64) {
    const std::int64_t offset = call.offsets[k];
    const Weights w = widened(panel);
    unrolled<Rows>([&](int r) {
      const int16x4_t x = widened_unit(a[r] + offset);
      sum[r][0] = add_low(sum[r][0], w.low, x);
      sum[r][1] = add_high(sum[r][1], w.low, x);
      sum[r][2] = add_low(sum[r][2], w.high, x);
      sum[r][3] = add_high(sum[r][3], w.high, x);
    });
  }
  unrolled<Rows>([&](int r) { unrolled<4>([&](int i) { vst1q_s32(sums + r * call.stride + i * 4, sum[r][i]); }); });
}

template <int Rows>
inline void narrow_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                        std::int32_t* sums) {
  const std::uint8_t* a[Rows];
  for (int r = 0; r < Rows; ++r) {
    a[r] = row[r].data;
    for (int i = 0; i < 4; ++i) vst1q_s32(sums + r * call.stride + i * 4, vld1q_s32(row[r].start + column + i * 4));
  }
  for (std::int64_t k = 0; k < call.steps;) {
    const std::int64_t end = k + call.narrow_steps < call.steps ? k + call.narrow_steps : call.steps;
    int16x8_t sum[Rows][4];
    unrolled<Rows>([&](int r) { unrolled<4>([&](int i) { sum[r][i] = vdupq_n_s16(0); }); });
    for (; k < end; ++k, panel += 64) {
      const std::int64_t offset = call.offsets[k];
      const Weights w = widened(panel);
      unrolled<Rows>([&](int r) {
        const int16x4_t x = widened_unit(a[r] + offset);
        // Products 0, 1 of a unit meet in one sum and 2, 3 in another: the pairs that the caller's proof speaks of.
        sum[r][0] = vmlaq_lane_s16(vmlaq_lane_s16(sum[r][0], w.low[0], x, 0), w.low[1], x, 1);
        sum[r][1] = vmlaq_lane_s16(vmlaq_lane_s16(sum[r][1], w.high[0], x, 0), w.high[1], x, 1);
        sum[r][2] = vmlaq_lane_s16(vmlaq_lane_s16(sum[r][2], w.low[2], x, 2), w.low[3], x, 3);
        sum[r][3] = vmlaq_lane_s16(vmlaq_lane_s16(sum[r][3], w.high[2], x, 2), w.high[3], x, 3);
      });
    }
    unrolled<Rows>([&](int r) {
      unrolled<2>([&](int h) {
        std::int32_t* const to = sums + r * call.stride + h * 8;
        const int32x4_t low = vaddl_s16(vget_low_s16(sum[r][h]), vget_low_s16(sum[r][2 + h])),
                        high = vaddl_high_s16(sum[r][h], sum[r][2 + h]);
        vst1q_s32(to, vaddq_s32(vld1q_s32(to), low));
        vst1q_s32(to + 4, vaddq_s32(vld1q_s32(to + 4), high));
      });
    });
  }
}

/// Planes 2: ternary, the words behind the panel's signs say which weights are not 0.
template <int Rows, std::int64_t Planes>
inline void count_tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                       std::int32_t* sums) {
  constexpr std::int64_t fits = 31;  // words whose bits surely fit a byte: 31 * 8 = 248
  const std::uint8_t* a[Rows];
  for (int r = 0; r < Rows; ++r) {
    a[r] = row[r].data;
    for (int i = 0; i < 4; ++i) vst1q_s32(sums + r * call.stride + i * 4, vld1q_s32(row[r].start + column + i * 4));
  }
  for (std::int64_t k = 0; k < call.steps;) {
    const std::int64_t end = k + fits < call.steps ? k + fits : call.steps;
    uint8x16_t count[Rows][4];
    unrolled<Rows>([&](int r) { unrolled<4>([&](int i) { count[r][i] = vdupq_n_u8(0); }); });
    for (; k < end; ++k, panel += 64) {
      const std::int64_t offset = call.offsets[k];
      uint8x16_t w[4], kept[4];
      unrolled<4>([&](int i) {
        w[i] = vld1q_u8(panel + 16 * i);
        if constexpr (Planes == 2) kept[i] = vld1q_u8(panel + call.steps * 64 + 16 * i);
      });
      unrolled<Rows>([&](int r) {
        const uint8x16_t x = vreinterpretq_u8_u32(vld1q_dup_u32(reinterpret_cast<const std::uint32_t*>(a[r] + offset)));
        unrolled<4>([&](int i) {
          uint8x16_t differ = veorq_u8(x, w[i]);
          if constexpr (Planes == 2) differ = vandq_u8(differ, kept[i]);
          count[r][i] = vaddq_u8(count[r][i], vcntq_u8(differ));
        });
      });
    }
    unrolled<Rows>([&](int r) {
      unrolled<4>([&](int i) {
        std::int32_t* const to = sums + r * call.stride + i * 4;
        const uint32x4_t mismatches = vpaddlq_u16(vpaddlq_u8(count[r][i]));
        vst1q_s32(to, vsubq_s32(vld1q_s32(to), vreinterpretq_s32_u32(vshlq_n_u32(mismatches, 1))));
      });
    });
  }
}

using Tile = void (*)(const DirectCall&, const DirectRow*, const std::uint8_t*, std::int64_t, std::int32_t*);

template <int Rows, Tile Whole, Tile One, std::int64_t Planes = 1>
inline void tiles(const DirectCall& call) {
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    const std::uint8_t* const panel = call.panels + p * Planes * call.steps * 64;
    std::int32_t* const sums = call.sums + p * direct_panel;
    std::int64_t r = 0;
    for (; r + Rows <= call.row_count; r += Rows)
      Whole(call, call.rows + r, panel, p * direct_panel, sums + r * call.stride);
    for (; r < call.row_count; ++r) One(call, call.rows + r, panel, p * direct_panel, sums + r * call.stride);
  }
}

}  // namespace

void direct_int8(const DirectCall& call) noexcept { tiles<4, int8_tile<4>, int8_tile<1>>(call); }
void direct_narrow(const DirectCall& call) noexcept { tiles<4, narrow_tile<4>, narrow_tile<1>>(call); }
void direct_binary(const DirectCall& call) noexcept { tiles<6, count_tile<6, 1>, count_tile<1, 1>>(call); }
void direct_ternary(const DirectCall& call) noexcept { tiles<4, count_tile<4, 2>, count_tile<1, 2>, 2>(call); }

}  // namespace nnq::neon
