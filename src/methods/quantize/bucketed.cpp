// Uniform quantization scaled in buckets, the quantizer of quantized distillation: Polino, Pascanu, Alistarh, "Model
// compression via distillation and quantization", ICLR 2018, arXiv:1802.05668, secs. 2.1, 2.2 and 3 (algorithm 1). The
// teacher is a matter of training (docs/recipes.md, key `teacher`), not of the quantizer.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "methods/buckets.h"
#include "methods/parameters.h"
#include "methods/stochastic.h"
#include "methods/support.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const MethodInfo& info() {
  static const MethodInfo about = bucket_method(
      "bucketed", "Uniform levels in buckets (quantized distillation)",
      {{"rounding", "nearest", "", "nearest, stochastic", "training: to the nearest level, or unbiased at random"},
       {"scaling_gradient", "0", "", "0, 1", "gradient through each bucket's range to its two extreme weights too"}});
  return about;
}

/// q with the gradient of w, and through alpha = max - min and beta = min of each bucket: with r = (q - w) / alpha the
/// largest weight gets sum(g r) more, the smallest as much less.
struct ThroughRange : torch::autograd::Function<ThroughRange> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& w, const at::Tensor& q, std::int64_t bucket) {
    context->save_for_backward({w, q});
    context->saved_data["bucket"] = bucket;
    return q.clone();
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor w = plain(saved[0]), q = plain(saved[1]), g = plain(gradients[0]);
    at::Tensor result = g.clone();
    const float *from = w.data_ptr<float>(), *to = q.data_ptr<float>(), *back = g.data_ptr<float>();
    const std::int64_t bucket = context->saved_data["bucket"].toInt(), count = w.numel();
    for (std::int64_t begin = 0; begin < count; begin += bucket) {
      const std::int64_t end = std::min(count, begin + bucket);
      const auto [least, most] = std::minmax_element(from + begin, from + end);
      const double range = static_cast<double>(*most) - static_cast<double>(*least);
      if (range < 1e-10) continue;  // a constant bucket has the fixed range 1
      double sum = 0;
      for (std::int64_t i = begin; i < end; ++i)
        sum += static_cast<double>(back[i]) * (static_cast<double>(to[i]) - static_cast<double>(from[i])) / range;
      result.data_ptr<float>()[most - from] += static_cast<float>(sum);
      result.data_ptr<float>()[least - from] -= static_cast<float>(sum);
    }
    return {result.view(gradients[0].sizes()), at::Tensor(), at::Tensor()};
  }
};

/// Stateless: ranges are those of the weight as it is.
class Bucketed final : public train::Quantizer {
 public:
  explicit Bucketed(const train::QuantizerContext& context)
      : points_(uniform_points(1 << std::clamp(context.bits, 1, 8))), noise_(context.seed, context.node.name) {
    bucket_ = bucket_size(context, info());
    const Parameters parameters(context, info());
    stochastic_ = parameters.choice("rounding", {"nearest", "stochastic"}) == "stochastic";
    through_range_ = parameters.flag("scaling_gradient");
  }

  at::Tensor forward(const at::Tensor& w, bool training) override {
    check_finite(w, "bucketed");
    if (w.numel() == 0) return w;
    const Buckets buckets = scale_buckets(w, bucket_);
    std::vector<std::uint8_t> codes = training && stochastic_
                                          ? stochastic_codes(w, buckets, points_, noise_.uniform(w, step_))
                                          : nearest_codes(w, buckets, points_);
    const at::Tensor q = decoded(bucket_encoding(w, buckets, points_, std::move(codes)));
    if (training && through_range_) return ThroughRange::apply(w, q, buckets.size);
    return train::straight_through(w, q);
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "bucketed");
    const Buckets buckets = scale_buckets(w, bucket_);
    return bucket_encoding(w, buckets, points_, nearest_codes(w, buckets, points_));
  }

 private:
  std::vector<float> points_;
  NoiseStream noise_;
  std::int64_t bucket_ = 256;
  bool stochastic_ = false, through_range_ = false;
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(bucketed) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Bucketed>(context);
          }};
}
