// BNN+: improved binary network training.  S. Darabi, M. Belbahri, M. Courbariaux, V. Partovi Nia, 2018,
// arXiv:1812.11800: the SwishSign derivative of sign, a regulariser that pulls |w| to a scale alpha, a trained alpha.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "methods/parameters.h"
#include "methods/support.h"
#include "nnq/error.h"
#include "train/element_loops.h"
#include "train/swish_sign.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Below it alpha would lose the signs; training may push it there, behind a BatchNormalization nothing holds it.
constexpr float kLeastAlpha = 1e-8F;

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "bnn_plus",
      .title = "BNN+: SwishSign gradient and a regulariser towards binary weights",
      .paper = "Darabi, Belbahri, Courbariaux, Partovi Nia, 2018, arXiv:1812.11800",
      .kind = "quantizer",
      .encoding = "bit planes",
      .roles = "weights 1, activations 1",
      .parameters = {
          {"beta", "5", "", "0.01..1000", "sharpness of the SwishSign derivative"},
          {"surrogate", "swish_sign", "", "swish_sign, htanh, identity", "weights: what stands for the slope of sign"},
          {"regularizer", "l2", "", "none, l1, l2", "weights: sum |alpha - |w|| or sum (alpha - |w|)^2"},
          {"lambda", "1e-4", "loss a weight", "0..1e6", "weights: factor of the regulariser"},
          {"schedule", "linear", "", "constant, linear, log", "lambda; lambda t/T; lambda log(1 + t), t counts steps"},
          {"alpha", "learned", "", "learned, statistical", "the scale: trained, or mean (l1: median) |w| at each step"},
          {"per_channel", "0", "", "0, 1", "weights: one alpha an output channel (0: one a layer)"},
          {"binarize", "1", "", "0, 1", "weights: 0 trains real weights, only regularised; they deploy as binary ones"},
          {"clip", "0", "", "0, 1", "weights: latent values are kept in [-1, 1] after each step"},
          {"replaces_activation", "1", "", "0, 1", "placement: a Relu or Clip before the sign is left out"},
      }};
  return about;
}

enum class Surrogate { swish_sign, htanh, identity };

at::Tensor as_rows(const at::Tensor& w, std::int64_t groups) { return w.contiguous().reshape({groups, -1}); }

/// +1 where x >= 0, else -1: the packer's sign.
at::Tensor packed_signs(const at::Tensor& x) { return at::where(x >= 0, at::ones({}), -at::ones({})); }

/// y = alpha sign(w), rows w [G, n], alpha [G].
/// dy/dw = alpha SS'_beta(w / alpha) (htanh: alpha where |w| <= 1; identity: alpha); dy/dalpha = sign(w).
struct ScaledSign : torch::autograd::Function<ScaledSign> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const at::Tensor& alpha,
                            std::int64_t surrogate, double beta) {
    context->save_for_backward({rows, alpha});
    context->saved_data["surrogate"] = surrogate;
    context->saved_data["beta"] = beta;
    const at::Tensor scale = alpha.unsqueeze(1);
    return at::where(rows >= 0, scale, -scale);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor rows = saved[0].detach(), alpha = saved[1].detach().contiguous();
    const auto surrogate = static_cast<Surrogate>(context->saved_data["surrogate"].toInt());
    const at::Tensor for_alpha = row_sums(at::where(rows >= 0, gradients[0], -gradients[0]));
    if (surrogate != Surrogate::swish_sign) {
      at::Tensor g = gradients[0] * alpha.unsqueeze(1);
      if (surrogate == Surrogate::htanh) g = g * (rows.abs() <= 1).to(g.scalar_type());
      return {g, for_alpha, at::Tensor(), at::Tensor()};
    }
    const auto beta = static_cast<float>(context->saved_data["beta"].toDouble());
    const at::Tensor g = gradients[0].contiguous().clone();
    const std::int64_t n = rows.size(1);
    for (std::int64_t r = 0; r < rows.size(0); ++r) {
      const float a = alpha.data_ptr<float>()[r], *from = rows.data_ptr<float>() + r * n;
      float* to = g.data_ptr<float>() + r * n;
      at::parallel_for(0, n, train::kChunk, [&](std::int64_t begin, std::int64_t end) {
        train::scale_by_swish_slope(to + begin, from + begin, end - begin, beta / a, beta * a);
      });
    }
    return {g, for_alpha, at::Tensor(), at::Tensor()};
  }
};

/// lambda times R1 = sum |alpha - |w|| or R2 = sum (alpha - |w|)^2; the slope at alpha == |w| is 0, sign(0) = +1.
struct Regulariser : torch::autograd::Function<Regulariser> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const at::Tensor& alpha, bool squared,
                            double lambda) {
    context->save_for_backward({rows, alpha});
    context->saved_data["squared"] = squared;
    context->saved_data["lambda"] = lambda;
    const at::Tensor distance = alpha.unsqueeze(1) - rows.abs();
    return row_sums((squared ? distance.square() : distance.abs()).reshape({1, -1})).mul_(lambda).squeeze(0);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor rows = saved[0].detach(), distance = saved[1].detach().unsqueeze(1) - rows.abs();
    const at::Tensor slope = context->saved_data["squared"].toBool() ? distance * 2 : distance.sign();
    const double factor = context->saved_data["lambda"].toDouble() * gradients[0].item<double>();
    return {-(slope * packed_signs(rows)) * factor, row_sums(slope).mul_(factor), at::Tensor(), at::Tensor()};
  }
};

