#include "train/carried_state.h"

#include <algorithm>

#include "nnq/error.h"

namespace nnq::train {

at::Tensor initial_state(const Graph& graph, const std::string& input, std::int64_t batch) {
  const auto it = std::find_if(graph.inputs.begin(), graph.inputs.end(),
                               [&](const GraphInput& candidate) { return candidate.name == input; });
  NNQ_CHECK(it != graph.inputs.end() && it->type.ranked && it->type.shape.size() == 3 && it->type.shape[2].known(),
            "is no state input [1, N, H] of the network", "'" + input + "'");
  return at::zeros({1, batch, it->type.shape[2].value});
}

std::vector<std::size_t> state_outputs(const Graph& graph, const std::vector<StatePair>& pairs) {
  std::vector<std::size_t> numbers;
  for (const StatePair& pair : pairs) {
    const auto it = std::find(graph.outputs.begin(), graph.outputs.end(), pair.output);
    NNQ_CHECK(it != graph.outputs.end(), "is no output of the network, but its metadata says so",
              "'" + pair.output + "'");
    numbers.push_back(static_cast<std::size_t>(it - graph.outputs.begin()));
  }
  return numbers;
}

}  // namespace nnq::train
