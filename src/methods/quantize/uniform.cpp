// Uniform quantization: calibrated after training (Jacob et al. 2018, arXiv:1712.05877; Krishnamoorthi 2018,
// arXiv:1806.08342) or with a learned step size (Esser et al. 2020, arXiv:1902.08153, secs. 2.1 and 2.2).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "methods/calibration.h"
#include "methods/parameters.h"
#include "methods/support.h"
#include "nnq/error.h"
#include "train/fused_quantize.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "uniform",
      .title = "Uniform quantization, calibrated or with a learned step size",
      .paper = "Esser, McKinstry, Bablani, Appuswamy, Modha, 2020, arXiv:1902.08153; calibration: arXiv:1806.08342",
      .kind = "quantizer",
      .encoding = "uniform; 1-bit weights: bit planes",
      .roles = "weights 1..8, activations 1..8",
      .parameters = {
          {"calibration", "mse", "", "minmax, percentile, mse, entropy", "how the step is chosen from data"},
          {"percentile", "99.99", "%", "50..100", "share of values that calibration = percentile does not clip"},
          {"per_channel", "1", "", "0, 1", "weights: one step an output channel (0: one a tensor)"},
          {"symmetric", "1", "", "0, 1", "levels around zero (0: a zero point is chosen with the step)"},
          {"learn", "1", "", "0, 1", "the step is trained (learned step size); 0: it stays as calibrated"},
          {"init", "calibration", "", "calibration, lsq", "where training starts; lsq: 2 mean|x| / sqrt(largest code)"},
          {"scale", "0", "value units", "0..1e30", "activations: this step, fixed; 0: from data"},
      }};
  return about;
}

/// v = clamp(rint(x / scale), low, high) with one scale, low and high a row of x [groups, n]; no negative zeros.
at::Tensor integers(const at::Tensor& rows, const at::Tensor& scale, const at::Tensor& low, const at::Tensor& high) {
  const at::Tensor v = at::round(rows / scale.unsqueeze(1));
  return at::minimum(at::maximum(v, low.unsqueeze(1)), high.unsqueeze(1)).add_(0.0);
}

/// Learned step size a row: y = scale * v; dy/dx = 1 inside the range, dy/dscale as in the paper's equation 3.
struct LearnedRows : torch::autograd::Function<LearnedRows> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const at::Tensor& scale,
                            const at::Tensor& low, const at::Tensor& high, double factor) {
    context->save_for_backward({rows, scale, low, high});
    context->saved_data["factor"] = factor;
    return integers(rows, scale, low, high).mul_(scale.unsqueeze(1));
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor low = saved[2].unsqueeze(1), high = saved[3].unsqueeze(1), g = gradients[0];
    const at::Tensor v = saved[0] / saved[1].unsqueeze(1);
    const at::Tensor under = v<low, over = v> high;
    const at::Tensor slope = at::where(under, low, at::where(over, high, at::round(v) - v));
    const at::Tensor zero = at::zeros({}, g.options());
    const at::Tensor for_scale = row_sums(g * slope).mul_(context->saved_data["factor"].toDouble());
    return {at::where(under.logical_or(over), zero, g), for_scale, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/// y = scale * sign(x); dy/dx = 1 where |x| <= 2 scale; dy/dscale = sign(x).
struct LearnedSign : torch::autograd::Function<LearnedSign> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale, double factor) {
    context->save_for_backward({x, scale});
    context->saved_data["factor"] = factor;
    return at::where(x >= 0, scale, -scale);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& g = gradients[0];
    const at::Tensor sum =
        row_sums(at::where(saved[0] >= 0, g, -g).reshape({1, -1})).mul_(context->saved_data["factor"].toDouble());
    return {g * (saved[0].abs() <= saved[1] * 2).to(g.scalar_type()), sum.reshape_as(saved[1]), at::Tensor()};
  }
};

class Uniform final : public train::Quantizer {
 public:
  explicit Uniform(const train::QuantizerContext& context) : context_(context) {
    if (context.role == train::Role::gradient) refuse_role(context, info());
    check_bits(context, info(), 1, 8);
    const Parameters parameters(context_, info());
    calibration_ = parameters.choice("calibration", {"minmax", "percentile", "mse", "entropy"});
    percentile_ = parameters.number("percentile", 50, 100);
    per_channel_ = parameters.flag("per_channel") && weight();
    affine_ = !parameters.flag("symmetric") && context.bits > 1;
    learn_ = parameters.flag("learn");
    lsq_init_ = parameters.choice("init", {"calibration", "lsq"}) == "lsq";
    const double fixed = parameters.number("scale", 0, 1e30);
    if (fixed > 0) {
      NNQ_CHECK(!weight(), "parameter 'scale' is for activations", "method 'uniform'");
      scale_ = at::full({1}, fixed, at::kFloat);
      fixed_ = true;
      affine_ = learn_ = false;
    }
    const bool is_signed = weight() || context.node.get_int("signed", 1) != 0;
    const int half = 1 << (context.bits - 1);
    binary_ = is_signed && context.bits == 1;
    range_ = binary_ ? CodeRange{-1, 1} : is_signed ? CodeRange{-half, half - 1} : CodeRange{0, 2 * half - 1};
    affine_ = affine_ && is_signed;
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    if (weight()) return forward_weight(x, training);
    if (!scale_.defined()) {
      calibrate(x);
      finish_calibration();
    }
    if (binary_) return LearnedSign::apply(x, scale(), factor(x));
    const double top = high();
    if (!training || !learn_) return train::fused_clip_quantize(x, scale().item<float>(), low(), top);
    return train::fused_uniform_quantize(x, scale(), low(), top, factor(x));
  }

