// DoReFa-Net.  S. Zhou, Y. Wu, Z. Ni, X. Zhou, H. Wen, Y. Zou, 2016, arXiv:1606.06160 (secs. 2.3 to 2.6).
#include "methods/quantize/dorefa.h"

#include <torch/csrc/autograd/custom_function.h>

#include "methods/calibration.h"
#include "methods/parameters.h"
#include "methods/stochastic.h"
#include "methods/support.h"
#include "nnq/error.h"
#include "train/fused_quantize.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "dorefa",
      .title = "DoReFa-Net",
      .paper = "Zhou, Wu, Ni, Zhou, Wen, Zou, 2016, arXiv:1606.06160",
      .kind = "quantizer",
      .encoding = "bit planes",
      .roles = "weights 1..8, activations 1..8, gradients 2..8",
      .parameters = {
          {"constant_maximum", "0", "", "0, 1", "weights of 2 bits and more: 1 leaves max|tanh w| out of the gradient"},
          {"range", "1", "value units", "0..1e30",
           "activations: clipped to 0..range (the paper: 1); 0: the range of least squared error on data, "
           "for networks trained in float"}}};
  return about;
}

/// Levels 2 q / n - 1, n = 2^bits - 1, as planes about 0: step = 1/n in float32, offset -n step.
Encoding levels(int bits) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = bits;
  const auto n = static_cast<float>((1 << bits) - 1);
  const float step = 1 / n;
  e.offset = {-(n * step)};
  for (int k = 0; k < bits; ++k) e.plane_scale.push_back(static_cast<float>(2 << k) * step);
  return e;
}

/// rint(n (t / (2 M) + 1/2)) of t = tanh(w), M = max|t|; all zeros count as M = 1.
at::Tensor codes_of(const at::Tensor& t, const at::Tensor& maximum, int bits) {
  const at::Tensor u = t / (maximum * 2) + 0.5;
  return at::round(u * static_cast<double>((1 << bits) - 1)).clamp_(0, (1 << bits) - 1);
}

at::Tensor maximum_of(const at::Tensor& t) {
  if (t.numel() == 0) return at::ones({}, at::kFloat);
  const at::Tensor m = t.abs().max();
  return m.item<float>() > 0 ? m : at::ones_like(m);
}

