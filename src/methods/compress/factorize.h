// Layers of low rank become two or three smaller layers (DeepTwist sheet, "Deploying it"; Kim et al. 2016,
// arXiv:1511.06530 for Tucker-2). Torch-free header.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq::methods {

struct FactorizedLayer {
  std::string layer;
  std::int64_t weights_before = 0, weights_after = 0;  // equal: splitting would not save any, it stays one layer
};

/// Splits every Conv (one group) and Gemm whose weight has a Quantizer deep_twist with projection svd or tucker2:
///   svd      Gemm [r, n], Gemm [m, r]; Conv: r kernels of the layer's size and place, then 1x1 to the m outputs
///   tucker2  1x1 to rank_inputs channels, the layer's kernel between few channels, 1x1 to the outputs
/// The last of them keeps the layer's name, bias and output. What was quantized becomes float; the function is that of
/// the projected weights up to rounding. Throws nnq::Error naming a layer that cannot be split, or when there is none.
Graph factorize_layers(Graph graph, std::vector<FactorizedLayer>& report);

}  // namespace nnq::methods
