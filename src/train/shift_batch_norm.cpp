#include "train/shift_batch_norm.h"

#include <vector>

#include "train/ap2.h"
#include "train/element_loops.h"

namespace nnq::train {

at::Tensor ap2(const at::Tensor& x) {
  return map_floats(x.detach(), [](const float* in, float* out, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = ap2(in[i]);
  });
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::vector<std::int64_t> axes_but_channel(const at::Tensor& x) {
  std::vector<std::int64_t> axes{0};
  for (std::int64_t d = 2; d < x.dim(); ++d) axes.push_back(d);
  return axes;
}

at::Tensor shaped(const at::Tensor& parameter, const at::Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = parameter.numel();
  return parameter.reshape(shape);
}

/// dx = AP2(gamma) s (dy - mean(dy) - Ct s^2 mean(Ct dy)), Ct = AP2(centred);  dgamma = sum(AP2(xh) dy), xh = centred
/// s; dbeta = sum(dy). With AP2 replaced by the identity this is the gradient of ordinary batch normalization.
struct ShiftBatchNorm : torch::autograd::Function<ShiftBatchNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gamma,
                            const at::Tensor& beta, const at::Tensor& mean, const at::Tensor& inverse_std,
                            double epsilon, double momentum) {
    const std::vector<std::int64_t> axes = axes_but_channel(x);
    const at::Tensor average = at::mean(x, axes, true), centred = x - average, rounded = ap2(centred);
    const at::Tensor inverse = at::rsqrt(at::mean(centred * rounded, axes, true) + epsilon), s = ap2(inverse);
    at::Tensor running_mean = mean, running_inverse = inverse_std;
    running_mean.mul_(momentum).add_(average.reshape({-1}), 1 - momentum);
    running_inverse.mul_(momentum).add_(inverse.reshape({-1}), 1 - momentum);
    context->save_for_backward({centred, s, shaped(ap2(gamma), x)});
    return (centred * s) * shaped(ap2(gamma), x) + shaped(beta, x);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &centred = saved[0], &s = saved[1], &gamma = saved[2], &dy = gradients[0];
    const std::vector<std::int64_t> axes = axes_but_channel(centred);
    const at::Tensor rounded = ap2(centred);
    const at::Tensor dx =
        gamma * s * (dy - at::mean(dy, axes, true) - rounded * (s * s) * at::mean(rounded * dy, axes, true));
    const at::Tensor dgamma = at::sum(ap2(centred * s) * dy, axes), dbeta = at::sum(dy, axes);
    return {dx, dgamma, dbeta, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor shift_batch_norm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta, at::Tensor& mean,
                            at::Tensor& inverse_std, double epsilon, double momentum) {
  return ShiftBatchNorm::apply(x, gamma, beta, mean, inverse_std, epsilon, momentum);
}

}  // namespace nnq::train
