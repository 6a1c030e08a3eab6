// LQ-Nets.  D. Zhang, J. Yang, D. Ye, G. Hua, "LQ-Nets: Learned Quantization for Highly Accurate and Compact Deep
// Neural Networks", ECCV 2018, arXiv:1807.10029: levels of a learned basis (sec. 3.1), quantization error minimisation
// (sec. 3.2, equations 4 to 6, algorithm 1), training (sec. 3.3, algorithm 2).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "methods/multibit.h"
#include "methods/parameters.h"
#include "methods/support.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

using multibit::Digits;
using multibit::Levels;
using multibit::Ties;

constexpr double kNormalQuartile = 0.6745;  // N(0, 1): three quarters lie below it

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "lq_nets",
      .title = "LQ-Nets: levels of a learned basis",
      .paper = "Zhang, Yang, Ye, Hua, 2018, arXiv:1807.10029",
      .kind = "quantizer",
      .encoding = "bit planes",
      .roles = "weights 1..8, activations 1..8",
      .parameters = {
          {"moving_average", "0.9", "", "0..1", "share of the old basis kept in a training step"},
          {"ridge", "1e-4", "", "0..1", "weights: added to the Gram matrix, pulls the basis to the old one"},
          {"initial_scale", "1", "", "1e-6..1e6", "factor on the paper's initial basis (used without calibration)"},
          {"learn", "1", "", "0, 1", "the basis follows the data in training; 0: it stays"},
      }};
  return about;
}

class LqNets final : public train::Quantizer {
 public:
  explicit LqNets(const train::QuantizerContext& context)
      : context_(context), activations_(activation_options(context)) {
    if (context.role == train::Role::gradient) refuse_role(context, info());
    check_bits(context, info(), 1, multibit::kMaxBits);
    const Parameters parameters(context_, info());
    kept_ = parameters.number("moving_average", 0, 1);
    ridge_ = parameters.number("ridge", 0, 1);
    initial_scale_ = parameters.number("initial_scale", 1e-6, 1e6);
    learn_ = parameters.flag("learn");
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    if (!weight()) return activations_.forward(x, training);
    check_finite(x, "lq_nets");
    if (x.numel() == 0) return x;
    if (!bases_.defined()) bases_ = initial(x);
    at::Tensor q, moved;
    quantize_rows(x, training && learn_, q, moved);
    if (moved.defined()) bases_ = moved;
    return train::straight_through(x, q.view(x.sizes()));
  }

