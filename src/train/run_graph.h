// Evaluation of a graph on LibTorch for callers outside the wall: tensors in, tensors out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq::train {

/// Outputs of a one-input graph over `input` [n, ...] in evaluation mode, computed in batches (the graph's own batch
/// size when it is fixed) and joined along the first axis. `observe` sees every value of every batch. Throws nnq::Error
/// when the graph has several inputs or n is no multiple of a fixed batch.
std::vector<Tensor> run_graph(const Graph& graph, const Tensor& input,
                              const std::function<void(const std::string&, const Tensor&)>& observe = {});

}  // namespace nnq::train
