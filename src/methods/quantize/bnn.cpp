// BNN: binarized neural networks.  M. Courbariaux, I. Hubara, D. Soudry, R. El-Yaniv, Y. Bengio, 2016,
// arXiv:1602.02830 (secs. 1.1 to 1.3; shift-based BatchNormalization is the operator ShiftBatchNormalization).
#include <ATen/ATen.h>

#include <cmath>

#include "methods/parameters.h"
#include "methods/stochastic.h"
#include "methods/support.h"
#include "nnq/error.h"
#include "train/fused_quantize.h"

namespace nnq::methods {
namespace {

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "bnn",
      .title = "Binarized neural networks",
      .paper = "Courbariaux, Hubara, Soudry, El-Yaniv, Bengio, 2016, arXiv:1602.02830",
      .kind = "quantizer",
      .encoding = "bit planes",
      .roles = "weights 1, activations 1",
      .parameters = {
          {"stochastic", "0", "", "0, 1", "in training, +1 with probability clip((x + 1)/2, 0, 1)"},
          {"clip", "1", "", "0, 1", "weights: latent values are kept in [-1, 1] after each step"},
          {"scale_learning_rate", "1", "", "0, 1", "weights: learning rate times sqrt((fan_in + fan_out)/1.5)"},
          {"replaces_activation", "1", "", "0, 1", "placement: a Relu or Clip before the sign is left out"},
          {"shift_batch_norm", "0", "", "0, 1", "placement: BatchNormalization becomes ShiftBatchNormalization"},
      }};
  return about;
}

class Bnn final : public train::Quantizer {
 public:
  explicit Bnn(const train::QuantizerContext& context) : context_(context), noise_(context.seed, context.node.name) {
    if (context.role == train::Role::gradient) refuse_role(context, info());
    check_bits(context, info(), 1, 1);
    const Parameters parameters(context_, info());
    stochastic_ = parameters.flag("stochastic");
    clip_ = parameters.flag("clip");
    parameters.flag("replaces_activation");  // these two are read by placement; checked here
    parameters.flag("shift_batch_norm");
    scale_learning_rate_ = parameters.flag("scale_learning_rate");
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    const bool drawn = training && stochastic_;
    if (context_.role == train::Role::weight) {
      check_finite(x, "bnn");
      return train::straight_through(x, drawn ? noise_.signs(x, step_) : signs(x));
    }
    if (!drawn) return train::fused_sign_ste(x, 1);
    return train::straight_through_masked(x, noise_.signs(x, step_), x.detach().abs().le(1).to(x.scalar_type()));
  }

  bool keeps_magnitude() const override { return false; }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "bnn");
    return binary_encoding(w, {1.0F});
  }

  ActivationCode activation_code() const override { return sign_code(); }

  void after_step(at::Tensor& latent) override {
    if (clip_ && context_.role == train::Role::weight) clip_latent(latent);
  }

  /// c_k = 1 / sqrt(1.5 / (fan_in + fan_out)): Glorot's bound inverted.
  double learning_rate_scale(const at::Tensor& latent) const override {
    if (!scale_learning_rate_ || latent.dim() < 2) return 1;
    double kernel = 1;
    for (std::int64_t d = 2; d < latent.dim(); ++d) kernel *= static_cast<double>(latent.size(d));
    return std::sqrt(static_cast<double>(latent.size(0) + latent.size(1)) * kernel / 1.5);
  }

 private:
  train::QuantizerContext context_;
  NoiseStream noise_;
  bool stochastic_ = false, clip_ = true, scale_learning_rate_ = true;
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(bnn) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Bnn>(context);
          }};
}
