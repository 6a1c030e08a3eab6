// Projections of a weight onto a compressed format, as DeepTwist applies them (Lee, Kapoor, Kim 2018,
// arXiv:1810.12823): magnitude pruning, low rank by singular value decomposition, Tucker-2. Weights are float32,
// row-major; sums and decompositions are made in double. A weight of zeros stays one.
#pragma once

#include <ATen/ATen.h>

namespace nnq::methods {

/// w where |w| >= the (floor(rate n) + 1)-th smallest magnitude, else 0; 0 <= rate < 1. Equal magnitudes stay together.
at::Tensor prune_by_magnitude(const at::Tensor& w, double rate);

/// W [m, n...] as a matrix of m rows ~ left [m, r] right [r, n], the best of rank r; r is cut at min(m, n).
struct LowRank {
  at::Tensor left, right;  // float32
};
LowRank low_rank(const at::Tensor& w, std::int64_t rank);
/// left right, in the shape of `like`.
at::Tensor compose(const LowRank& factors, const at::Tensor& like);

/// K [T, S, kh, kw] ~ output [T, R_t] x core [R_t, R_s, kh, kw] x input [R_s, S]: higher-order singular value
/// decomposition over the channels, improved by `sweeps` of alternating iteration (HOOI).
struct Tucker2 {
  at::Tensor output, core, input;  // float32
};
Tucker2 tucker2(const at::Tensor& kernel, std::int64_t rank_outputs, std::int64_t rank_inputs, int sweeps);
/// The kernel that the three stand for.
at::Tensor compose(const Tucker2& factors);

}  // namespace nnq::methods
