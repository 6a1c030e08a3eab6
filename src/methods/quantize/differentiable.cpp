// Differentiable quantization: the points of a non-uniform codebook are trained, the weights are not. Polino, Pascanu,
// Alistarh, "Model compression via distillation and quantization", ICLR 2018, arXiv:1802.05668, sec. 4 (algorithm 2).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>

#include "methods/buckets.h"
#include "methods/parameters.h"
#include "methods/support.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const MethodInfo& info() {
  static const MethodInfo about =
      bucket_method("differentiable", "Differentiable quantization: learned points, frozen weights",
                    {{"init", "quantile", "", "quantile, uniform", "where the points start"},
                     {"points", "0", "", "0..256", "points of this tensor, at most 2^bits; 0: 2^bits"}});
  return about;
}

std::vector<float> to_vector(const at::Tensor& t) {
  const at::Tensor values = plain(t);
  return {values.data_ptr<float>(), values.data_ptr<float>() + values.numel()};
}

constexpr std::int64_t kSumBuckets = 64;  // summed in one go: results do not depend on the number of threads

/// q with dL/dp_j = sum over the weights at point j of (their bucket's range) * dL/dq; the weights get nothing.
struct MovePoints : torch::autograd::Function<MovePoints> {
  /// `order[j]`: which of `points` is the j-th smallest, which code j stands for.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& w, const at::Tensor& points,
                            const at::Tensor& q, const at::Tensor& codes, const at::Tensor& ranges,
                            const at::Tensor& order, std::int64_t bucket) {
    context->save_for_backward({codes, ranges, order});
    context->saved_data["bucket"] = bucket;
    context->saved_data["points"] = points.numel();
    (void)w;
    return q.clone();
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor g = plain(gradients[0]);
    const auto* codes = saved[0].data_ptr<std::uint8_t>();
    const float *ranges = saved[1].data_ptr<float>(), *back = g.data_ptr<float>();
    const std::int64_t bucket = context->saved_data["bucket"].toInt(), levels = context->saved_data["points"].toInt();
    const std::int64_t buckets = saved[1].numel(), chunks = (buckets + kSumBuckets - 1) / kSumBuckets;
    std::vector<double> parts(static_cast<std::size_t>(chunks * levels), 0);
    at::parallel_for(0, chunks, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t c = first; c < last; ++c) {
        double* sums = parts.data() + c * levels;
        for (std::int64_t b = c * kSumBuckets; b < std::min(buckets, (c + 1) * kSumBuckets); ++b) {
          for (std::int64_t i = b * bucket; i < std::min(g.numel(), (b + 1) * bucket); ++i)
            sums[codes[i]] += static_cast<double>(ranges[b]) * static_cast<double>(back[i]);
        }
      }
    });
    at::Tensor result = at::empty({levels}, at::kFloat);
    for (std::int64_t j = 0; j < levels; ++j) {
      double sum = 0;
      for (std::int64_t c = 0; c < chunks; ++c) sum += parts[static_cast<std::size_t>(c * levels + j)];
      result.data_ptr<float>()[saved[2].data_ptr<std::int64_t>()[j]] = static_cast<float>(sum);
    }
    return {at::zeros_like(gradients[0]), result, {}, {}, {}, {}, {}};
  }
};

class Differentiable final : public train::Quantizer {
 public:
  explicit Differentiable(const train::QuantizerContext& context) : context_(context) {
    bucket_ = bucket_size(context_, info());
    const Parameters parameters(context_, info());
    quantiles_ = parameters.choice("init", {"quantile", "uniform"}) == "quantile";
    levels_ = static_cast<int>(parameters.number("points", 0, 256));
    if (levels_ == 0) levels_ = 1 << context.bits;
    NNQ_CHECK(levels_ >= 2 && levels_ <= 1 << context.bits,
              std::to_string(levels_) + " points do not go into codes of " + std::to_string(context.bits) + " bits",
              "method 'differentiable'");
  }

