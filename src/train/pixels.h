// Images as an attacker sees them: pixels in 0..1. The network's own normalisation stands between them and its input.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

#include "nnq/dataset.h"

namespace nnq::train {

/// Pixels [n, C, H, W] in 0..1 of samples (bytes are divided by 255). Throws nnq::Error when float samples lie outside.
at::Tensor pixels_of(const Samples& samples, std::span<const std::int64_t> indices);

/// (pixel - mean[c]) / std[c] and back; forward is differentiable and gives the bits of Preprocessing::apply.
class Normalisation {
 public:
  explicit Normalisation(const Preprocessing& preprocessing);
  at::Tensor apply(const at::Tensor& pixels) const;
  /// input * std + mean, held in 0..1.
  at::Tensor undo(const at::Tensor& input) const;

 private:
  at::Tensor mean_, std_;  // [values]

  static at::Tensor along_channels(const at::Tensor& values, const at::Tensor& like);
};

}  // namespace nnq::train
