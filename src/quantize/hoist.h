// Before freezing: activation quantizers go above what they commute with, so that pools and concats work on codes.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "nnq/graph.h"

namespace nnq::quantize {

/// Moves every activation Quantizer above a MaxPool, reshape, constant Pad or Concat whose output nothing else reads.
/// Exact, since quantizing is a non-decreasing function of each element. A Quantizer copied for several inputs of a
/// Concat names its original in the attribute "shared_with". `value_of` gives the quantized value of a constant (for
/// Pad).
void hoist_quantizers(Graph& graph, const std::function<float(const Node& quantizer, float x)>& value_of);

}  // namespace nnq::quantize
