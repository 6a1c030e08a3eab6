// Files older than opset 7: rewritten in the forms of opset 7.
#pragma once

#include "nnq/graph.h"

namespace nnq::onnx_format {

/// Rewrites the (sorted) nodes of a graph of opset 1 to 6 in the forms of opset 7 and sets the opset. Old models run
/// as at inference: is_test is taken as 1. Throws nnq::Error naming the node where an old form has no equivalent.
void upgrade_to_opset_7(Graph& graph);

}  // namespace nnq::onnx_format
