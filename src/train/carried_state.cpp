#include "train/carried_state.h"

#include <algorithm>

#include "nnq/error.h"
#include "train/executor.h"

namespace nnq::train {
namespace {

/// Zeros [1, batch, H] for a state input of the graph.
at::Tensor initial_state(const Graph& graph, const std::string& input, std::int64_t batch) {
  const auto it = std::find_if(graph.inputs.begin(), graph.inputs.end(),
                               [&](const GraphInput& candidate) { return candidate.name == input; });
  NNQ_CHECK(it != graph.inputs.end() && it->type.ranked && it->type.shape.size() == 3 && it->type.shape[2].known(),
            "is no state input [1, N, H] of the network", "'" + input + "'");
  return at::zeros({1, batch, it->type.shape[2].value});
}

}  // namespace

CarriedState::CarriedState(const Graph& graph, std::int64_t batch) : pairs_(state_pairs(graph.metadata)) {
  for (const StatePair& pair : pairs_) {
    const auto it = std::find(graph.outputs.begin(), graph.outputs.end(), pair.output);
    NNQ_CHECK(it != graph.outputs.end(), "is no output of the network, but its metadata says so",
              "'" + pair.output + "'");
    outputs_.push_back(static_cast<std::size_t>(it - graph.outputs.begin()));
    start_.push_back(initial_state(graph, pair.input, batch));
  }
}

void CarriedState::add_to(std::map<std::string, at::Tensor>& inputs) const {
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    const auto it = now_.find(pairs_[i].input);
    inputs[pairs_[i].input] = it != now_.end() ? it->second : start_[i];
  }
}

void CarriedState::take_from(const std::vector<at::Tensor>& outputs) {
  for (std::size_t i = 0; i < pairs_.size(); ++i) now_[pairs_[i].input] = outputs[outputs_[i]].detach();
}

void CarriedState::save(const std::string& prefix, std::map<std::string, Tensor>& tensors) const {
  for (const auto& [name, state] : now_) tensors[prefix + name] = from_torch(state);
}

void CarriedState::restore(const std::string& prefix, const std::map<std::string, Tensor>& tensors) {
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix)) now_[name.substr(prefix.size())] = to_torch(tensor);
}

}  // namespace nnq::train