/// Middle value of each row's magnitudes, the mean of the two middle ones for even counts.
std::vector<float> median_magnitudes(const at::Tensor& w, std::int64_t groups) {
  const at::Tensor sorted = std::get<0>(at::sort(plain(w).abs().reshape({groups, -1}), 1));
  const std::int64_t n = sorted.size(1);
  const at::Tensor middle = (sorted.select(1, (n - 1) / 2) + sorted.select(1, n / 2)).mul_(0.5).contiguous();
  return {middle.data_ptr<float>(), middle.data_ptr<float>() + groups};
}

class BnnPlus final : public train::Quantizer {
 public:
  explicit BnnPlus(const train::QuantizerContext& context) : context_(context) {
    if (context.role == train::Role::gradient) refuse_role(context, info());
    check_bits(context, info(), 1, 1);
    const Parameters parameters(context_, info());
    beta_ = parameters.number("beta", 0.01, 1000);
    const std::string surrogate = parameters.choice("surrogate", {"swish_sign", "htanh", "identity"});
    surrogate_ = surrogate == "htanh"      ? Surrogate::htanh
                 : surrogate == "identity" ? Surrogate::identity
                                           : Surrogate::swish_sign;
    regularizer_ = parameters.choice("regularizer", {"none", "l1", "l2"});
    lambda_ = parameters.number("lambda", 0, 1e6);
    schedule_ = parameters.choice("schedule", {"constant", "linear", "log"});
    learned_ = parameters.choice("alpha", {"learned", "statistical"}) == "learned";
    per_channel_ = parameters.flag("per_channel");
    binarize_ = parameters.flag("binarize");
    learned_ = learned_ && binarize_;  // nothing but the regulariser would train it
    clip_ = parameters.flag("clip");
    parameters.flag("replaces_activation");  // read by placement; checked here
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    if (!weight()) return train::fused_swish_sign(x, beta_);
    check_finite(x, "bnn_plus");
    if (x.numel() == 0) return x;
    if (training && !binarize_) return x;
    const std::int64_t g = groups(x);
    if (!training) {
      const at::Tensor alpha = fixed(x).unsqueeze(1);
      return at::where(as_rows(x, g) >= 0, alpha, -alpha).view(x.sizes());
    }
    return ScaledSign::apply(as_rows(x, g), trained(x), static_cast<std::int64_t>(surrogate_), beta_).view(x.sizes());
  }

  void calibrate(const at::Tensor& x) override {
    if (weight() && learned_) alpha_ = at::tensor(statistic(x), at::kFloat);
  }

  bool keeps_magnitude() const override { return weight(); }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "bnn_plus");
    return binary_encoding(w, alphas(w));
  }

  ActivationCode activation_code() const override { return sign_code(); }

  std::vector<train::StateEntry> state() override {
    if (!weight() || !learned_) return {};
    return {{"alpha", &alpha_, true, 1}};
  }

  void after_step(at::Tensor& latent) override {
    if (clip_ && weight()) clip_latent(latent);
  }

  at::Tensor penalty(const at::Tensor& latent) override {
    const double lambda = current_lambda();
    if (!weight() || regularizer_ == "none" || lambda == 0 || latent.numel() == 0) return {};
    return Regulariser::apply(as_rows(latent, groups(latent)), trained(latent), regularizer_ == "l2", lambda);
  }

 private:
  bool weight() const { return context_.role == train::Role::weight; }
  std::int64_t groups(const at::Tensor& w) const { return groups_of(w, per_channel_, context_.channel_axis); }

  double current_lambda() const {
    if (schedule_ == "linear") return lambda_ * progress_;
    return schedule_ == "log" ? lambda_ * std::log1p(static_cast<double>(step_)) : lambda_;
  }

  /// The regulariser's optimum for these weights.
  std::vector<float> statistic(const at::Tensor& w) const {
    check_finite(w, "bnn_plus");
    const std::int64_t g = groups(w);
    std::vector<float> values = regularizer_ == "l1" && w.numel() > 0 ? median_magnitudes(w, g) : mean_magnitudes(w, g);
    for (float& value : values) value = std::max(value, kLeastAlpha);
    return values;
  }

  /// What deploys.
  std::vector<float> alphas(const at::Tensor& w) const {
    if (!learned_ || !alpha_.defined()) return statistic(w);
    const at::Tensor values = plain(alpha_).clamp_min(kLeastAlpha);
    NNQ_CHECK(values.numel() == groups(w),
              "the state has " + std::to_string(values.numel()) + " scales, the weight " + std::to_string(groups(w)) +
                  " groups",
              "node '" + context_.node.name + "'");
    return {values.data_ptr<float>(), values.data_ptr<float>() + values.numel()};
  }
  at::Tensor fixed(const at::Tensor& w) const { return at::tensor(alphas(w), at::kFloat); }

  /// The scale as training sees it; a trained one is first put back above 0.
  at::Tensor trained(const at::Tensor& w) {
    if (!learned_) return fixed(w);
    if (!alpha_.defined()) alpha_ = at::tensor(statistic(w), at::kFloat);
    const at::NoGradGuard no_gradient;
    if (alpha_.min().item<float>() < kLeastAlpha) alpha_.clamp_min_(kLeastAlpha);
    return alpha_;
  }

  train::QuantizerContext context_;
  double beta_ = 5, lambda_ = 0;
  Surrogate surrogate_ = Surrogate::swish_sign;
  std::string regularizer_, schedule_;
  bool learned_ = true, per_channel_ = false, binarize_ = true, clip_ = false;
  at::Tensor alpha_;  // [groups], weight units
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(bnn_plus) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::BnnPlus>(context);
          }};
}
