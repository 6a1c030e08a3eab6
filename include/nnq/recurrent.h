// Passes for recurrent networks. Each lives in src/graph/passes/<name>.cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq {

/// RNN, LSTM or GRU, ONNX's or with a quantized state (domain ai.nnq).
bool is_recurrent(const Node& node);

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

}  // namespace nnq