  void calibrate(const at::Tensor& x) override {
    if (!weight()) return activations_.calibrate(x);
    check_finite(x, "lq_nets");
    const std::int64_t rows = groups(x), size = x.numel() / rows;
    const at::Tensor values = plain(x), start = initial(x);
    at::Tensor fitted = at::empty_like(start);
    at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        Points points;
        const float* row = values.data_ptr<float>() + r * size;
        for (std::int64_t i = 0; i < size; ++i) points.emplace_back(static_cast<double>(row[i]), 1.0);
        const auto basis = fit_basis(points, context_.bits, Digits::signs, Ties::down, row_of(start, r));
        std::copy(basis.begin(), basis.end(), fitted.data_ptr<float>() + r * context_.bits);
      }
    });
    bases_ = fitted;
  }
  void finish_calibration() override {
    if (!weight()) activations_.finish_calibration();
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "lq_nets");
    const at::Tensor x = plain(w), bases = grid_bases(w);
    const std::int64_t rows = groups(w), size = x.numel() / rows;
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(x.numel()));
    for (std::int64_t r = 0; r < rows; ++r)
      multibit::encode(Levels(row_of(bases, r), Digits::signs, Ties::down), x.data_ptr<float>() + r * size,
                       codes.data() + r * size, size);
    return plane_encoding(w, {bases.data_ptr<float>(), static_cast<std::size_t>(bases.numel())}, context_.bits,
                          std::move(codes));
  }

  ActivationCode activation_code() const override { return activations_.code("node '" + context_.node.name + "'"); }

  std::vector<train::StateEntry> state() override {
    if (!weight()) return activations_.state();
    return {{"basis", &bases_, false, 1}};
  }

 private:
  bool weight() const { return context_.role == train::Role::weight; }
  std::int64_t groups(const at::Tensor& w) const { return groups_of(w, true, context_.channel_axis); }
  std::span<const float> row_of(const at::Tensor& bases, std::int64_t r) const {
    return {bases.data_ptr<float>() + r * context_.bits, static_cast<std::size_t>(context_.bits)};
  }

  /// After a ReLU the codes have digits 0 and 1, so that 0 is a level (the paper's case); an input that can be negative
  /// gets digits -1 and +1, like the weights.
  static ActivationBasis::Options activation_options(const train::QuantizerContext& context) {
    const Parameters parameters(context, info());
    const bool is_signed = context.node.get_int("signed", 0) != 0;
    const double scale = parameters.number("initial_scale", 1e-6, 1e6);
    ActivationBasis::Options options;
    options.bits = std::clamp(context.bits, 1, multibit::kMaxBits);  // the constructor refuses others
    options.digits = is_signed ? Digits::signs : Digits::bits;
    options.ties = is_signed && options.bits == 1 ? Ties::up : Ties::down;  // one signed bit is sign(x), sign(0) = +1
    options.kept = parameters.number("moving_average", 0, 1);
    options.masked = true;
    options.learn = parameters.flag("learn");
    for (int j = 0; j < options.bits; ++j)
      options.start.push_back(static_cast<float>(
          scale * std::ldexp(kNormalQuartile, j) /
          (is_signed ? std::ldexp(1.0, options.bits - 1) : (std::ldexp(1.0, options.bits) - 1) / 2)));
    return options;
  }

  /// v_j = 2^j 0.6745 sqrt(2 / n) / 2^(K - 1), n = fan-out: for weights of He's normal initialisation.
  at::Tensor initial(const at::Tensor& w) const {
    const std::int64_t inputs = w.dim() > 1 ? w.size(1) : 1;
    const double fan_out = static_cast<double>(inputs > 0 ? std::max<std::int64_t>(w.numel() / inputs, 1) : 1);
    const double unit = initial_scale_ * kNormalQuartile * std::sqrt(2 / fan_out) / std::ldexp(1.0, context_.bits - 1);
    std::vector<float> basis;
    for (int j = 0; j < context_.bits; ++j) basis.push_back(static_cast<float>(std::ldexp(unit, j)));
    return at::tensor(basis, at::kFloat).repeat({groups(w), 1});
  }

  at::Tensor bases_of(const at::Tensor& w) const {
    if (!bases_.defined()) return initial(w);
    const at::Tensor bases = plain(bases_);
    NNQ_CHECK(bases.numel() == groups(w) * context_.bits,
              "the state has " + std::to_string(bases.numel()) + " numbers, the weight needs " +
                  std::to_string(groups(w) * context_.bits),
              "node '" + context_.node.name + "'");
    return bases;
  }

  /// The rows' bases on their grids: what levels are made of.
  at::Tensor grid_bases(const at::Tensor& w) const {
    const at::Tensor bases = bases_of(w).clone();
    for (std::int64_t r = 0; r < groups(w); ++r)
      multibit::to_grid({bases.data_ptr<float>() + r * context_.bits, static_cast<std::size_t>(context_.bits)});
    return bases;
  }

  /// q [rows, size]; with `learn`, also the bases after one step of quantization error minimisation and the average.
  void quantize_rows(const at::Tensor& w, bool learn, at::Tensor& q, at::Tensor& moved) const {
    const at::Tensor x = plain(w), bases = bases_of(w), used = grid_bases(w);
    const std::int64_t rows = groups(w), size = x.numel() / rows;
    q = at::empty({rows, size}, at::kFloat);
    if (learn) moved = at::empty_like(bases);
    const float* from = x.data_ptr<float>();
    float *to = q.data_ptr<float>(), *out = learn ? moved.data_ptr<float>() : nullptr;
    const std::int64_t grain = std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(size, 1));
    at::parallel_for(0, rows, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const Levels levels(row_of(used, r), Digits::signs, Ties::down);
        multibit::quantize(levels, from + r * size, to + r * size, size);
        if (learn) follow(levels, from + r * size, size, row_of(bases, r), out + r * context_.bits);
      }
    });
  }

  void follow(const Levels& levels, const float* row, std::int64_t size, std::span<const float> basis,
              float* moved) const {
    multibit::Bins bins;
    multibit::accumulate(levels, row, size, bins);
    std::array<float, multibit::kMaxBits> found{};
    std::copy(basis.begin(), basis.end(), found.begin());
    multibit::least_squares(bins, Digits::signs, ridge_, basis, {found.data(), basis.size()});
    for (std::size_t j = 0; j < basis.size(); ++j)
      moved[j] =
          static_cast<float>(kept_ * static_cast<double>(basis[j]) + (1 - kept_) * static_cast<double>(found[j]));
  }

  train::QuantizerContext context_;
  ActivationBasis activations_;
  double kept_ = 0.9, ridge_ = 1e-4, initial_scale_ = 1;
  bool learn_ = true;
  at::Tensor bases_;  // [groups, bits]
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(lq_nets) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::LqNets>(context);
          }};
}