  at::Tensor forward(const at::Tensor& w, bool training) override {
    check_finite(w, "differentiable");
    if (w.numel() == 0) return w;
    if (training && !points_.defined()) calibrate(w);
    const State state = state_for(w);
    const Encoding encoding = encode_with(w, state);
    const at::Tensor q = decoded(encoding);
    if (!training) return q;
    at::Tensor codes = at::empty({w.numel()}, at::kByte), ranges = at::empty({state.buckets.count()}, at::kFloat);
    std::copy(encoding.codes.begin(), encoding.codes.end(), codes.data_ptr<std::uint8_t>());
    for (std::int64_t b = 0; b < ranges.numel(); ++b)
      ranges.data_ptr<float>()[b] =
          state.buckets.high[static_cast<std::size_t>(b)] - state.buckets.low[static_cast<std::size_t>(b)];
    const at::Tensor order = at::tensor(state.order, at::kLong);
    return MovePoints::apply(w, points_, q, codes, ranges, order, state.buckets.size);
  }

  /// Ranges and points of the weight; they stay as they are until the next call but for what training does to points.
  void calibrate(const at::Tensor& w) override {
    check_finite(w, "differentiable");
    const Buckets buckets = scale_buckets(w, bucket_);
    low_ = at::tensor(buckets.low, at::kFloat);
    high_ = at::tensor(buckets.high, at::kFloat);
    points_ = at::tensor(first_points(w, buckets), at::kFloat).set_requires_grad(true);
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "differentiable");
    return encode_with(w, state_for(w));
  }

  std::vector<train::StateEntry> state() override {
    return {{"points", &points_, true, 1}, {"low", &low_, false, 1}, {"high", &high_, false, 1}};
  }

  double learning_rate_scale(const at::Tensor&) const override { return 0; }

 private:
  struct State {
    Buckets buckets;
    std::vector<float> points;        // ascending
    std::vector<std::int64_t> order;  // where each of them is in points_
  };

  std::vector<float> first_points(const at::Tensor& w, const Buckets& buckets) const {
    return quantiles_ ? quantile_points(w, buckets, levels_) : uniform_points(levels_);
  }

  /// Trained state with its points sorted, or what `w` would be given.
  State state_for(const at::Tensor& w) const {
    State state;
    std::vector<float> points;
    if (points_.defined()) {
      state.buckets.size = bucket_ > 0 ? bucket_ : std::max<std::int64_t>(w.numel(), 1);
      state.buckets.low = to_vector(low_);
      state.buckets.high = to_vector(high_);
      points = to_vector(points_);
      const std::int64_t wanted = bucket_groups(w.numel(), state.buckets.size);
      NNQ_CHECK(
          state.buckets.count() == wanted && high_.numel() == wanted &&
              points.size() == static_cast<std::size_t>(levels_),
          "the state has " + std::to_string(state.buckets.count()) + " buckets, the weight " + std::to_string(wanted),
          "node '" + context_.node.name + "'");
    } else {
      state.buckets = scale_buckets(w, bucket_);
      points = first_points(w, state.buckets);
    }
    state.order.resize(points.size());
    std::iota(state.order.begin(), state.order.end(), 0);
    std::stable_sort(state.order.begin(), state.order.end(), [&](std::int64_t a, std::int64_t b) {
      return points[static_cast<std::size_t>(a)] < points[static_cast<std::size_t>(b)];
    });
    for (const std::int64_t j : state.order) state.points.push_back(points[static_cast<std::size_t>(j)]);
    return state;
  }

  static Encoding encode_with(const at::Tensor& w, const State& state) {
    return bucket_encoding(w, state.buckets, state.points, nearest_codes(w, state.buckets, state.points));
  }

  train::QuantizerContext context_;
  std::int64_t bucket_ = 256;
  bool quantiles_ = true;
  int levels_ = 0;
  at::Tensor points_;      // [levels], fractions of a bucket's range, in the order they were born in
  at::Tensor low_, high_;  // [buckets], value units
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(differentiable) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Differentiable>(context);
          }};
}
