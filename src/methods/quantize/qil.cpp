// QIL: quantization intervals learned by the task loss.  S. Jung, C. Son, S. Lee, J. Son, J.-J. Han, Y. Kwak, S. J.
// Hwang, C. Choi, CVPR 2019, arXiv:1808.05779.  The schedule over 5, 4, 3, 2 bits is the recipe stage set_bits.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "methods/calibration.h"
#include "methods/parameters.h"
#include "methods/support.h"
#include "nnq/error.h"
#include "train/element_loops.h"
#include "train/fused_interval.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Centre and half width stay at least this large: the slope is 0.5 / half_width.
constexpr float kLeastInterval = 1e-3F;
/// Where t^(gamma - 1) and ln t are cut: both are infinite at the prune point.
constexpr double kLeastPosition = 1e-6;

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "qil",
      .title = "QIL: learned quantization intervals",
      .paper = "Jung, Son, Lee, Son, Han, Kwak, Hwang, Choi, 2019, arXiv:1808.05779",
      .kind = "quantizer",
      .encoding = "uniform",
      .roles = "weights 2..8, activations 1..8 (not negative: behind a Relu)",
      .parameters = {
          {"init", "percentile", "", "percentile, reference, full_range",
           "where the interval starts: 0 to a percentile; 1/10 of the range to the 90th percentile; 0 to the largest"},
          {"percentile", "99", "%", "50..100", "share of the positive values that init = percentile does not clip"},
          {"gamma", "1", "", "0.05..20", "weights: exponent of the transformer"},
          {"learn", "1", "", "0, 1", "centre and half width are trained"},
          {"learn_gamma", "0", "", "0, 1", "weights: gamma is trained, from `gamma` on"},
          {"train_weights", "1", "", "0, 1", "weights: 0 trains the quantizer only"},
          {"interval_learning_rate", "0.01", "", "0..1000", "factor on the learning rate of the interval and of gamma"},
          {"rescale", "0", "", "0, 1", "multiply by the interval's end, for layers without BatchNormalization"},
      }};
  return about;
}

/// Transformer of one layer; all above 0.
struct Interval {
  float center = 0.5F, half_width = 0.5F;
  double gamma = 1;
  bool rescaled = false;

  float low() const { return center - half_width; }
  double full() const { return rescaled ? static_cast<double>(center) + static_cast<double>(half_width) : 1; }
  train::IntervalForm form(int top) const {
    return {low(), static_cast<float>(2 * static_cast<double>(half_width) / top), static_cast<float>(top),
            static_cast<float>(full() / top)};
  }
};

/// Signed codes rint(q sign(w) t^gamma), t = position of |w| in the interval, 0 .. 1; no negative zeros.
at::Tensor weight_codes(const at::Tensor& w, const Interval& interval, int top) {
  const float low = interval.low(), width = 2 * interval.half_width, q = static_cast<float>(top);
  return train::map_floats(w, [=, gamma = interval.gamma](const float* in, float* out, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      const float t = std::clamp((std::fabs(in[i]) - low) / width, 0.0F, 1.0F);
      const float h = gamma == 1 ? t : static_cast<float>(std::pow(static_cast<double>(t), gamma));
      out[i] = std::copysign(std::nearbyint(h * q), in[i]) + 0.0F;
    }
  });
}

struct WeightSums {
  double center = 0, half_width = 0, gamma = 0, output = 0;
  std::int64_t pruned = 0, clipped = 0;
};

/// Slopes of r sign(w) t^gamma for n weights; `gradient` is overwritten by that of w.
WeightSums weight_gradient(float* gradient, const float* w, std::int64_t n, const Interval& interval) {
  const double c = static_cast<double>(interval.center), d = static_cast<double>(interval.half_width);
  const double low = static_cast<double>(interval.low()), high = c + d, alpha = 0.5 / d, gamma = interval.gamma,
               full = interval.full();
  WeightSums sums;
  for (std::int64_t i = 0; i < n; ++i) {
    const double m = std::fabs(static_cast<double>(w[i])), g = static_cast<double>(gradient[i]) * full;
    const double s = w[i] >= 0 ? g : -g;
    if (m < low || m > high) {
      (m < low ? sums.pruned : sums.clipped) += 1;
      gradient[i] = 0;
      continue;
    }
    const double t = std::max((m - low) * alpha, kLeastPosition);
    const double power = gamma == 1 ? t : std::pow(t, gamma), slope = alpha * (gamma == 1 ? 1 : gamma * power / t);
    gradient[i] = static_cast<float>(g * slope);
    sums.center -= s * slope;
    sums.half_width += s * slope / d * (c - m);
    sums.gamma += s * power * std::log(t);
  }
  return sums;
}

