// Optimizers, with their state in the open so that checkpoints are plain tensors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/executor.h"
#include "train/trainer.h"

namespace nnq::train {

class Optimizer {
 public:
  /// Throws nnq::Error for an unknown kind or values out of range.
  explicit Optimizer(const OptimizerOptions& options);
  ~Optimizer();
  Optimizer(Optimizer&&) noexcept;

  /// One step from the gradients of the trainable parameters (those without one stay), then the weight quantizers'
  /// after_step. The rate of a parameter is learning_rate * its learning_rate_scale (* state_learning_rate for
  /// quantizer state). Results do not depend on the number of threads.
  void step(const std::vector<Parameter>& parameters, double learning_rate);

  /// Steps done, and the state tensors, named "<what>/<parameter>".
  std::int64_t steps() const;
  std::map<std::string, Tensor> state() const;
  void restore(std::int64_t steps, const std::map<std::string, Tensor>& state);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Euclidean norm of all gradients as one vector; scales them to `max_norm` when it is larger and max_norm > 0. Throws
/// nnq::Error naming the parameter when a gradient is not finite.
double clip_gradients(const std::vector<Parameter>& parameters, double max_norm);

}  // namespace nnq::train
