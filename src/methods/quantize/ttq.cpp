// TTQ.  C. Zhu, S. Han, H. Mao, W. J. Dally, "Trained Ternary Quantization", ICLR 2017, arXiv:1612.01064: forward (sec.
// 4, equation 6), thresholds (sec. 4.1, equation 9 and the constant-sparsity heuristic), gradients (equations 7 and 8;
// the gradient of the negative scale with the sign that equation 7 leaves out and the authors' code has).
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "methods/parameters.h"
#include "methods/support.h"
#include "methods/ternary.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kLeastScale = 1e-4F;  // a trained scale that falls below would change its sign

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "ttq",
      .title = "Trained ternary quantization",
      .paper = "Zhu, Han, Mao, Dally, 2017, arXiv:1612.01064",
      .kind = "quantizer",
      .encoding = "bit planes",
      .roles = "weights 2",
      .parameters = {
          {"threshold", "max", "", "max, sparsity, mean",
           "what is up to here becomes 0: t max|w|; the magnitude that `sparsity` of the weights do not exceed; t "
           "mean|w|"},
          {"t", "0.05", "", "0..100", "factor of the threshold"},
          {"sparsity", "0.5", "", "0..1", "threshold = sparsity: share of zeros"},
          {"init", "one", "", "one, mean", "scales where training starts: 1, or the mean magnitude on each side"},
          {"scale_learning_rate", "1", "", "0..1000", "factor on the learning rate of the two scales"},
      }};
  return about;
}

/// w^t from w and the two scales; gradients of equations 7 and 8.
struct TernaryScales : torch::autograd::Function<TernaryScales> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& w, const at::Tensor& positive,
                            const at::Tensor& negative, double threshold) {
    const at::Tensor limit = at::full({}, threshold, at::kFloat);
    const at::Tensor above = w.gt(limit), below = w.lt(-limit), zero = at::zeros({}, at::kFloat);
    context->save_for_backward({above, below, positive, negative});
    return at::where(above, positive, at::where(below, -negative, zero));
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &above = saved[0], &below = saved[1], &g = gradients[0];
    const at::Tensor one = at::ones({}, at::kFloat);
    const at::Tensor for_weight = g * at::where(above, saved[2], at::where(below, saved[3], one));
    const auto sum = [&](const at::Tensor& where, double sign) {
      return at::full(saved[2].sizes(), sign * sum_of_products(g, where.to(at::kFloat)), at::kFloat);
    };
    return {for_weight, sum(above, 1), sum(below, -1), at::Tensor()};
  }
};

class Ttq final : public train::Quantizer {
 public:
  explicit Ttq(const train::QuantizerContext& context) : context_(context) {
    if (context.role != train::Role::weight) refuse_role(context, info());
    check_bits(context, info(), 2, 2);
    const Parameters parameters(context_, info());
    rule_ = parameters.choice("threshold", {"max", "sparsity", "mean"});
    t_ = parameters.number("t", 0, 100);
    sparsity_ = parameters.number("sparsity", 0, 1);
    from_mean_ = parameters.choice("init", {"one", "mean"}) == "mean";
    rate_ = parameters.number("scale_learning_rate", 0, 1000);
    if (!from_mean_) {
      positive_ = at::ones({1}, at::kFloat);
      negative_ = at::ones({1}, at::kFloat);
    }
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    check_finite(x, "ttq");
    if (x.numel() == 0) return x;
    if (!positive_.defined()) calibrate(x);
    if (training) keep_positive();
    return TernaryScales::apply(x, positive_.clamp_min(kLeastScale), negative_.clamp_min(kLeastScale),
                                static_cast<double>(threshold(x)));
  }

  void calibrate(const at::Tensor& x) override {
    if (!from_mean_) return;
    check_finite(x, "ttq");
    const Scales scales = means(x);
    positive_ = at::full({1}, scales.positive, at::kFloat);
    negative_ = at::full({1}, scales.negative, at::kFloat);
  }

  /// Planes {-Wn} + Wn b_0 + Wp b_1: codes 0, 1 and 3 are exactly -Wn, 0 and Wp.
  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "ttq");
    const Scales scales = positive_.defined() ? Scales{value(positive_), value(negative_)} : means(w);
    at::Tensor codes = ternary_codes(plain(w), at::full({}, threshold(w), at::kFloat));
    codes.add_(codes.eq(2).to(at::kByte));
    Encoding e;
    e.kind = EncodingKind::bit_planes;
    e.bits = 2;
    e.shape = shape_of(w);
    e.codes = to_codes(codes);
    e.offset = {-scales.negative};
    e.plane_scale = {scales.negative, scales.positive};
    return e;
  }

  std::vector<train::StateEntry> state() override {
    return {{"positive_scale", &positive_, true, rate_}, {"negative_scale", &negative_, true, rate_}};
  }

 private:
  struct Scales {
    float positive = 1, negative = 1;
  };

  static float value(const at::Tensor& scale) { return std::max(scale.detach().item<float>(), kLeastScale); }

  /// The optimizer may have pushed a scale below the least one, where its gradient would end.
  void keep_positive() {
    const at::NoGradGuard no_gradient;
    positive_.clamp_min_(kLeastScale);
    negative_.clamp_min_(kLeastScale);
  }

  float threshold(const at::Tensor& w) const {
    if (w.numel() == 0) return 0;
    const at::Tensor x = plain(w);
    if (rule_ == "max") return static_cast<float>(t_ * static_cast<double>(x.abs().max().item<float>()));
    if (rule_ == "mean") return static_cast<float>(t_ * (sum_of_magnitudes(x) / static_cast<double>(x.numel())));
    const at::Tensor magnitudes = x.abs().flatten();
    const auto zeros = static_cast<std::int64_t>(std::llround(sparsity_ * static_cast<double>(magnitudes.numel())));
    if (zeros == 0) return 0;
    float* first = magnitudes.data_ptr<float>();
    std::nth_element(first, first + zeros - 1, first + magnitudes.numel());
    return first[zeros - 1];
  }

  /// Mean magnitude of the weights above and below the threshold; a side without weights takes the other's.
  Scales means(const at::Tensor& w) const {
    const at::Tensor x = plain(w);
    const float limit = threshold(w);
    const at::Tensor up = at::relu(x), down = at::relu(-x);
    Scales scales{kept_mean(up.data_ptr<float>(), up.numel(), limit),
                  kept_mean(down.data_ptr<float>(), down.numel(), limit)};
    if (scales.positive == 0) scales.positive = scales.negative;
    if (scales.negative == 0) scales.negative = scales.positive;
    return {std::max(scales.positive, kLeastScale), std::max(scales.negative, kLeastScale)};
  }

  train::QuantizerContext context_;
  std::string rule_;
  double t_ = 0.05, sparsity_ = 0.5, rate_ = 1;
  bool from_mean_ = false;
  at::Tensor positive_, negative_;  // [1]: Wp, Wn
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(ttq) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Ttq>(context);
          }};
}
