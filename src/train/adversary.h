// Adversarial training: part of each batch is perturbed against the network as it is at that step.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "train/attack.h"
#include "train/executor.h"
#include "train/pixels.h"
#include "train/trainer.h"

namespace nnq::train {

class Adversary {
 public:
  /// Throws nnq::Error for options that do not fit. Keeps references to executor and options.
  Adversary(Executor& executor, const Preprocessing& preprocessing, const TrainOptions& options);
  ~Adversary();

  /// `images` (normalised) with the first adversarial_share of them replaced by adversarial ones. The attack sees the
  /// network in inference mode (its running statistics, no dropout, no draws) and moves away from the network's own
  /// prediction, so that it cannot leak labels. A function of the weights, seed and step.
  at::Tensor perturb(const at::Tensor& images, std::int64_t step);

 private:
  class Target;
  const TrainOptions& options_;
  Normalisation normalisation_;
  std::unique_ptr<Target> target_;
  std::unique_ptr<Attack> attack_;
};

}  // namespace nnq::train
