// Which values of a graph cannot be negative.
#pragma once

#include <set>
#include <string>

#include "nnq/graph.h"

namespace nnq::quantize {

/// Values known to be >= 0 whatever the weights: behind Relu, Clip with min >= 0, Sigmoid, Softmax, ..., and what
/// pools, sums and moves such values. A graph input counts when the model's metadata says its pixels are only divided
/// by 255.
std::set<std::string> non_negative_values(const Graph& graph);

/// True when the metadata states pixels in [0, 1]: mean 0, standard deviation 1.
bool has_plain_pixels(const Graph& graph);

}  // namespace nnq::quantize
