// Recurrent states and vectors that are quantized on line: what a rule may ask for, and the attributes that say it.
#pragma once

#include <string>

#include "nnq/quantize.h"

namespace nnq::quantize {

/// Refuses (Error) a method that quantizes no state: alternating does, uniform with 8 bits; and a layer that takes
/// none: only plain forward ones do (docs/quantized-graph.md).
void check_state(const Node& recurrent, const QuantizerSpec& spec);

/// PREFIXbits, PREFIXuniform and PREFIXcycles of a node that quantizes vectors on line, for a checked `spec`.
void set_vector_code(Node& quantizes, const std::string& prefix, const QuantizerSpec& spec);

}  // namespace nnq::quantize
