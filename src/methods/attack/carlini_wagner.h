// The terms of Carlini and Wagner's objective, for tests with the sheet's numbers.
#pragma once

#include <ATen/ATen.h>

namespace nnq::methods {

/// x' = (tanh(w + atanh((2x - 1) * 0.999999)) + 1) / 2: always in 0..1, w = 0 gives x.
at::Tensor image_in_tanh_space(const at::Tensor& x, const at::Tensor& w);
/// max(0, score of the label - max of the others + kappa), [n].
at::Tensor attack_term(const at::Tensor& scores, const at::Tensor& labels, double kappa);

}  // namespace nnq::methods
