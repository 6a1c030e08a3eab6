// Inner values of a student held to those of its teacher, layer by layer. Torch-free header.
#pragma once

#include <map>
#include <string>

#include "nnq/graph.h"
#include "train/executor.h"

namespace nnq::train {

/// Hints (FitNets, Romero et al. 2015, arXiv:1412.6550, sec. 2.2) without a regressor: student and teacher have layers
/// of the same names, as a network has before and after it was quantized. A few epochs of fine-tuning gain most from
/// it: every layer has its own target instead of a gradient that came through all quantizers behind it.
class LayerMatching {
 public:
  /// The nodes of both graphs whose name matches `glob`. Throws nnq::Error when there is none.
  LayerMatching(const std::string& glob, const Graph& student, const Graph& teacher);

  /// Keeps what the forward pass of the student (with its history) and of the teacher makes of these layers.
  Executor::Observer watch_student();
  Executor::Observer watch_teacher();

  /// Mean over the layers of sum (s - t)^2 / sum t^2 over a batch, t without gradient; forgets both sides.
  /// Throws nnq::Error naming the layer whose two sides differ in shape.
  at::Tensor loss();

 private:
  struct Sides {
    std::string student, teacher;  // values
  };
  std::map<std::string, Sides> layers_;  // by node name
  std::map<std::string, at::Tensor> student_, teacher_;
};

}  // namespace nnq::train