  void calibrate(const at::Tensor& x) override {
    if (fixed_) return;
    if (weight()) {
      if (!binary_) set_state(choose(x));
      return;
    }
    const at::Tensor values = plain(x);
    observed_.add(values.data_ptr<float>(), values.numel());
  }

  void finish_calibration() override {
    if (weight() || fixed_ || observed_.empty()) return;
    Ranges ranges;
    if (affine_) {
      const UniformRange range = choose_affine(observed_.points(), context_.bits, calibration_, percentile_);
      ranges.scale = {static_cast<float>(range.step)};
      ranges.zero_point = {range.zero_point};
    } else {
      const double mean = observed_.total_magnitude() / static_cast<double>(observed_.total());
      const bool start = lsq_init_ && !binary_ && mean > 0;
      ranges.scale = {static_cast<float>(start ? 2 * mean / std::sqrt(range_.high)
                                               : choose_step(observed_.points(), range_, calibration_, percentile_))};
      ranges.zero_point = {-range_.low};
    }
    set_state(ranges);
    observed_ = {};
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "uniform");
    if (binary_) return binary_encoding(w, mean_magnitudes(w, groups(w)));
    const Ranges ranges = ranges_of(w);
    const at::Tensor rows = plain(w).reshape({groups(w), -1});
    const at::Tensor zero = zero_points(ranges);
    const at::Tensor v = integers(rows, scales(ranges), -zero, top_code() - zero);
    Encoding e;
    e.kind = EncodingKind::uniform;
    e.bits = context_.bits;
    e.shape = shape_of(w);
    e.groups = groups(w);
    e.codes = to_codes(v.add_(zero.unsqueeze(1)).to(at::kByte));
    e.scale = ranges.scale;
    e.zero_point = ranges.zero_point;
    return e;
  }

  ActivationCode activation_code() const override {
    NNQ_CHECK(scale_.defined(), "the activation quantizer was never calibrated", "node '" + context_.node.name + "'",
              "run calibration batches through the network first");
    ActivationCode code;
    code.sign = binary_;
    code.scale = code.step = scale().item<float>();
    code.min = static_cast<int>(low());
    code.max = static_cast<int>(high());
    code.bits = context_.bits;
    return code;
  }

  std::vector<train::StateEntry> state() override {
    std::vector<train::StateEntry> entries;
    if (fixed_ || (weight() && binary_)) return entries;
    entries.push_back({"scale", &scale_, learn_, 1});
    if (affine_) entries.push_back({"zero_point", &zero_point_, false, 1});
    return entries;
  }

  bool absorbs_relu() const override { return !weight() && !binary_ && range_.low == 0; }

  /// The range stays, its steps become wider or narrower.
  void carry_state(int bits) override {
    if (!scale_.defined() || fixed_) return;
    NNQ_CHECK(!binary_ && bits > 1, "a step cannot be carried over to or from one signed bit", "method 'uniform'",
              "begin with one bit, or stop at two");
    const at::NoGradGuard no_gradient;
    const bool counted_from_zero = range_.low == 0 || affine_;
    const double before = counted_from_zero ? (1 << bits) - 1 : 1 << bits,
                 now = counted_from_zero ? top_code() : 1 << context_.bits;
    scale_ = scale_.detach() * (before / now);
    if (affine_) zero_point_ = at::round(zero_point_ * (now / before));
  }

 private:
  struct Ranges {
    std::vector<float> scale;
    std::vector<std::int32_t> zero_point;
  };

  bool weight() const { return context_.role == train::Role::weight; }
  int top_code() const { return (1 << context_.bits) - 1; }
  std::int64_t groups(const at::Tensor& w) const { return groups_of(w, per_channel_, context_.channel_axis); }
  /// Training may push a step to zero or below; it acts as this least one. The gradient passes straight through: the
  /// clamp's own is 0 there, and a step that once fell below would never return.
  at::Tensor scale() const { return train::straight_through(scale_, scale_.detach().clamp_min(1e-30)); }
  double low() const { return affine_ ? -static_cast<double>(zero_point_.item<float>()) : range_.low; }
  double high() const { return affine_ ? low() + top_code() : range_.high; }
  /// The paper's gradient scale: 1 / sqrt(features of a sample * largest code).
  double factor(const at::Tensor& x) const {
    const std::int64_t features = x.dim() > 0 && x.size(0) > 0 ? x.numel() / x.size(0) : 1;
    return 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(features, 1)) * std::max(range_.high, 1));
  }

  at::Tensor forward_weight(const at::Tensor& w, bool training) {
    check_finite(w, "uniform");
    if (w.numel() == 0) return w;
    const std::int64_t g = groups(w);
    if (binary_) {
      const at::Tensor magnitude = at::tensor(mean_magnitudes(w, g), at::kFloat).unsqueeze(1);
      const at::Tensor rows = signs(w).reshape({g, -1});
      return train::straight_through(w, (rows * magnitude).view(w.sizes()));
    }
    if (!scale_.defined()) set_state(choose(w));
    const Ranges ranges = ranges_of(w);
    const double features = static_cast<double>(w.numel() / g) * std::max(range_.high, 1);
    const at::Tensor used = training && learn_ ? scale() : scales(ranges);
    if (training && !affine_)
      return train::fused_uniform_quantize(w, used, range_.low, range_.high, 1 / std::sqrt(features));
    const at::Tensor zero = zero_points(ranges), rows = w.contiguous().reshape({g, -1});
    return LearnedRows::apply(rows, used, -zero, top_code() - zero, 1 / std::sqrt(features)).view(w.sizes());
  }

  Ranges choose(const at::Tensor& w) const {
    check_finite(w, "uniform");
    const at::Tensor values = plain(w);
    const std::int64_t g = groups(w), size = values.numel() / g;
    Ranges ranges;
    ranges.scale.resize(static_cast<std::size_t>(g));
    ranges.zero_point.resize(static_cast<std::size_t>(g));
    at::parallel_for(0, g, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const UniformRange range = choose_row(values.data_ptr<float>() + i * size, size);
        ranges.scale[static_cast<std::size_t>(i)] = static_cast<float>(range.step);
        ranges.zero_point[static_cast<std::size_t>(i)] = range.zero_point;
      }
    });
    return ranges;
  }

  UniformRange choose_row(const float* row, std::int64_t size) const {
    const Points points = points_of(row, size);
    if (affine_) return choose_affine(points, context_.bits, calibration_, percentile_);
    double sum = 0;
    for (std::int64_t k = 0; k < size; ++k) sum += static_cast<double>(std::fabs(row[k]));
    const double start = size > 0 ? 2 * sum / static_cast<double>(size) / std::sqrt(std::max(range_.high, 1)) : 0;
    const bool from_mean = lsq_init_ && start > 1e-30;
    return {from_mean ? start : choose_step(points, range_, calibration_, percentile_), -range_.low};
  }

  /// The values themselves when they are few, else their histogram.
  static Points points_of(const float* row, std::int64_t size) {
    if (size > 4096) {
      Histogram histogram;
      histogram.add(row, size);
      return histogram.points();
    }
    Points points;
    for (std::int64_t k = 0; k < size; ++k) points.emplace_back(static_cast<double>(row[k]), 1);
    std::sort(points.begin(), points.end());
    return points;
  }

  void set_state(const Ranges& ranges) {
    scale_ = at::tensor(ranges.scale, at::kFloat);
    zero_point_ = zero_points(ranges).clone();
  }
  /// What the state says, or what the weight would be given.
  Ranges ranges_of(const at::Tensor& w) const {
    if (!scale_.defined()) return choose(w);
    const at::Tensor steps = plain(scale());
    const std::int64_t g = groups(w);
    NNQ_CHECK(steps.numel() == g,
              "the state has " + std::to_string(steps.numel()) + " steps, the weight " + std::to_string(g) + " groups",
              "node '" + context_.node.name + "'");
    Ranges ranges;
    ranges.scale.assign(steps.data_ptr<float>(), steps.data_ptr<float>() + g);
    ranges.zero_point.assign(static_cast<std::size_t>(g), -range_.low);
    if (affine_) {
      const at::Tensor zeros = plain(zero_point_);
      for (std::int64_t i = 0; i < g; ++i)
        ranges.zero_point[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(zeros.data_ptr<float>()[i]);
    }
    return ranges;
  }
  static at::Tensor scales(const Ranges& ranges) { return at::tensor(ranges.scale, at::kFloat); }
  static at::Tensor zero_points(const Ranges& ranges) { return at::tensor(ranges.zero_point, at::kInt).to(at::kFloat); }

  train::QuantizerContext context_;
  std::string calibration_;
  double percentile_ = 99.99;
  bool per_channel_ = true, affine_ = false, learn_ = true, lsq_init_ = false, fixed_ = false, binary_ = false;
  CodeRange range_;
  Histogram observed_;
  at::Tensor scale_;       // [groups], value units
  at::Tensor zero_point_;  // [groups], code units
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(uniform) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Uniform>(context);
          }};
}
