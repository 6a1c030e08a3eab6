// Carried state (nnq/recurrent.h) on LibTorch.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "nnq/graph.h"
#include "nnq/recurrent.h"

namespace nnq::train {

/// The recurrent state of a network that reads a text in steps: what one step hands to the next, for `batch` streams
/// side by side. Holds nothing for a network that carries nothing.
class CarriedState {
 public:
  /// Zeros to start from. Throws nnq::Error when the network's metadata name inputs or outputs that it does not have.
  CarriedState(const Graph& graph, std::int64_t batch);

  std::size_t size() const { return pairs_.size(); }
  /// Adds the state behind the last step to a network's inputs.
  void add_to(std::map<std::string, at::Tensor>& inputs) const;
  /// Keeps what `outputs` of the network, in its order, hand on; without their gradient.
  void take_from(const std::vector<at::Tensor>& outputs);
  /// Back to zeros: the text begins again.
  void clear() { now_.clear(); }

  /// "<prefix><input>" for a checkpoint.
  void save(const std::string& prefix, std::map<std::string, Tensor>& tensors) const;
  void restore(const std::string& prefix, const std::map<std::string, Tensor>& tensors);

 private:
  std::vector<StatePair> pairs_;
  std::vector<std::size_t> outputs_;  // of the graph, by pair
  std::vector<at::Tensor> start_;
  std::map<std::string, at::Tensor> now_;  // by input; empty: at the start
};

}  // namespace nnq::train
