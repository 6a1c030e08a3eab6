// Layers whose integer sums could leave the range in which they are exact.
#pragma once

#include <vector>

#include "nnq/graph.h"
#include "nnq/quantize.h"

namespace nnq::recipe {

/// Rules to put behind `rules`: fewer weight bits for every layer whose sums, with the weights it has now, could come
/// near 2^24, beyond which freezing refuses it. Says on stderr which. Empty when no layer is that wide.
std::vector<LayerRule> rules_of_wide_layers(const Graph& graph, const std::vector<LayerRule>& rules);

}  // namespace nnq::recipe
