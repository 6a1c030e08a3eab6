// Encodings as the BitPlanes and Codebook operators of the deployable graph.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nnq/encoding.h"
#include "nnq/graph.h"

namespace nnq::quantize {

/// One weight of the new graph: the node that makes it, and what it stands for.
struct FrozenWeight {
  Encoding encoding;
  Encoding::IntegerForm integers;  // of encoding; ok: `value` holds these integers
  std::string value;               // integers, or the real levels where there is no integer form
  std::string real;                // real levels, made on demand
};

/// Appends the node that makes `weight` (integers where the encoding has them), named after `name`.
FrozenWeight add_weight(Graph& graph, Encoding encoding, const std::string& name);
/// The value with the real levels, bit for bit those of Encoding::decode().
std::string real_weight(Graph& graph, FrozenWeight& weight);

/// Bounds of all partial sums of w * v over one output of a layer, whatever the order: lo <= sum <= hi.
struct SumBounds {
  double lo = 0, hi = 0;
};
/// Over all outputs of `layer` for inputs v in lo .. hi (padding adds zeros).
SumBounds bounds_of_sums(const Node& layer, const FrozenWeight& weight, double lo, double hi);

}  // namespace nnq::quantize
