// Pooling of codes, bits and sums, channels last, one table row an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

/// A run of output positions whose windows have the same taps inside.
struct PoolCall {
  const std::uint8_t* in;       // first tap of the first position
  std::int64_t step;            // bytes from a position's window to the next one's
  const std::int64_t* offsets;  // [taps] bytes, the first is 0; at least one
  std::int64_t taps;
  const std::uint8_t* flip;  // [bytes] or null: all ones where the smallest value wins (bits: a one each)
  std::int64_t bytes;        // of a position; a multiple of 4 for bits and sums
  void* out;                 // [count][bytes]
  std::int64_t count;
};
using PoolKernel = void (*)(const PoolCall& call) noexcept;

/// sums[c] += in[p * channels + c] over at most 256 positions p.
using SumKernel = void (*)(const std::uint8_t* in, std::int64_t positions, std::int64_t channels,
                           std::int32_t* sums) noexcept;

struct PoolKernels {
  Isa isa;
  const char* name;
  PoolKernel max_bytes, max_bits, max_sums;
  SumKernel sum_bytes;
};

const PoolKernels* pool_table(std::size_t& rows);
const PoolKernels& pool_kernels(Isa isa);

namespace portable {
void max_pool_bytes(const PoolCall& call) noexcept;
void max_pool_bits(const PoolCall& call) noexcept;
void max_pool_sums(const PoolCall& call) noexcept;
void sum_pool_bytes(const std::uint8_t* in, std::int64_t positions, std::int64_t channels, std::int32_t* sums) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void max_pool_bytes(const PoolCall& call) noexcept;
void max_pool_bits(const PoolCall& call) noexcept;
void max_pool_sums(const PoolCall& call) noexcept;
void sum_pool_bytes(const std::uint8_t* in, std::int64_t positions, std::int64_t channels, std::int32_t* sums) noexcept;
}  // namespace avx2
#endif
#if defined(__aarch64__)
namespace neon {
void sum_pool_bytes(const std::uint8_t* in, std::int64_t positions, std::int64_t channels, std::int32_t* sums) noexcept;
}
#endif

}  // namespace nnq