/// y = r / q * codes of row-major w.
struct TransformedWeight : torch::autograd::Function<TransformedWeight> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& w, const at::Tensor&, const at::Tensor&,
                            const at::Tensor&, Interval interval, int top, train::IntervalCounts* counts) {
    const at::Tensor y = weight_codes(w, interval, top).mul_(interval.form(top).step);
    context->save_for_backward({w, y});
    context->saved_data["numbers"] = std::vector<double>{static_cast<double>(interval.center),
                                                         static_cast<double>(interval.half_width), interval.gamma};
    context->saved_data["rescaled"] = interval.rescaled;
    context->saved_data["counts"] = reinterpret_cast<std::int64_t>(counts);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::vector<double> numbers = context->saved_data["numbers"].toDoubleVector();
    const Interval interval{static_cast<float>(numbers[0]), static_cast<float>(numbers[1]), numbers[2],
                            context->saved_data["rescaled"].toBool()};
    const variable_list saved = context->get_saved_variables();
    const at::Tensor w = saved[0];
    at::Tensor out = at::empty_like(w).copy_(gradients[0]);
    const double of_end = interval.rescaled ? sum_of_products(out, saved[1]) / interval.full() : 0;
    const WeightSums sums = run(out, w, interval);
    *reinterpret_cast<train::IntervalCounts*>(context->saved_data["counts"].toInt()) = {sums.pruned, sums.clipped,
                                                                                        w.numel()};
    const auto scalar = [](double value) { return at::full({1}, value, at::kFloat); };
    const at::Tensor none;
    return {out, scalar(of_end + sums.center), scalar(of_end + sums.half_width), scalar(sums.gamma), none, none, none};
  }

  static WeightSums run(at::Tensor& gradient, const at::Tensor& w, const Interval& interval) {
    const std::int64_t count = w.numel(), chunk = 1 << 12, chunks = (count + chunk - 1) / chunk;
    std::vector<WeightSums> parts(static_cast<std::size_t>(chunks));
    const float* from = w.data_ptr<float>();
    float* to = gradient.data_ptr<float>();
    at::parallel_for(0, chunks, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t p = first; p < last; ++p)
        parts[static_cast<std::size_t>(p)] =
            weight_gradient(to + p * chunk, from + p * chunk, std::min(chunk, count - p * chunk), interval);
    });
    WeightSums total;
    for (const WeightSums& part : parts) {
      total.center += part.center;
      total.half_width += part.half_width;
      total.gamma += part.gamma;
      total.pruned += part.pruned;
      total.clipped += part.clipped;
    }
    return total;
  }
};

/// The value that `share` of all counts do not exceed; points ascend.
double quantile(const Points& points, double share) {
  double total = 0, seen = 0;
  for (const auto& [value, count] : points) total += count;
  for (const auto& [value, count] : points)
    if ((seen += count) >= share * total) return value;
  return points.back().first;
}

class Qil final : public train::Quantizer {
 public:
  explicit Qil(const train::QuantizerContext& context) : context_(context) {
    if (context.role == train::Role::gradient) refuse_role(context, info());
    check_bits(context, info(), weight() ? 2 : 1, 8);
    const Parameters parameters(context_, info());
    init_ = parameters.choice("init", {"percentile", "reference", "full_range"});
    percentile_ = parameters.number("percentile", 50, 100);
    fixed_gamma_ = parameters.number("gamma", 0.05, 20);
    learn_ = parameters.flag("learn");
    learn_gamma_ = parameters.flag("learn_gamma") && weight();
    train_weights_ = parameters.flag("train_weights");
    rate_ = parameters.number("interval_learning_rate", 0, 1000);
    rescale_ = parameters.flag("rescale");
    gamma_ = at::full({1}, fixed_gamma_, at::kFloat);
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    if (weight()) check_finite(x, "qil");
    if (x.numel() == 0) return x;
    if (!center_.defined()) {
      calibrate(x);
      finish_calibration();
    }
    if (training) project();
    const Interval interval = current();
    if (!weight()) {
      if (!training) return train::interval_values(x, interval.form(top()));
      return train::fused_interval_quantize(x, center_, half_width_, interval.form(top()), rescale_, &counts_);
    }
    const at::Tensor rows = x.contiguous();
    if (!training) return weight_codes(rows, interval, top()).mul_(interval.form(top()).step);
    return TransformedWeight::apply(rows, center_, half_width_, gamma_, interval, top(), &counts_);
  }

  void calibrate(const at::Tensor& x) override {
    check_finite(x, "qil");
    const at::Tensor values = plain(x);
    if (!weight()) {  // zeros behind a Relu say nothing about where values lie
      const at::Tensor positive = values.masked_select(values > 0);
      seen_ = true;
      return observed_.add(positive.data_ptr<float>(), positive.numel());
    }
    const at::Tensor sorted = std::get<0>(at::sort(values.abs().flatten()));
    Points points;
    for (std::int64_t i = 0; i < sorted.numel(); ++i)
      points.emplace_back(static_cast<double>(sorted.data_ptr<float>()[i]), 1);
    start_from(points);
  }

