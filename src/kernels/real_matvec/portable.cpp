// Any machine: vectors of four floats in the compilers' notation (NEON or SSE2), four of them a row.
#include "kernels/portable_vector.h"
#include "kernels/real_matvec/real_matvec.h"

namespace nnq::portable {
namespace {

using Floats4 = float __attribute__((vector_size(16)));
constexpr std::int64_t lanes = 4, chains = 4;

float dot(const float* w, const float* x, std::int64_t n) {
  Floats4 sum[chains] = {};
  std::int64_t i = 0;
  for (; i + lanes * chains <= n; i += lanes * chains) {
    for (std::int64_t c = 0; c < chains; ++c)
      sum[c] += load_vector<Floats4>(w + i + c * lanes) * load_vector<Floats4>(x + i + c * lanes);
  }
  const Floats4 all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float total = (all[0] + all[1]) + (all[2] + all[3]);
  for (; i < n; ++i) total += w[i] * x[i];
  return total;
}

}  // namespace

void real_matvec(const RealMatvecCall& call) noexcept {
  for (std::int64_t o = 0; o < call.outputs; ++o) {
    for (std::int64_t b = 0; b < call.batch; ++b)
      call.y[b * call.stride + o] = dot(call.weights + o * call.inputs, call.x + b * call.inputs, call.inputs) +
                                    (call.bias == nullptr ? 0.0F : call.bias[o]);
  }
}

}  // namespace nnq::portable
