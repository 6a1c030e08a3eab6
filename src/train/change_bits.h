// Lowering the bits of placed quantizers between two training stages (progressive quantization). Torch-free header.
#pragma once

#include <cstdint>
#include <string>

#include "nnq/graph.h"

namespace nnq::train {

struct BitsChange {
  std::string layers = "*";          // as in a rule: *, first, last, or a pattern of layer names
  std::string method = {};           // quantizers of this method; empty: of every method
  int weights = 0, activations = 0;  // 0: stay as they are
};

/// The graph with other bits on the chosen layers' quantizers. Latent weights stay, and so does quantizer state, fitted
/// by its method (Quantizer::carry_state). The quantizer of the network's input stays. Throws nnq::Error when nothing
/// matches, a method does not serve the bits, or its state cannot be carried.
Graph change_bits(Graph graph, const BitsChange& change, std::uint64_t seed);
/// The same for a look ahead, on quantizers that have no state to carry yet: throws when nothing matches or a method
/// does not serve the bits.
Graph change_bits_ahead(Graph graph, const BitsChange& change);

}  // namespace nnq::train
