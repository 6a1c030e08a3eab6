#include "train/surrogate.h"

#include <ATen/ATen.h>

#include "train/quantizer.h"
#include "train/records.h"

namespace nnq::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// dx = clamp(dq * slope, -1, 1).
struct ClippedThrough : torch::autograd::Function<ClippedThrough> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor&, const at::Tensor& q, double slope) {
    context->saved_data["slope"] = slope;
    return q.alias();
  }
  static variable_list backward(AutogradContext* context, variable_list gradient) {
    const double slope = context->saved_data["slope"].toDouble();
    return {(gradient[0] * slope).clamp_(-1, 1), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor clipped_through(const at::Tensor& x, const at::Tensor& q) {
  return records(x) ? ClippedThrough::apply(x, q.detach(), 1.0) : q.detach();
}

at::Tensor sign_through(const at::Tensor& x, const at::Tensor& q, const Surrogate& surrogate) {
  if (!records(x)) return q.detach();
  if (surrogate.kind == SurrogateKind::clip) return clipped_through(x, q);
  const at::Tensor plain = x.detach();
  if (surrogate.kind == SurrogateKind::smooth)
    return straight_through_masked(x, q, (1 - at::tanh(plain * surrogate.beta).square()) * surrogate.beta);
  return straight_through_masked(x, q, plain.abs().le(1).to(at::kFloat));
}

at::Tensor steps_through(const at::Tensor& x, const at::Tensor& q, double scale, double low, double high,
                         const Surrogate& surrogate) {
  if (!records(x)) return q.detach();
  if (surrogate.kind == SurrogateKind::clip) return ClippedThrough::apply(x, q.detach(), 1 / scale);
  const at::Tensor at_steps = x.detach() / scale;
  const at::Tensor inside = at_steps.ge(low).logical_and_(at_steps.le(high)).to(at::kFloat);
  return straight_through_masked(x, q, inside.div_(scale));
}

}  // namespace nnq::train
