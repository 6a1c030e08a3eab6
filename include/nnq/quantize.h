// Placing quantizers in a graph and freezing a trained graph to codes. Torch-free: what the quantizers compute while
// they train is behind the wall (src/train/quantizer.h); here they are nodes ai.nnq::Quantizer.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nnq/encoding.h"
#include "nnq/graph.h"

namespace nnq {

/// What to do to one layer's weights or activations.
struct QuantizerSpec {
  std::string method;                           // registry id: "uniform", "dorefa", "bnn"; empty = stay float
  int bits = 8;                                 // 1..8
  std::map<std::string, Attribute> parameters;  // the method's own, e.g. {"per_channel", 1}
};

struct LayerRule {
  std::string glob;  // node name pattern: "*", "layer1.*"; "first" / "last" are also allowed
  QuantizerSpec weights, activations, gradients;
};

/// Rules are applied in order, later ones win. `first` and `last` mean the first/last layer with weights.
struct PlacementOptions {
  std::vector<LayerRule> rules;
  bool quantize_adds = false;  // one shared encoding on both inputs of residual adds (integer residual paths)
};

/// Inserts ai.nnq::Quantizer nodes: on the weight of each chosen Conv/ConvTranspose/Gemm/MatMul, on its input (one
/// quantizer a value, shared by all its readers), and, for gradients, on its output. Node names:
/// "<layer>.weight_quantizer",
/// "<value>.quantizer". State initializers are added by the method (see src/train/quantizer.h).
Graph place_quantizers(Graph graph, const PlacementOptions& options);

/// A trained activation quantizer in the form that deploys, one of three:
///   uniform  v = clamp(rint((x - offset) / scale), min, max), integers; value = step * v (usually step == scale)
///   sign     v = x >= 0 ? +1 : -1; value = step * v
///   levels   v = number of `thresholds` passed (x >= t), an integer 0 .. 2^bits - 1; value = levels[v]
struct ActivationCode {
  bool sign = false;
  float scale = 1;
  int min = 0, max = 255;
  int bits = 8;
  float step = 1;
  float offset = 0;               // uniform: what is subtracted first (QIL: where the interval begins)
  std::vector<float> thresholds;  // levels: ascending, 2^bits - 1 of them; empty: not this form
  std::vector<float> levels;      // levels: the value of each code, 2^bits of them, ascending
};

/// What freeze() asks of the trained quantizers, by Quantizer node.
struct FreezeCallbacks {
  std::function<Encoding(const Node& quantizer, const Tensor& weight)> weight;
  std::function<ActivationCode(const Node& quantizer)> activation;
};

/// Turns a graph with Quantizer nodes into the deployable graph of docs/quantized-graph.md: weights packed as codes,
/// integer convolutions on codes, BatchNormalization and scales folded into one Affine per layer. Evaluating it,
/// lowering it and running it in ONNX Runtime give the same integers.
Graph freeze(Graph graph, const FreezeCallbacks& callbacks);

/// True for the operators of the deployable graph that make a weight of packed codes: BitPlanes, Codebook,
/// BucketCodebook. Their first input holds the planes.
bool unpacks_weight(const Node& node);

}  // namespace nnq
