// Sums of real products whose last bit may decide a code: the simulation and the runtime both make them in double, so
// that both get the same codes (docs/quantized-graph.md).
#pragma once

#include <cstddef>
#include <set>

#include "nnq/graph.h"

namespace nnq::train {

/// Nodes (Conv, Gemm, MatMul) of a frozen graph whose sums are no integers, and that read codes or their levels, or
/// that a Quantize, Sign or Bucketize reads, through whatever operators. Their results are rounded once, from double.
std::set<std::size_t> real_sums(const Graph& graph);

}  // namespace nnq::train
