// Straight-through estimators as autograd functions (Bengio, Leonard, Courville 2013, arXiv:1308.3432).
#include "train/quantizer.h"
#include "train/records.h"

namespace nnq::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static at::Tensor forward(AutogradContext*, const at::Tensor&, const at::Tensor& q) { return q.alias(); }
  static variable_list backward(AutogradContext*, variable_list gradient) { return {gradient[0], at::Tensor()}; }
};

struct StraightThroughMasked : torch::autograd::Function<StraightThroughMasked> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor&, const at::Tensor& q, const at::Tensor& mask) {
    context->save_for_backward({mask});
    return q.alias();
  }
  static variable_list backward(AutogradContext* context, variable_list gradient) {
    return {gradient[0] * context->get_saved_variables()[0], at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor straight_through(const at::Tensor& x, const at::Tensor& q) {
  if (!records(x)) return q.detach();
  return StraightThrough::apply(x, q.detach());
}

at::Tensor straight_through_masked(const at::Tensor& x, const at::Tensor& q, const at::Tensor& mask) {
  if (!records(x)) return q.detach();
  return StraightThroughMasked::apply(x, q.detach(), mask.detach());
}

}  // namespace nnq::train
