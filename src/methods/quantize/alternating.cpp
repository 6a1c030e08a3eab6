// Alternating multi-bit quantization.  C. Xu, J. Yao, Z. Lin, W. Ou, Y. Cao, Z. Wang, H. Zha, "Alternating Multi-bit
// Quantization for Recurrent Neural Networks", ICLR 2018, arXiv:1802.00150: greedy approximation (sec. 2), refined
// greedy (sec. 2), alternating minimisation (sec. 3, algorithms 1 and 2), training (sec. 4, equation 7).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "methods/multibit.h"
#include "methods/parameters.h"
#include "methods/support.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

using multibit::Digits;
using multibit::Search;

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "alternating",
      .title = "Alternating multi-bit quantization",
      .paper = "Xu, Yao, Lin, Ou, Cao, Wang, Zha, 2018, arXiv:1802.00150",
      .kind = "quantizer",
      .encoding = "bit planes",
      .roles = "weights 1..8, activations 1..8",
      .parameters = {
          {"search", "alternating", "", "greedy, refined, alternating", "weights: how scales and signs are found"},
          {"cycles", "2", "", "0..100", "least squares for the scales, nearest levels for the signs, so many times"},
          {"clip", "1", "", "0, 1", "weights: latent values are kept in [-1, 1] after each step"},
          {"moving_average", "0.9", "", "0..1", "activations: share of the old basis kept in a training step"},
      }};
  return about;
}

Search search_of(const std::string& name) {
  return name == "greedy" ? Search::greedy : name == "refined" ? Search::refined : Search::alternating;
}

/// Every row of the weight as a sum of `bits` scaled vectors of signs.
struct Decomposition {
  at::Tensor values;  // [rows, size]
  std::vector<float> alphas;
  std::vector<std::uint8_t> codes;
};

class Alternating final : public train::Quantizer {
 public:
  explicit Alternating(const train::QuantizerContext& context)
      : context_(context), basis_(activation_options(context)) {
    if (context.role == train::Role::gradient) refuse_role(context, info());
    check_bits(context, info(), 1, multibit::kMaxBits);
    const Parameters parameters(context_, info());
    search_ = search_of(parameters.choice("search", {"greedy", "refined", "alternating"}));
    cycles_ = static_cast<int>(parameters.number("cycles", 0, 100));
    clip_ = parameters.flag("clip");
  }

  at::Tensor forward(const at::Tensor& x, bool training) override {
    if (!weight()) return basis_.forward(x, training);
    check_finite(x, "alternating");
    if (x.numel() == 0) return x;
    return train::straight_through(x, decompose(x).values.view(x.sizes()));
  }

  void calibrate(const at::Tensor& x) override {
    if (!weight()) basis_.calibrate(x);
  }
  void finish_calibration() override {
    if (!weight()) basis_.finish_calibration();
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "alternating");
    Decomposition parts = decompose(w);
    return plane_encoding(w, parts.alphas, context_.bits, std::move(parts.codes));
  }

  ActivationCode activation_code() const override { return basis_.code("node '" + context_.node.name + "'"); }

  std::vector<train::StateEntry> state() override {
    return weight() ? std::vector<train::StateEntry>{} : basis_.state();
  }

  void after_step(at::Tensor& latent) override {
    if (!clip_ || !weight()) return;
    const at::NoGradGuard no_gradient;
    latent.clamp_(-1, 1);
  }

 private:
  bool weight() const { return context_.role == train::Role::weight; }

  static ActivationBasis::Options activation_options(const train::QuantizerContext& context) {
    const Parameters parameters(context, info());
    ActivationBasis::Options options;
    options.bits = context.bits;
    options.digits = context.node.get_int("signed", 0) != 0 ? Digits::signs : Digits::bits;
    options.cycles = static_cast<int>(parameters.number("cycles", 0, 100));
    options.kept = parameters.number("moving_average", 0, 1);
    return options;
  }

  Decomposition decompose(const at::Tensor& w) const {
    const at::Tensor x = plain(w);
    const std::int64_t rows = groups_of(w, true, context_.channel_axis), size = x.numel() / rows;
    const auto bits = static_cast<std::size_t>(context_.bits);
    Decomposition parts;
    parts.values = at::empty({rows, size}, at::kFloat);
    parts.alphas.resize(static_cast<std::size_t>(rows) * bits);
    parts.codes.resize(static_cast<std::size_t>(x.numel()));
    const float* from = x.data_ptr<float>();
    float* to = parts.values.data_ptr<float>();
    const std::int64_t grain = std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(size, 1));
    at::parallel_for(0, rows, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::span<float> alpha(parts.alphas.data() + static_cast<std::size_t>(r) * bits, bits);
        std::uint8_t* codes = parts.codes.data() + r * size;
        multibit::decompose(from + r * size, size, context_.bits, search_, cycles_, alpha.data(), codes, to + r * size);
        multibit::to_grid(alpha);
        multibit::levels_of(alpha, Digits::signs, codes, to + r * size, size);
      }
    });
    return parts;
  }

  train::QuantizerContext context_;
  ActivationBasis basis_;
  Search search_ = Search::alternating;
  int cycles_ = 2;
  bool clip_ = true;
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(alternating) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Alternating>(context);
          }};
}
