// Layers in the form in which output channels are the first axis of the weight.
#pragma once

#include <map>
#include <string>

#include "nnq/graph.h"

namespace nnq::quantize {

/// Gemm of x with a [K, N] weight becomes Gemm with transB = 1 and the transposed weight; MatMul of a matrix with a
/// [K, N] weight becomes such a Gemm. Only for a weight nobody else reads. Values are unchanged.
void put_output_channels_first(Graph& graph, Node& node, const std::map<std::string, ValueType>& types);

/// BatchNormalization behind `layer` (past pooling and reshapes) becomes ai.nnq::ShiftBatchNormalization.
void use_shift_batch_norm(Graph& graph, const std::string& layer);

}  // namespace nnq::quantize
