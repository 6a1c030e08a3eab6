// Depthwise convolution: one filter a channel, channels in lanes.
#pragma once

#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/direct/direct.h"

namespace nnq {

struct DepthwiseCall {
  const DirectRow* rows;  // where a position's window starts, and what its sums start from
  std::int64_t row_count;
  const std::int64_t* offsets;  // [2 * pairs] from a row's start to a tap's channels
  std::int64_t pairs;           // of taps; an odd last tap is paired with itself and weight 0
  const std::int16_t* weights;  // [pairs][channels][2]
  std::int64_t channels;
  std::int32_t* sums;                   // [row_count][channels]
  const std::int8_t* narrow = nullptr;  // narrow kernels: the weights, instead of `weights`
};

/// sums[r][c] = start[c] + sum over taps of w[tap][c] * row[r].data[offsets[tap] + c].
using DepthwiseKernel = void (*)(const DepthwiseCall& call) noexcept;

/// Channels of a narrow kernel at least.
inline constexpr std::int64_t narrow_depthwise_channels = 32;

/// A null kernel: there is none that beats the other.
struct DepthwiseKernels {
  Isa isa;
  const char* name;
  DepthwiseKernel run;
  const char* narrow_name;
  DepthwiseKernel narrow;  // sums in 16 bits, which the caller has proven not to be left: narrow_depthwise_fits()
};

/// Whether the products of a channel's weights [count] with codes 0 .. largest fit 16 bits, whichever are added.
inline bool narrow_depthwise_fits(const std::int8_t* weights, std::int64_t count, std::int32_t largest) {
  std::int64_t low = 0, high = 0;
  for (std::int64_t i = 0; i < count; ++i) (weights[i] < 0 ? low : high) += weights[i];
  return high * largest <= 32767 && low * largest >= -32768;
}
const DepthwiseKernels* depthwise_table(std::size_t& rows);
const DepthwiseKernels& depthwise_kernels(Isa isa);

namespace portable {
void depthwise(const DepthwiseCall& call) noexcept;
/// Channels first .. channels - 1 of one row.
void depthwise_row(const DepthwiseCall& call, std::int64_t row, std::int64_t first) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void depthwise(const DepthwiseCall& call) noexcept;
void depthwise_narrow(const DepthwiseCall& call) noexcept;
}  // namespace avx2
#endif
#if defined(__aarch64__)
namespace neon {
void depthwise(const DepthwiseCall& call) noexcept;
}
#endif

}  // namespace nnq
