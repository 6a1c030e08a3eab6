// Interactions of channels as part of a graph (CI-BCNN, Wang et al., CVPR 2019): p + sum of stairs of the teachers' p,
// written with operators that are there, so that training, freezing and every runtime compute the same integers.
// Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "methods/search/channel_graph.h"
#include "nnq/graph.h"

namespace nnq::methods {

/// One binary convolution: its popcount sums lie in -range .. range, and corrections are multiples of unit.
struct LayerInteractions {
  std::string layer;  // node name
  std::int64_t range = 0, unit = 1;
  ChannelGraph graph;
};

/// The convolutions of a training graph whose outputs are popcount sums: weights and inputs are the signs -1 and +1
/// (method bnn), one group, no bias. Each with an empty graph.
std::vector<LayerInteractions> interaction_layers(const Graph& graph, double unit_share,
                                                  const ChannelGraph::Options& options);

/// `graph` with the interactions of these layers between each convolution and its readers:
///   v = Quantize(p - 1 / (2 |K|), 2 range / |K|), the interval of each sum, counted from the middle one;
///   p + Conv1x1(v, unit * signs of the edges), the signs packed as two bit planes.
/// For integers p this is Stair::delta to the bit. Quantize passes no gradient: that of p~ goes to p alone, as in the
/// paper. A layer without edges stays as it is.
Graph with_interactions(Graph graph, const std::vector<LayerInteractions>& layers);

/// Whether a graph has interactions.
bool has_interactions(const Graph& graph);

}  // namespace nnq::methods
