// Carried state (nnq/recurrent.h) on LibTorch.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "nnq/graph.h"
#include "nnq/recurrent.h"

namespace nnq::train {

/// Zeros [1, batch, H] for a state input of the graph.
at::Tensor initial_state(const Graph& graph, const std::string& input, std::int64_t batch);
/// The graph outputs (their numbers) that hold the states behind a run, in the order of `pairs`.
std::vector<std::size_t> state_outputs(const Graph& graph, const std::vector<StatePair>& pairs);

}  // namespace nnq::train
