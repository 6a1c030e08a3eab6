// Vectors quantized on line, in training as everywhere (pack/vector_code.h).
#pragma once

#include <string>

#include "nnq/node.h"
#include "train/fused_recurrent.h"

namespace nnq::train {

/// What quantizes the rows of [N, H] as the attributes PREFIXbits, PREFIXcycles and PREFIXuniform of `node` say
/// (docs/quantized-graph.md); an Error when they are out of range. Its gradient is the caller's.
StateQuantizer vector_quantizer(const Node& node, const std::string& prefix);

}  // namespace nnq::train
