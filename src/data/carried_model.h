// A language model as measure_perplexity() runs it: token numbers and carried state in, logits and state out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq {

class CarriedModel {
 public:
  /// Pairs of state inputs and outputs are those of the metadata (nnq/recurrent.h). Throws nnq::Error
  /// (where: `where`) unless the model takes token numbers int64 [time, batch] and nothing else but state [1, N, H].
  CarriedModel(std::vector<GraphInput> inputs, std::vector<std::string> outputs,
               const std::map<std::string, std::string>& metadata, const std::string& where);

  /// All inputs in the model's order; an empty state is zeros.
  std::vector<Tensor> inputs(const Tensor& tokens, const std::vector<Tensor>& state) const;
  /// The logits of a run's outputs; `state` becomes the state behind the run.
  Tensor take(const std::vector<Tensor>& outputs, std::vector<Tensor>& state) const;

 private:
  std::vector<GraphInput> inputs_;
  std::vector<std::size_t> state_outputs_;  // by input, the first left out
};

}  // namespace nnq
