// Models with operators of ONNX Runtime's own domain (com.microsoft), which nnq's graph does not know.
#pragma once

#include <string>

#include "layer.h"
#include "nnq/graph.h"

namespace nnq::peers {

/// The graph's one MatMul as MatMulNBits of 4 bits with the layer's weights, a scale for each `block` of them; accuracy
/// level 4 (int8 products).
std::string matmul_nbits(const Graph& product, const Layer& layer, std::int64_t block);

/// Every LSTM of the graph as DynamicQuantizeLSTM: int8 weights, one scale a tensor, codes made at run time.
std::string dynamic_quantize_lstm(const Graph& graph);

}  // namespace nnq::peers