  void finish_calibration() override {
    if (weight() || !seen_) return;
    start_from(observed_.empty() ? Points() : observed_.points());
    observed_ = {};
    seen_ = false;
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "qil");
    const Interval interval = center_.defined() ? current() : Interval{.gamma = fixed_gamma_, .rescaled = rescale_};
    NNQ_CHECK(center_.defined() || w.numel() == 0, "the interval was never set", "node '" + context_.node.name + "'",
              "calibrate the network first");
    Encoding e;
    e.kind = EncodingKind::uniform;
    e.bits = context_.bits;
    e.shape = shape_of(w);
    e.codes = to_codes(weight_codes(plain(w), interval, top()).add_(top()).to(at::kByte));
    e.scale = {interval.form(top()).step};
    e.zero_point = {top()};
    return e;
  }

  ActivationCode activation_code() const override {
    NNQ_CHECK(center_.defined(), "the activation quantizer was never calibrated", "node '" + context_.node.name + "'",
              "run calibration batches through the network first");
    const train::IntervalForm form = current().form(top());
    ActivationCode code;
    code.scale = form.scale;
    code.offset = form.offset;
    code.step = form.step;
    code.min = 0;
    code.max = top();
    code.bits = context_.bits;
    return code;
  }

  std::vector<train::StateEntry> state() override {
    std::vector<train::StateEntry> entries{{"center", &center_, learn_, rate_},
                                           {"half_width", &half_width_, learn_, rate_}};
    if (learn_gamma_) entries.push_back({"gamma", &gamma_, true, rate_});
    return entries;
  }

  double learning_rate_scale(const at::Tensor&) const override { return train_weights_ ? 1 : 0; }

  void carry_state(int) override {}  // the interval is in units of the input

  std::map<std::string, double> statistics() const override {
    if (counts_.total == 0) return {};
    const auto total = static_cast<double>(counts_.total);
    return {{"pruned", static_cast<double>(counts_.pruned) / total},
            {"clipped", static_cast<double>(counts_.clipped) / total}};
  }

  /// What lies below the interval is 0 with a zero gradient, and the interval begins at 0 or above.
  bool absorbs_relu() const override { return !weight(); }

 private:
  bool weight() const { return context_.role == train::Role::weight; }
  int top() const { return weight() ? (1 << (context_.bits - 1)) - 1 : (1 << context_.bits) - 1; }

  /// The state as it acts: training may push it anywhere.
  Interval current() const {
    Interval interval{.rescaled = rescale_};
    interval.center = std::max(center_.item<float>(), kLeastInterval);
    interval.half_width = std::clamp(half_width_.item<float>(), kLeastInterval, interval.center);
    interval.gamma = learn_gamma_ ? std::clamp(gamma_.item<double>(), 0.05, 20.0) : fixed_gamma_;
    return interval;
  }

  /// Puts the state where current() sees it, so that the next gradients start from there.
  void project() {
    const at::NoGradGuard no_gradient;
    const Interval interval = current();
    if (center_.item<float>() != interval.center) center_.fill_(interval.center);
    if (half_width_.item<float>() != interval.half_width) half_width_.fill_(interval.half_width);
    if (learn_gamma_ && gamma_.item<double>() != interval.gamma) gamma_.fill_(interval.gamma);
  }

  void start_from(Points points) {
    points.erase(points.begin(), std::find_if(points.begin(), points.end(), [](const auto& p) { return p.first > 0; }));
    double low = 0, high = 1;  // nothing to go by: 0 .. 1
    if (!points.empty()) {
      const double share = init_ == "reference" ? 0.9 : init_ == "percentile" ? percentile_ / 100 : 1;
      high = quantile(points, share);
      if (init_ == "reference") low = points.front().first + (high - points.front().first) / 10;
    }
    center_ = at::full({1}, (high + low) / 2, at::kFloat);
    half_width_ = at::full({1}, (high - low) / 2, at::kFloat);
    project();
  }

  train::QuantizerContext context_;
  std::string init_;
  double percentile_ = 99, fixed_gamma_ = 1, rate_ = 0.01;
  bool learn_ = true, learn_gamma_ = false, train_weights_ = true, rescale_ = false;
  Histogram observed_;                      // of positive values
  bool seen_ = false;                       // some values, positive or not
  train::IntervalCounts counts_;            // of the last step
  at::Tensor center_, half_width_, gamma_;  // [1]
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(qil) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Qil>(context);
          }};
}
