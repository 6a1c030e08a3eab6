// How many points each tensor gets in differentiable quantization: the redistribution heuristic of Polino et al. 2018
// (arXiv:1802.05668, authors' code): tensors whose gradient is large get more of the same budget.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nnq/dataset.h"
#include "nnq/graph.h"

namespace nnq::methods {

/// Points of each tensor when all together have `points` times their number: half of `points` for everyone, the rest in
/// proportion to `norms`, rounded; what rounding hands out too much is taken one by one from the tensor with most
/// points, what it leaves goes to the one with fewest. Every tensor ends with 2 to 256 points. All norms 0: equal
/// shares. Throws nnq::Error unless points is in 2 .. 256 and the norms are finite and not negative.
std::vector<std::int64_t> redistributed_points(const std::vector<double>& norms, std::int64_t points);

/// Euclidean norms of the gradients of the cross-entropy of `network` (float) with respect to these initializers, each
/// the mean over up to `batches` batches of `batch` training images, batch statistics as in training.
std::vector<double> gradient_norms(const Graph& network, const std::vector<std::string>& initializers,
                                   const Samples& samples, const Preprocessing& preprocessing, std::int64_t batches,
                                   std::int64_t batch, std::uint64_t seed);

/// One tensor of the result.
struct TensorPoints {
  std::string quantizer, weight;  // names: of the node, of the initializer
  double norm = 0;
  std::int64_t points = 0;
};

/// Sets `points` (and the bits their codes take) of every quantizer of the method `differentiable` in `graph`, by the
/// gradients of `reference`, the float network it was placed in. Throws nnq::Error when there is none, when they differ
/// in bits, or when they have points already.
Graph redistribute_points(Graph graph, const Graph& reference, const Samples& samples,
                          const Preprocessing& preprocessing, std::int64_t batches, std::int64_t batch,
                          std::uint64_t seed, std::vector<TensorPoints>& result);

}  // namespace nnq::methods
