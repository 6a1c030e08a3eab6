// Graph passes: functions Graph -> Graph. Each lives in src/graph/passes/<name>.cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq {

/// Evaluates nodes whose inputs are all initializers (results above `max_bytes` are left alone).
Graph fold_constants(Graph graph, std::size_t max_bytes = 64u << 20);
/// Removes nodes and initializers nothing reads.
Graph remove_dead_nodes(Graph graph);
/// Removes Identity, inference Dropout, Cast to the same type, and other nodes that change nothing.
Graph remove_no_ops(Graph graph);
/// Conv/ConvTranspose/Gemm followed by BatchNormalization becomes one node (float: weights are rescaled).
Graph fold_batch_norm(Graph graph);
/// Conv behind a constant zero Pad of spatial axes takes the padding as its own.
Graph fuse_conv_pad(Graph graph);
/// MatMul + Add of a vector becomes Gemm where ranks allow.
Graph fuse_matmul_add(Graph graph);
/// Recurrent layers whose state starts at zero read it from graph inputs and hand it out as graph outputs behind the
/// others, so that a text can be run piece by piece. Each pair stands in the metadata: "nnq.state.<input>" = output.
/// Layers that read a graph input already are only noted there. Throws nnq::Error for a layer that does not run
/// forward.
Graph carry_state(Graph graph);

/// Prefix of the metadata keys of carried state.
inline const std::string kStateKey = "nnq.state.";
struct StatePair {
  std::string input, output;
};
/// The pairs that a model's metadata names, sorted by input.
std::vector<StatePair> state_pairs(const std::map<std::string, std::string>& metadata);

/// Dropout on the non-recurrent connections: what goes into the first recurrent layer and what comes out of each
/// (Zaremba et al. 2014, arXiv:1409.2329). The state that goes from step to step is never dropped.
Graph add_dropout(Graph graph, float ratio);
/// Takes away what add_dropout() put in.
Graph remove_dropout(Graph graph);

/// The clean-up every import gets: constants, no-ops, dead nodes, Conv+Pad. Semantics unchanged.
Graph simplify(Graph graph);

}  // namespace nnq
