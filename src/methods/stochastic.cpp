#include "methods/stochastic.h"

#include <ATen/Parallel.h>

#include "core/random.h"

namespace nnq::methods {

at::Tensor NoiseStream::uniform(const at::Tensor& like, std::int64_t step) {
  if (step != step_) {
    step_ = step;
    pass_ = 0;
  }
  const Random random(mix64(seed_ ^ mix64(static_cast<std::uint64_t>(step))), hash64(name_, pass_++));
  at::Tensor noise = at::empty(like.sizes(), at::kFloat);
  float* out = noise.data_ptr<float>();
  at::parallel_for(0, noise.numel(), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = random.uniform_at(static_cast<std::uint64_t>(i));
  });
  return noise;
}

at::Tensor NoiseStream::signs(const at::Tensor& x, std::int64_t step) {
  const at::Tensor p = ((x.detach() + 1) / 2).clamp_(0, 1);
  return p.gt(uniform(x, step)).to(at::kFloat).mul_(2).sub_(1);
}

}  // namespace nnq::methods
