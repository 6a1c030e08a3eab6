// The binarized layers of A. Galloway, G. W. Taylor, M. Moussa, "Attacking Binarized Neural Networks", ICLR 2018,
// arXiv:1711.00449 (sec. 4 and the authors' code): network B without a scale, C with one trained scalar a layer, S with
// weights drawn at every pass. The paper multiplies the ReLU behind the convolution by the scalar; s * relu(x) =
// relu(s * x) for s > 0, so here it stands on the weights.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "methods/parameters.h"
#include "methods/stochastic.h"
#include "methods/support.h"
#include "nnq/error.h"
#include "train/fused_quantize.h"
#include "train/surrogate.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kLeastScale = 1e-6;  // a scale that crossed 0 would turn every sign around

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "scaled_bnn",
      .title = "Binary layers with a trained scalar (networks B, C and S of Attacking BNNs)",
      .paper = "Galloway, Taylor, Moussa, 2018, arXiv:1711.00449",
      .kind = "quantizer",
      .encoding = "bit planes",
      .roles = "weights 1, activations 1",
      .parameters = {
          {"scale", "trained", "", "trained, none", "weights: +-s with one trained s a layer (C), or +-1 (B)"},
          {"init", "0.05", "", "1e-6..1000", "weights: s where training starts"},
          {"gradient", "clip", "", "clip, mask",
           "through sign: the gradient's value cut to [-1, 1] (the paper's code), or 0 where |x| > 1 (BNN)"},
          {"stochastic", "0", "", "0, 1", "weights: in training, +s with probability clip((w + 1)/2, 0, 1) (S)"},
          {"replaces_activation", "0", "", "0, 1", "placement: a Relu or Clip before the sign is left out"},
      }};
  return about;
}

/// y = s b, b = +-1 drawn from or the sign of w. dy/dw: the gradient that reaches b, s dL/dy, cut to [-1, 1] or masked;
/// dy/ds = b.
struct ThroughSign : torch::autograd::Function<ThroughSign> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& w, const at::Tensor& s, const at::Tensor& b,
                            bool clip) {
    context->save_for_backward({w, s, b});
    context->saved_data["clip"] = clip;
    return b * s;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor w = saved[0].detach(), s = saved[1].detach(), &b = saved[2], &g = gradients[0];
    at::Tensor for_w = g * s;
    if (context->saved_data["clip"].toBool()) {
      for_w.clamp_(-1, 1);
    } else {
      for_w.mul_(w.abs().le(1));
    }
    const at::Tensor for_s = at::full(s.sizes(), sum_of_products(g, b), at::kFloat);
    return {for_w, for_s, at::Tensor(), at::Tensor()};
  }
};

class ScaledBnn final : public train::Quantizer {
 public:
  explicit ScaledBnn(const train::QuantizerContext& context)
      : context_(context), noise_(context.seed, context.node.name) {
    if (context.role == train::Role::gradient) refuse_role(context, info());
    check_bits(context, info(), 1, 1);
    const Parameters parameters(context_, info());
    trained_ = parameters.choice("scale", {"trained", "none"}) == "trained";
    const double init = parameters.number("init", kLeastScale, 1000);
    clip_ = parameters.choice("gradient", {"clip", "mask"}) == "clip";
    stochastic_ = parameters.flag("stochastic");
    parameters.flag("replaces_activation");  // read by placement; checked here
    scale_ = at::full({1}, trained_ ? init : 1.0, at::kFloat);
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    if (!weight())
      return clip_ ? train::clipped_through(x, train::fused_sign_ste(x.detach(), 1)) : train::fused_sign_ste(x, 1);
    check_finite(x, "scaled_bnn");
    if (x.numel() == 0) return x;
    if (training) keep_positive();
    const at::Tensor b = training && stochastic_ ? noise_.signs(x, step_) : signs(x);
    return ThroughSign::apply(x, scale_.clamp_min(kLeastScale), b.view(x.sizes()), clip_);
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "scaled_bnn");
    return binary_encoding(w, {std::max(scale_.detach().item<float>(), static_cast<float>(kLeastScale))});
  }

  ActivationCode activation_code() const override { return sign_code(); }

  std::vector<train::StateEntry> state() override {
    if (!weight() || !trained_) return {};
    return {{"scale", &scale_, true, 1}};
  }

 private:
  bool weight() const { return context_.role == train::Role::weight; }

  void keep_positive() {
    const at::NoGradGuard no_gradient;
    scale_.clamp_min_(kLeastScale);
  }

  train::QuantizerContext context_;
  NoiseStream noise_;
  bool trained_ = true, clip_ = true, stochastic_ = false;
  at::Tensor scale_;  // [1], of the layer
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(scaled_bnn) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::ScaledBnn>(context);
          }};
}
