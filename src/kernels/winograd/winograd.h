// 3 x 3 convolutions of stride 1 by Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray 2016,
// arXiv:1509.09308), in integers: 16 products a channel for 2 x 2 outputs where the plain sum takes 36.
//
//   4 Y = A^T [ sum over channels of ((2 G) g (2 G)^T) * (B^T d B) ] A
//
// d: a tile's 4 x 4 codes of a channel; g: 3 x 3 weights; Y: 2 x 2 sums; * product by element.
//
//         1  0 -1  0          2  0  0
//   B^T = 0  1  1  0    2 G = 1  1  1    A^T = 1  1  1  0
//         0 -1  1  0          1 -1  1          0  1 -1 -1
//         0  1  0 -1          0  0  2
//
// Codes 0 .. 255 make V = B^T d B of -510 .. 1020, weights -128 .. 127 make U of -1152 .. 1152: both fit 16 bits, and
// the sum of two products 32. Longer sums are of integers modulo 2^32, so what they pass on the way does not matter:
// 4 Y is right wherever it fits 32 bits itself, its last two bits are 0, and an arithmetic shift gives Y. The caller
// has proven |Y| < 2^29.
//
// Weights are transformed for every block of tiles anew, a panel of 16 outputs at a time, next to the products. They
// stay bytes in memory; transformed ahead they would take 3.6 times as much (figures: docs/kernels.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

/// Outputs of a panel.
inline constexpr std::int64_t winograd_panel = 16;
/// Channels of the input at least: kernels read 16 of a pixel together.
inline constexpr std::int64_t winograd_least_channels = 16;
/// Pairs of input channels whose transformed weights are in the room at a time: 64 KB.
inline constexpr std::int64_t winograd_pairs = 64;
/// Bytes of weights of a pair of input channels in a panel: 9 taps, 16 outputs, 2 channels.
inline constexpr std::int64_t winograd_pair = 288;

/// Tiles are multiplied 6 or 5 at a time; rows of V there must be for that many of them.
inline constexpr std::int64_t winograd_rows(std::int64_t tiles) {
  const std::int64_t groups = (tiles + 5) / 6, fives = groups * 6 - tiles;
  return groups * 6 - (fives < groups ? fives : groups);
}
/// Elements of V between one of a tile's 16 elements and the next; a cache line more than the rows, or 2^n of them
/// would lie in one cache set.
inline constexpr std::int64_t winograd_plane(std::int64_t tiles, std::int64_t channels) {
  return winograd_rows(tiles) * ((channels + 15) / 16 * 16) + 32;
}
/// Bytes of `room` of a call.
inline constexpr std::int64_t winograd_room(std::int64_t tiles) {
  return 16 * (winograd_pairs * 64 + 64) + winograd_rows(tiles) * (16 * 64 + 64);
}

/// One panel of outputs of a block of tiles.
struct WinogradCall {
  const std::int16_t* v;        // [16][plane]: rows [tiles] of channels, padded to a multiple of 16
  std::int64_t channels;        // of the input
  std::int64_t tiles;           // at least 1; what lies in V's rows behind them is read and does not matter
  const std::uint8_t* weights;  // [(channels + 1) / 2][9 taps][16 outputs][2] int8; 0 for a channel that is not there
  const std::int32_t* const* starts;  // [tiles][2][2]: what a position's sums start from, by output
  std::int64_t column;                // first output of the panel, in starts and sums
  std::int32_t* sums;                 // [2][2 * tiles][stride]: the tiles' first and second rows of positions
  std::int64_t stride;
  std::byte* room;  // winograd_room(tiles) bytes on a cache line
};

/// Writes one row of V, all channels padded with 0: element p of channel c to v[p * plane + c]. pixels [16]: where the
/// codes of the tile's positions lie, row by row; no byte beyond their channels is read.
using WinogradInput = void (*)(const std::uint8_t* const* pixels, std::int64_t channels, std::int16_t* v,
                               std::int64_t plane) noexcept;
using WinogradProducts = void (*)(const WinogradCall& call) noexcept;

struct WinogradKernels {
  Isa isa;
  const char* name;
  WinogradInput input;
  WinogradProducts products;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const WinogradKernels* winograd_table(std::size_t& rows);
/// The first row that `isa` can run.
const WinogradKernels& winograd_kernels(Isa isa);

namespace portable {
void winograd_input(const std::uint8_t* const* pixels, std::int64_t channels, std::int16_t* v,
                    std::int64_t plane) noexcept;
void winograd_products(const WinogradCall& call) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void winograd_input(const std::uint8_t* const* pixels, std::int64_t channels, std::int16_t* v,
                    std::int64_t plane) noexcept;
void winograd_products(const WinogradCall& call) noexcept;
}  // namespace avx2
#endif

}  // namespace nnq