/// The level of every weight, and dw_b/dw = (1 - t^2)/M with M differentiated too unless it is held constant.
struct Weights : torch::autograd::Function<Weights> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& w, const at::Tensor& table, int64_t bits,
                            bool constant_maximum) {
    const at::Tensor t = at::tanh(plain(w)), m = maximum_of(t);
    context->save_for_backward({t, m});
    context->saved_data["constant"] = constant_maximum;
    return table.index_select(0, codes_of(t, m, static_cast<int>(bits)).to(at::kLong).flatten()).view(w.sizes());
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &t = saved[0], m = saved[1], g = gradients[0].contiguous();
    at::Tensor of_t = g / m;
    if (!context->saved_data["constant"].toBool() && t.numel() > 0) {
      const std::int64_t at_maximum = t.abs().flatten().argmax().item<std::int64_t>();
      const double top = static_cast<double>(m.item<float>());
      const double sign = t.flatten()[at_maximum].item<float>() < 0 ? -1 : 1;
      of_t.view(-1)[at_maximum].sub_(sign / (top * top) * sum_of_products(t, g));
    }
    return {of_t.mul_(1 - t * t), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/// Identity forward; what comes back is quantized.
struct Gradients : torch::autograd::Function<Gradients> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t bits, int64_t noise, int64_t step) {
    context->saved_data["bits"] = bits;
    context->saved_data["noise"] = noise;
    context->saved_data["step"] = step;
    return x.alias();
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    // The stream belongs to the quantizer, which outlives every backward pass of its executor.
    auto* noise = reinterpret_cast<NoiseStream*>(context->saved_data["noise"].toInt());
    const at::Tensor sigma = noise->uniform(gradients[0], context->saved_data["step"].toInt()).sub_(0.5);
    const at::Tensor g =
        dorefa_quantize_gradient(gradients[0], static_cast<int>(context->saved_data["bits"].toInt()), sigma);
    return {g, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

class DoReFa final : public train::Quantizer {
 public:
  explicit DoReFa(const train::QuantizerContext& context) : context_(context), noise_(context.seed, context.node.name) {
    check_bits(context, info(), context.role == train::Role::gradient ? 2 : 1, 8);
    const Parameters parameters(context_, info());
    constant_maximum_ = parameters.flag("constant_maximum");
    const double range = parameters.number("range", 0, 1e30);
    calibrated_ = range == 0 && context.role == train::Role::activation;
    if (!calibrated_) set_range(static_cast<float>(range));
    const Encoding table = levels(context.bits);
    std::vector<float> values;
    for (int code = 0; code < 1 << context.bits; ++code)
      values.push_back(table.level(0, static_cast<std::uint8_t>(code)));
    table_ = at::tensor(values, at::kFloat);
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    switch (context_.role) {
      case train::Role::activation:
        if (!scale_.defined()) {
          calibrate(x);
          finish_calibration();
        }
        return train::fused_clip_quantize(x, step(), 0, top());
      case train::Role::gradient:
        if (!training || !at::GradMode::is_enabled() || !x.requires_grad()) return x;
        return Gradients::apply(x, context_.bits, reinterpret_cast<std::intptr_t>(&noise_), step_);
      case train::Role::weight:
        break;
    }
    check_finite(x, "dorefa");
    if (context_.bits > 1) return Weights::apply(x, table_, context_.bits, constant_maximum_);
    return train::straight_through(x, signs(x).mul_(mean_magnitudes(x, 1)[0]));
  }

  void calibrate(const at::Tensor& x) override {
    if (!calibrated_) return;
    const at::Tensor values = plain(x);
    observed_.add(values.data_ptr<float>(), values.numel());
  }

  void finish_calibration() override {
    if (!calibrated_ || observed_.empty()) return;
    set_range(static_cast<float>(choose_step(observed_.points(), {0, top()}, "mse", 100) * top()));
    observed_ = {};
  }

  std::vector<train::StateEntry> state() override {
    if (!calibrated_) return {};
    return {{"scale", &scale_, false, 1}};
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "dorefa");
    if (context_.bits == 1) return binary_encoding(w, mean_magnitudes(w, 1));
    Encoding e = levels(context_.bits);
    const at::Tensor t = at::tanh(plain(w));
    e.shape = shape_of(w);
    e.codes = to_codes(codes_of(t, maximum_of(t), context_.bits).to(at::kByte));
    return e;
  }

  ActivationCode activation_code() const override {
    NNQ_CHECK(scale_.defined(), "the activation quantizer was never calibrated", "node '" + context_.node.name + "'",
              "run calibration batches through the network first");
    ActivationCode code;
    code.scale = code.step = static_cast<float>(step());
    code.max = top();
    code.bits = context_.bits;
    return code;
  }

  bool absorbs_relu() const override { return context_.role == train::Role::activation; }

  /// The range stays, its steps become wider or narrower.
  void carry_state(int bits) override {
    if (calibrated_ && scale_.defined()) set_range(scale_.item<float>() * static_cast<float>((1 << bits) - 1));
  }

 private:
  int top() const { return (1 << context_.bits) - 1; }
  double step() const { return static_cast<double>(scale_.item<float>()); }
  void set_range(float range) { scale_ = at::full({1}, range / static_cast<float>(top()), at::kFloat); }

  train::QuantizerContext context_;
  NoiseStream noise_;
  bool constant_maximum_ = false, calibrated_ = false;
  at::Tensor scale_;  // activations: step between levels
  Histogram observed_;
  at::Tensor table_;  // [2^bits] levels of a weight
};

}  // namespace

at::Tensor dorefa_quantize_gradient(const at::Tensor& gradient, int bits, const at::Tensor& sigma) {
  const at::Tensor g = gradient.contiguous();
  if (g.numel() == 0) return g;
  const double n = static_cast<double>((1 << bits) - 1);
  const at::Tensor samples = g.dim() > 0 ? g.reshape({g.size(0), -1}) : g.reshape({1, 1});
  const at::Tensor m = samples.abs().amax(1, true);
  const at::Tensor range = at::where(m > 0, m, at::ones_like(m)) * 2;
  const at::Tensor u = (samples / range + 0.5 + sigma.reshape_as(samples) / n).clamp_(0, 1);
  const at::Tensor q = at::round(u * n).div_(n).sub_(0.5).mul_(range);
  return at::where(m > 0, q, samples).view(g.sizes());  // zeros stay, and NaNs are passed on
}

}  // namespace nnq::methods

NNQ_METHOD(dorefa) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::DoReFa>(context);
          }};
}
