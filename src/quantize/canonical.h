// Layers in the form in which output channels are the first axis of the weight.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "nnq/graph.h"

namespace nnq::quantize {

/// Gemm of x with a [K, N] weight becomes Gemm with transB = 1 and the transposed weight; MatMul of a matrix with a
/// [K, N] weight becomes such a Gemm. Only for a weight nobody else reads. Values are unchanged.
void put_output_channels_first(Graph& graph, Node& node, const std::map<std::string, ValueType>& types);

/// Weight `input` of an LSTM, GRU or MatMul as a matrix with one row for each output, so that quantizers scale each row
/// on its own, and a node that turns it back behind them: [1, G H, I] of LSTM and GRU is stored as [G H, I], a [K, N]
/// of MatMul as [N, K]. Returns the stored initializer's only reader and input number: where a Quantizer goes. Weights
/// of other operators, and those somebody else reads too, stay as they are. Values are unchanged.
std::pair<std::string, std::size_t> put_rows_first(Graph& graph, const std::string& node, std::size_t input);

/// BatchNormalization behind `layer` (past pooling and reshapes) becomes ai.nnq::ShiftBatchNormalization.
void use_shift_batch_norm(Graph& graph, const std::string& layer);

}  // namespace nnq::quantize
