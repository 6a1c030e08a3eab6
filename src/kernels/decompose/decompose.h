// A vector as a sum of scaled vectors of signs by alternating minimisation (pack/multibit.h), while the network runs:
// the state of a recurrent layer at every time step. All rows give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

struct DecomposeCall {
  const float* x;  // [count]
  std::int64_t count;
  int bits, cycles;     // 1 to 8; 0 and more
  float* alpha;         // [bits]
  std::uint8_t* codes;  // [count]; bit i: sign i is +1
  float* scratch;       // [count], not x
};
/// alpha and codes of multibit::decompose(), Search::alternating.
using DecomposeVector = void (*)(const DecomposeCall& call) noexcept;

struct DecomposeKernel {
  Isa isa;
  const char* name;
  DecomposeVector run;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const DecomposeKernel* decompose_table(std::size_t& rows);
const DecomposeKernel& decompose_kernel(Isa isa);

namespace portable {
void decompose_vector(const DecomposeCall& call) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void decompose_vector(const DecomposeCall& call) noexcept;
}  // namespace avx2
#endif

}  // namespace nnq
