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
// Wide: codes 0 .. 255 make V = B^T d B of -510 .. 1020, weights -128 .. 127 make U of -1152 .. 1152: both fit 16 bits,
// and the sum of two products 32. Longer sums are of integers modulo 2^32, so what they pass on the way does not
// matter: 4 Y is right wherever it fits 32 bits itself, its last two bits are 0, and an arithmetic shift gives Y. The
// caller has proven |Y| < 2^29.
//
// Narrow: codes 0 .. 63 and weights -14 .. 14 fit bytes. V of codes 0 .. L is -2 L .. 4 L and gets 2 L everywhere but
// in element (1, 1), where it is never negative; what 4 Y becomes too large by, A^T (2 L sum of U, 0 at (1, 1)) A,
// depends on the weights alone. Products of four channels meet in two sums of 16 bits, `run` times before they are
// added to 32 bits: winograd_run().
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
/// Steps (of 2 input channels, narrow: 4) of a call at most: their transformed weights are 64 KB.
inline constexpr std::int64_t winograd_steps = 64;

/// Steps whose products may meet in 16 bits, for codes 0 .. largest and weights of at most `highest`; 0: these codes
/// and weights are not for the narrow kernels.
inline constexpr std::int64_t winograd_run(std::int64_t highest, std::int64_t largest) {
  if (9 * highest > 127 || 4 * largest > 255) return 0;
  const std::int64_t two = 2 * 9 * highest * 4 * largest;
  return two == 0 ? 32767 : 32767 / two;
}

/// Tiles are multiplied 6 or 5 at a time; rows of V there must be for that many of them.
inline constexpr std::int64_t winograd_rows(std::int64_t tiles) {
  const std::int64_t groups = (tiles + 5) / 6, fives = groups * 6 - tiles;
  return groups * 6 - (fives < groups ? fives : groups);
}

/// What differs between the wide and the narrow form.
struct WinogradForm {
  std::int64_t together;  // channels of a step: 2 of 16 bits in V, or 4 of 8
  bool narrow() const { return together == 4; }
  /// Bytes of a row of V: a tile's channels, padded to a multiple of 16.
  std::int64_t row(std::int64_t channels) const { return (channels + 15) / 16 * 64 / together; }
  /// Bytes of V between one of a tile's 16 elements and the next; a cache line more than the rows, or 2^n of them
  /// would lie in one cache set.
  std::int64_t plane(std::int64_t tiles, std::int64_t channels) const {
    return winograd_rows(tiles) * row(channels) + 64;
  }
  std::int64_t steps(std::int64_t channels) const { return (channels + together - 1) / together; }
  /// Bytes of weights of a step of a panel.
  std::int64_t step() const { return together * 9 * winograd_panel; }
  /// Bytes of a panel of weights.
  std::int64_t panel(std::int64_t channels) const { return steps(channels) * step(); }
};

/// Bytes of `room` of a call.
inline constexpr std::int64_t winograd_room(std::int64_t tiles) {
  return 16 * (winograd_steps * 64 + 64) + winograd_rows(tiles) * (16 * 64 + 64);
}

/// Some steps of one panel of outputs of a block of tiles. Calls go through all steps of a panel in order, with the
/// same room; the last one writes the sums.
struct WinogradCall {
  const std::byte* v;      // [16][plane]: rows [tiles] of channels
  std::int64_t channels;   // of the input
  std::int64_t tiles;      // at least 1; what lies in V's rows behind them is read and does not matter
  std::int64_t first = 0;  // step, a multiple of winograd_steps
  std::int64_t steps = 0;  // of this call: winograd_steps, or what is left
  const std::uint8_t* weights =
      nullptr;                         // [steps][9 taps][16 outputs][together] int8; 0 for a channel that is not there
  const std::uint8_t* next = nullptr;  // what will be read next, from far away, and how many bytes
  std::int64_t next_bytes = 0;
  const std::int32_t* const* starts = nullptr;  // [tiles][2][2]: what a position's sums start from, by output
  std::int64_t column = 0;                      // first output of the panel, in starts, too_much and sums
  std::int32_t* sums = nullptr;                 // [2][2 * tiles][stride]: the tiles' first and second rows of positions
  std::int64_t stride = 0;
  std::byte* room = nullptr;               // winograd_room(tiles) bytes on a cache line
  const std::int32_t* too_much = nullptr;  // narrow: [2][2][stride], what 4 Y becomes too large by
  // narrow, at least 1: winograd_run(), or as many steps as are proven from this panel's weights to fit 16 bits
  // together wherever a call begins them: at multiples of `run` behind its own first step.
  std::int64_t run = 0;
};

/// Writes one row of V, all channels padded (with those of code 0): element p of channel c to byte p * plane +
/// c * size. pixels [16]: where the codes 0 .. largest of the tile's positions lie, row by row; no byte beyond their
/// channels is read.
using WinogradInput = void (*)(const std::uint8_t* const* pixels, std::int64_t channels, int largest, std::byte* v,
                               std::int64_t plane) noexcept;
using WinogradProducts = void (*)(const WinogradCall& call) noexcept;

struct WinogradKernels {
  Isa isa;
  WinogradForm form;
  const char* name;
  WinogradInput input;
  WinogradProducts products;
};

/// All calls of a panel: call.weights are those of its first step.
inline void winograd_products(const WinogradKernels& kernels, WinogradCall call) {
  const std::int64_t all = kernels.form.steps(call.channels);
  for (call.first = 0; call.first < all; call.first += call.steps) {
    call.steps = all - call.first < winograd_steps ? all - call.first : winograd_steps;
    call.next = call.weights + call.steps * kernels.form.step();
    call.next_bytes = call.steps * kernels.form.step();
    kernels.products(call);
    call.weights = call.next;
  }
}

/// The table, fastest first; the last row of either form runs everywhere and is the reference.
const WinogradKernels* winograd_table(std::size_t& rows);
/// The first row of a form that `isa` can run.
const WinogradKernels& winograd_kernels(Isa isa, bool narrow);

namespace portable {
void winograd_input(const std::uint8_t* const* pixels, std::int64_t channels, int largest, std::byte* v,
                    std::int64_t plane) noexcept;
void winograd_products(const WinogradCall& call) noexcept;
void winograd_narrow_input(const std::uint8_t* const* pixels, std::int64_t channels, int largest, std::byte* v,
                           std::int64_t plane) noexcept;
void winograd_narrow_products(const WinogradCall& call) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void winograd_input(const std::uint8_t* const* pixels, std::int64_t channels, int largest, std::byte* v,
                    std::int64_t plane) noexcept;
void winograd_products(const WinogradCall& call) noexcept;
void winograd_narrow_input(const std::uint8_t* const* pixels, std::int64_t channels, int largest, std::byte* v,
                           std::int64_t plane) noexcept;
void winograd_narrow_products(const WinogradCall& call) noexcept;
}  // namespace avx2
#endif

}  // namespace nnq
