// NEON: tbl looks 16 bytes up at once in a table that the activations chose; the weights of 16 channels are the
// indices. Bytes are added up as long as they cannot overflow, then 16-bit numbers, then 32-bit ones.
#include <arm_neon.h>

#include "kernels/direct/direct.h"

namespace nnq::neon {
namespace {

constexpr std::int64_t outputs = 32;

constexpr int tile_rows = 4;

inline std::int64_t end_of(std::int64_t k, std::int64_t units, std::int64_t steps) {
  return k + units < steps ? k + units : steps;
}

/// One unit of a row: two activation bytes, each with Lookups tables for 32 channels.
template <int Lookups>
inline void add_unit(const std::uint8_t* tables, const std::uint8_t* a, const std::uint8_t* w, uint8x16_t (&bytes)[2]) {
  for (int b = 0; b < 2; ++b) {
    const std::uint8_t* table = tables + std::size_t{a[b]} * (16 * Lookups);
    if constexpr (Lookups == 2) asm("" : "+r"(table));  // one address for both, so that one instruction loads them
    for (int l = 0; l < Lookups; ++l, w += outputs) {
      const uint8x16_t entries = vld1q_u8(table + 16 * l);
      bytes[0] = vaddq_u8(bytes[0], vqtbl1q_u8(entries, vld1q_u8(w)));
      bytes[1] = vaddq_u8(bytes[1], vqtbl1q_u8(entries, vld1q_u8(w + 16)));
    }
  }
}

inline void add_shifted(uint16x8_t words, int32x4_t shift, std::int32_t* to) {
  const uint32x4_t low = vshlq_u32(vmovl_u16(vget_low_u16(words)), shift),
                   high = vshlq_u32(vmovl_high_u16(words), shift);
  vst1q_s32(to, vaddq_s32(vld1q_s32(to), vreinterpretq_s32_u32(low)));
  vst1q_s32(to + 4, vaddq_s32(vld1q_s32(to + 4), vreinterpretq_s32_u32(high)));
}

template <int Rows, int Lookups>
inline void tile(const DirectCall& call, const DirectRow* row, const std::uint8_t* panel, std::int64_t column,
                 std::int32_t* sums) {
  constexpr std::int64_t unit = 2 * Lookups * outputs;
  const LookupTables& lookup = *call.lookup;
  const int32x4_t shift = vdupq_n_s32(lookup.shift);
  const std::uint8_t* a[Rows];
  for (int r = 0; r < Rows; ++r) {
    a[r] = row[r].data;
    for (int i = 0; i < outputs; i += 4) vst1q_s32(sums + r * call.stride + i, vld1q_s32(row[r].start + column + i));
  }
  for (std::int64_t k = 0; k < call.steps;) {
    const std::int64_t word_end = end_of(k, lookup.word_units, call.steps);
    uint16x8_t words[Rows][4];
    for (int r = 0; r < Rows; ++r) {
      for (int i = 0; i < 4; ++i) words[r][i] = vdupq_n_u16(0);
    }
    while (k < word_end) {
      const std::int64_t end = end_of(k, lookup.byte_units, word_end);
      uint8x16_t bytes[Rows][2];
      for (int r = 0; r < Rows; ++r) bytes[r][0] = bytes[r][1] = vdupq_n_u8(0);
      for (; k < end; ++k, panel += unit) {
        const std::int64_t offset = call.offsets[k];
        for (int r = 0; r < Rows; ++r) add_unit<Lookups>(lookup.tables, a[r] + offset, panel, bytes[r]);
      }
      for (int r = 0; r < Rows; ++r) {
        for (int h = 0; h < 2; ++h) {
          words[r][2 * h] = vaddw_u8(words[r][2 * h], vget_low_u8(bytes[r][h]));
          words[r][2 * h + 1] = vaddw_high_u8(words[r][2 * h + 1], bytes[r][h]);
        }
      }
    }
    for (int r = 0; r < Rows; ++r) {
      for (int i = 0; i < 4; ++i) add_shifted(words[r][i], shift, sums + r * call.stride + i * 8);
    }
  }
}

template <int Lookups>
void tiles(const DirectCall& call) {
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    const std::uint8_t* const panel = call.panels + p * call.steps * 2 * Lookups * outputs;
    const std::int64_t column = p * outputs;
    std::int32_t* const sums = call.sums + column;
    std::int64_t r = 0;
    for (; r + tile_rows <= call.row_count; r += tile_rows)
      tile<tile_rows, Lookups>(call, call.rows + r, panel, column, sums + r * call.stride);
    for (; r < call.row_count; ++r) tile<1, Lookups>(call, call.rows + r, panel, column, sums + r * call.stride);
  }
}

}  // namespace

void direct_lookup(const DirectCall& call) noexcept {
  if (call.lookup->lookups == 1)
    tiles<1>(call);
  else
    tiles<2>(call);
}

void pack_codes(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t count, int shift) noexcept {
  const int8x16_t down = vdupq_n_s8(static_cast<std::int8_t>(-shift));
  std::int64_t i = 0;
  for (; i + 64 <= count; i += 64, packed += 16) {
    const uint8x16x4_t four = vld4q_u8(codes + i);  // each vector: every fourth code
    uint8x16_t bytes = vandq_u8(vshlq_u8(four.val[0], down), vdupq_n_u8(3));
    bytes = vorrq_u8(bytes, vshlq_n_u8(vandq_u8(vshlq_u8(four.val[1], down), vdupq_n_u8(3)), 2));
    bytes = vorrq_u8(bytes, vshlq_n_u8(vandq_u8(vshlq_u8(four.val[2], down), vdupq_n_u8(3)), 4));
    bytes = vorrq_u8(bytes, vshlq_n_u8(vshlq_u8(four.val[3], down), 6));
    vst1q_u8(packed, bytes);
  }
  if (i < count) portable::pack_codes(codes + i, packed, count - i, shift);
}

}  // namespace nnq::neon
