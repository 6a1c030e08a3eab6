#include "runtime/cost_model.h"

namespace nnq {
namespace {

/// GOP/s of full panels out of the second-level cache. AVX2: docs/kernels.md, 1024 x 1024 x 1024 on Zen 3. AVX-512 and
/// portable: in proportion to the instructions of an operation.
double speed(Isa isa, Method method, std::int64_t run) {
  const bool wide = isa == Isa::avx512, vectors = wide || isa == Isa::avx2;
  switch (method) {
    case Method::int8:
      return wide ? 480 : vectors ? 103 : 10;
    case Method::wide:
      return 150;
    case Method::narrow:
      return run < 2 ? 185 : run < 8 ? 222 : run < 16 ? 245 : run < 32 ? 262 : 284;
    case Method::winograd:  // of the 36 products a tile and channel that it replaces by 16
      return vectors ? 310 : 5;
    case Method::winograd_narrow:
      // Weights mostly let more products meet than the run that is certain beforehand.
      return !vectors ? 5 : run < 2 ? 400 : run < 4 ? 480 : 540;
    case Method::w2a2_lookup:
      // Two vpshufb of 32 bytes a cycle do 256 operations, VNNI does 128. In layers, beside Winograd's filtering: 450.
      return 450 * (wide ? 1.5 : 1);
    case Method::w2a2_triples:  // counted: 290 operations a cycle
      return 1000;
    case Method::w1a2_lookup:
      return 828 * (wide ? 1.5 : 1);
    case Method::w1a2_lookup_64:  // counted: 445 operations a cycle
      return 1500;
    case Method::w1a4_lookup:
      return 400 * (wide ? 1.5 : 1);  // two passes: more than int8_maddubs
    case Method::w1a4_lookup_64:
      return 720;
    case Method::binary:
      return wide ? 2500 : 300;
    case Method::ternary:  // counted: one operation more, or a vpternlog for a vpxor and a second load
      return wide ? 2200 : 250;
    case Method::binary_lookup:
      return 1152;
  }
  return 1;
}

constexpr double packed_per_microsecond = 16000;  // codes

}  // namespace

double estimated_microseconds(Isa isa, Method method, const LayerCost& cost) {
  const double operations =
      2.0 * static_cast<double>(cost.positions) * static_cast<double>(cost.inputs) * static_cast<double>(cost.outputs);
  return operations / speed(isa, method, cost.run) / 1e3 + static_cast<double>(cost.packed) / packed_per_microsecond;
}

}  // namespace nnq
