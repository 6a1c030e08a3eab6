// Single layers in ONNX Runtime: a chain of `count` in one graph, less an empty graph.
#pragma once

#include "contender.h"
#include "layer.h"
#include "onnxruntime.h"

namespace nnq::peers {

enum class OrtForm { real, u8s8, s8s8 };

/// Conv / MatMul, or QLinearConv / QLinearMatMul with codes out; every layer has weights of its own. One layer is first
/// compared with `sums` (NHWC).
Contender onnxruntime(OnnxRuntime& runtime, const Layer& layer, OrtForm form, int count,
                      const std::vector<std::int32_t>& sums);

/// MatMulNBits (blocks of `block` weights along the input, `bits` 4, int8 accuracy level), floats in and out: what ONNX
/// Runtime has for few-bit weights. Checked against MatMul of the same weights.
Contender onnxruntime_nbits(OnnxRuntime& runtime, const Layer& layer, int block);

/// MatMul of floats as DynamicQuantizeLinear + MatMulInteger, which ONNX Runtime fuses: int8 with floats in and out.
Contender onnxruntime_dynamic(OnnxRuntime& runtime, const Layer& layer);

}  // namespace nnq::peers
