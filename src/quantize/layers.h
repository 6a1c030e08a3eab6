// What placing and freezing agree on: which nodes are layers with weights, and which operators pass codes through.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq::quantize {

/// LSTM or GRU, ONNX's or with a quantized state (domain ai.nnq).
bool is_recurrent(const Node& node);
/// The inputs that are weights: 1 of Conv, ConvTranspose, Gemm, MatMul; 1 and 2 of LSTM, GRU; 0 of Gather (a table of
/// rows); none of other operators.
std::vector<std::size_t> weight_inputs(const Node& node);
/// The initializer behind such an input, perhaps behind a Quantizer and what turns its rows back; nullptr without one.
const Tensor* weight_of(const Graph& graph, const Node& node, std::size_t input);

/// A node whose weight_inputs() are initializers (or Quantizers of some) and whose data are not.
bool is_layer(const Graph& graph, const Node& node);
/// Indices of all layers, in graph order.
std::vector<std::size_t> layers_of(const Graph& graph);

bool is_quantizer(const Node& node, const char* role);

/// Operators of one data input that move values without changing them, so that codes may pass: Flatten, Reshape,
/// Transpose, Squeeze, Unsqueeze, Identity, Dropout (which does nothing after training).
bool moves_values(const Node& node);
/// moves_values() or MaxPool: operators that commute with every non-decreasing function of one value.
bool commutes_with_quantizers(const Node& node);

/// Index of the first node, -1 when there is none.
std::int64_t find_node(const Graph& graph, const std::string& name);

/// Removes nodes nothing reads (graph outputs count as read) and initializers nothing reads. The graph is sorted.
void prune(Graph& graph);

}  // namespace nnq::quantize
