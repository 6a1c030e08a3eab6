// The gradient quantizer of DoReFa-Net, with its noise given: for the numbers of its sheet.
#pragma once

#include <ATen/ATen.h>

namespace nnq::methods {

/// f(g) = 2 m [quantize_k(g / (2 m) + 1/2 + sigma / (2^k - 1)) - 1/2], m = max |g| of each sample (axis 0), argument
/// clipped to [0, 1]; sigma in [-1/2, 1/2), the shape of g. Samples of zeros stay zero.
at::Tensor dorefa_quantize_gradient(const at::Tensor& gradient, int bits, const at::Tensor& sigma);

}  // namespace nnq::methods
