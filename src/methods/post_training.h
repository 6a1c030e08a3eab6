// Making a trained float network easier to quantize without training it. Torch-free: Graph in, Graph out.
#pragma once

#include <functional>
#include <string>

#include "nnq/graph.h"

namespace nnq::methods {

using Observe = std::function<void(const std::string& value, const Tensor& tensor)>;
/// Runs `graph` on the calibration data, batch after batch, and shows the values it makes.
using RunGraph = std::function<void(const Graph& graph, const Observe& observe)>;

/// Cross-layer equalisation (Nagel et al. 2019, arXiv:1906.04721, sec. 4.1): for each pair of layers with only a Relu,
/// pooling or flattening between them, moves scale between output channel i of the first and input channel i of the
/// second until both have about the same largest weight. Scales are powers of two, so the float network computes the
/// same values to the bit (unless they leave the normal float range). Fold BatchNormalization first
/// (nnq::fold_batch_norm); a pair with anything else between, or with shared weights, is left alone.
Graph equalize_layers(Graph graph);

/// Empirical bias correction (the same paper, sec. 4.2): layer after layer, adds to the bias of every layer with a
/// weight quantizer what its mean output a channel lost against `reference`, earlier layers being corrected already.
/// Costs one run of the calibration data a layer, and one of the reference. quantized: a placed, calibrated graph
/// (Executor::graph()); reference: the float graph it was placed on. `run` must simulate the quantizers of `quantized`
/// (evaluation mode). Throws nnq::Error when a layer is not in the reference.
Graph correct_biases(Graph quantized, const Graph& reference, const RunGraph& run);

}  // namespace nnq::methods
