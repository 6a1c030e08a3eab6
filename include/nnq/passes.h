// Graph passes: functions Graph -> Graph. Each lives in src/graph/passes/<name>.cpp.
#pragma once

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
/// The clean-up every import gets: constants, no-ops, dead nodes, Conv+Pad. Semantics unchanged.
Graph simplify(Graph graph);

}  // namespace nnq
