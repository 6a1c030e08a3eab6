// Products of one to a few vectors with a float matrix as it lies in memory: the recurrent layers of float networks,
// which wait for their weights. Each output is one sum, in an order that is the row's own: rows of the table agree to
// float32 rounding, and no result depends on how outputs are dealt to threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

struct RealMatvecCall {
  const float* weights;  // [outputs][inputs]
  std::int64_t outputs, inputs;
  const float* x;  // [batch][inputs]
  std::int64_t batch;
  const float* bias;  // [outputs] or nullptr
  float* y;           // [batch][stride]: bias[o] + sum over i of weights[o][i] * x[b][i]
  std::int64_t stride;
};
using RealMatvecKernel = void (*)(const RealMatvecCall& call) noexcept;

struct RealMatvec {
  Isa isa;
  const char* name;
  RealMatvecKernel run;
};

/// The table, fastest first; the last row runs everywhere.
const RealMatvec* real_matvec_table(std::size_t& rows);
/// The first row that `isa` can run.
const RealMatvec& real_matvec_kernel(Isa isa);

namespace portable {
void real_matvec(const RealMatvecCall& call) noexcept;
}
#if defined(__x86_64__)
namespace avx2 {
void real_matvec(const RealMatvecCall& call) noexcept;
}
#endif

}  // namespace nnq
