// nnq's side of a single layer: a program of `count` such layers behind one another, run by a session.
#pragma once

#include "contender.h"
#include "layer.h"

namespace nnq::peers {

/// Sums of the layer (NHWC), by a session; throws nnq::Error where the reference interpreter disagrees.
std::vector<std::int32_t> nnq_sums(const Layer& layer);

/// The layer in a chain of `count`, codes to codes, less a program without layers. Every layer has weights of its own
/// memory, as in a network.
Contender nnq_chain(const Layer& layer, int count);
/// One layer whose sums go out as int32.
Contender nnq_sums_only(const Layer& layer);
/// A fully connected layer in a whole program, floats in and floats out: quantize, layer, scale.
Contender nnq_float_to_float(const Layer& layer);

}  // namespace nnq::peers
