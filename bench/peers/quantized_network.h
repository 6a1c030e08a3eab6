// A float network as nnq's quantized network, and as the QDQ model that ONNX Runtime's own quantizer would write: both
// from the same ONNX file and the same ranges. Weights are not trained for it: only times are of interest.
#pragma once

#include <map>
#include <string>

#include "nnq/graph.h"

namespace nnq::peers {

struct Range {
  float min = 0, max = 0;  // min <= 0 <= max
};
using Ranges = std::map<std::string, Range>;

/// Smallest and largest value of every float value of the graph on these inputs, by the reference interpreter.
Ranges observed_ranges(const Graph& graph, const std::map<std::string, Tensor>& inputs);

struct NetworkBits {
  int weights = 8, activations = 8;
  bool ends_and_shortcuts_8 = true;  // first and last layer, and layers named *shortcut*, stay at 8 bits
};

/// Frozen (docs/quantized-graph.md): places quantizers and freezes with uniform scales of the ranges, a scale a channel
/// of the weights; 1 bit: signs.
Graph nnq_network(const Graph& graph, const Ranges& ranges, const NetworkBits& bits, std::string* reduced = nullptr);

/// A graph of LSTM layers with weights of `weight_bits` by rows; states and inputs float, sums of signs found by
/// alternating minimisation (as the weights then are) or 8 bits with a scale a vector.
enum class States { real, alternating, uniform };
Graph nnq_recurrent(const Graph& graph, int weight_bits, States states);

/// QuantizeLinear / DequantizeLinear around Conv, Gemm, Add, pooling and Flatten: codes uint8 a tensor, weights int8 a
/// channel, bias int32. `weight_bits` 7 is what ONNX Runtime advises (reduce_range) where the CPU has no VNNI.
Graph qdq_network(const Graph& graph, const Ranges& ranges, int weight_bits);

}  // namespace nnq::peers
