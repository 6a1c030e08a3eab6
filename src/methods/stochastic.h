// Noise for stochastic methods: a function of the run's seed, the quantizer's name, the training step, the pass within
// the step, and the element's position, and of nothing else (not the number of threads).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace nnq::methods {

class NoiseStream {
 public:
  NoiseStream(std::uint64_t seed, std::string name) : seed_(seed), name_(std::move(name)) {}

  /// Uniform in [0, 1), float32, row-major in the shape of `like`; fresh at every call of one step.
  at::Tensor uniform(const at::Tensor& like, std::int64_t step);
  /// +1 with probability clip((x + 1)/2, 0, 1), else -1: stochastic binarization.
  at::Tensor signs(const at::Tensor& x, std::int64_t step);

 private:
  std::uint64_t seed_;
  std::string name_;
  std::int64_t step_ = -1;
  std::uint64_t pass_ = 0;
};

}  // namespace nnq::methods
