// 8-bit products for the portable rows, as plain loops that a compiler turns into its baseline's vectors: both sides
// are widened to 16 bits with the summed dimension contiguous, so that one innermost loop is a dot product of int16 in
// int32 (SSE2: pmaddwd, NEON: smlal). Small blocks keep everything in the first-level cache.
#pragma once

#include <cstdint>

namespace nnq::portable {

/// Units of 4 bytes whose products are summed before the sums go to memory, and rows that share widened weights.
inline constexpr std::int64_t dot_units = 72, dot_rows = 48, dot_outputs = 16;

/// One block of activations and one panel's weights, widened; rows are `dot_depth` apart.
inline constexpr std::int64_t dot_depth = dot_units * 4;
struct DotBlock {
  alignas(64) std::int16_t a[dot_rows][dot_depth];
  alignas(64) std::int16_t w[dot_outputs][dot_depth];
};

/// Zeros behind `units` units up to whole vectors of 8 values; returns how many values that makes.
std::int64_t dot_padded(std::int64_t units);
/// One row of activations: unit k is at data + offsets[k].
void dot_widen_row(const std::uint8_t* data, const std::int64_t* offsets, std::int64_t units, std::int16_t* to);
/// Weights of 16 outputs: panel[k][16][4].
void dot_widen_panel(const std::int8_t* panel, std::int64_t units, DotBlock& block);
/// sums[r * stride + o] += a[r] . w[o] for `rows` rows and 16 outputs over `depth` values, a multiple of 8.
void dot_add(const DotBlock& block, std::int64_t rows, std::int64_t depth, std::int32_t* sums, std::int64_t stride);

}  // namespace nnq::portable
