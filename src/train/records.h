// Whether autograd is listening.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

namespace nnq::train {

/// Whether what is made from x now will be differentiated.
inline bool records(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

}  // namespace nnq::train
