// The dot product of Armv8.2: four signed 8-bit products in each 32-bit lane. Activations are unsigned, so 128 is taken
// from each (one exclusive or), and 128 * (sum of the weights) added to what the sums start from.
#include <arm_neon.h>

#include "kernels/direct/direct.h"

namespace nnq::neon_dot {
namespace {

constexpr int tile_rows = 6;

struct Columns {
  int32x4_t v[4];
};

inline int8x16_t load(const std::uint8_t* p) { return vld1q_s8(reinterpret_cast<const std::int8_t*>(p)); }

/// 128 * (sum of the weights) of a panel's 16 channels.
inline Columns correction(const std::uint8_t* panel, std::int64_t steps) {
  Columns sum;
  for (int i = 0; i < 4; ++i) sum.v[i] = vdupq_n_s32(0);
  const int8x16_t one = vdupq_n_s8(1);
  for (std::int64_t k = 0; k < steps; ++k, panel += 64) {
    for (int i = 0; i < 4; ++i) sum.v[i] = vdotq_s32(sum.v[i], load(panel + i * 16), one);
  }
  for (int i = 0; i < 4; ++i) sum.v[i] = vshlq_n_s32(sum.v[i], 7);
  return sum;
}

template <int Rows>
inline void tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                 const Columns& more, std::int32_t* sums) {
  const std::uint8_t* a[Rows];
  int32x4_t sum[Rows][4];
  for (int r = 0; r < Rows; ++r) {
    a[r] = row[r].data;
    for (int i = 0; i < 4; ++i) sum[r][i] = vaddq_s32(vld1q_s32(row[r].start + column + i * 4), more.v[i]);
  }
  const int8x8_t half = vdup_n_s8(-128);
  for (std::int64_t k = 0; k < call.steps; ++k, panel += 64) {
    const std::int64_t offset = call.offsets[k];
    const int8x16_t w[4] = {load(panel), load(panel + 16), load(panel + 32), load(panel + 48)};
    for (int r = 0; r < Rows; ++r) {
      std::uint32_t word;
      __builtin_memcpy(&word, a[r] + offset, 4);
      const int8x8_t x = veor_s8(vcreate_s8(word), half);
      for (int i = 0; i < 4; ++i) sum[r][i] = vdotq_lane_s32(sum[r][i], w[i], x, 0);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int i = 0; i < 4; ++i) vst1q_s32(sums + r * call.stride + i * 4, sum[r][i]);
  }
}

}  // namespace

void direct_int8(const DirectCall& call) noexcept {
  if (call.row_count == 0) return;
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    const std::uint8_t* const panel = call.panels + p * call.steps * 64;
    const std::int64_t column = p * direct_panel;
    const Columns more = correction(panel, call.steps);
    std::int32_t* const sums = call.sums + column;
    std::int64_t r = 0;
    for (; r + tile_rows <= call.row_count; r += tile_rows)
      tile<tile_rows>(call, call.rows + r, panel, column, more, sums + r * call.stride);
    for (; r + 2 <= call.row_count; r += 2) tile<2>(call, call.rows + r, panel, column, more, sums + r * call.stride);
    if (r < call.row_count) tile<1>(call, call.rows + r, panel, column, more, sums + r * call.stride);
  }
}

}  // namespace nnq::neon_dot
