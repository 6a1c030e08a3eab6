// Ternary weight networks.  F. Li, B. Zhang, B. Liu, "Ternary Weight Networks", 2016, arXiv:1605.04711 (sec. 2.1,
// equations 3 to 6; the third version of 2022 has the threshold 0.75 mean|w|).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "methods/parameters.h"
#include "methods/support.h"
#include "methods/ternary.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "twn",
      .title = "Ternary weight networks",
      .paper = "Li, Zhang, Liu, 2016, arXiv:1605.04711",
      .kind = "quantizer",
      .encoding = "uniform",
      .roles = "weights 2",
      .parameters = {
          {"threshold", "0.75", "", "0.7, 0.75, exact",
           "times mean|w|: weights up to there become 0; exact: least squared error"},
          {"per_channel", "0", "", "0, 1", "one threshold and scale an output channel (0: a layer)"},
      }};
  return about;
}

class Twn final : public train::Quantizer {
 public:
  explicit Twn(const train::QuantizerContext& context) : context_(context) {
    if (context.role != train::Role::weight) refuse_role(context, info());
    check_bits(context, info(), 2, 2);
    const Parameters parameters(context_, info());
    const std::string rule = parameters.choice("threshold", {"0.7", "0.75", "exact"});
    exact_ = rule == "exact";
    factor_ = rule == "0.7" ? 0.7 : 0.75;
    per_channel_ = parameters.flag("per_channel");
  }

  at::Tensor forward(const at::Tensor& x, bool) override {
    check_finite(x, "twn");
    if (x.numel() == 0) return x;
    const Parts parts = split(x);
    const at::Tensor q = parts.codes.to(at::kFloat).sub_(1).mul_(at::tensor(parts.scales, at::kFloat).unsqueeze(1));
    return train::straight_through(x, q.add_(0.0).view(x.sizes()));  // no negative zeros
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "twn");
    const Parts parts = split(w);
    Encoding e;
    e.kind = EncodingKind::uniform;
    e.bits = 2;
    e.shape = shape_of(w);
    e.groups = static_cast<std::int64_t>(parts.scales.size());
    e.codes = to_codes(parts.codes);
    e.scale = parts.scales;
    e.zero_point.assign(parts.scales.size(), 1);
    return e;
  }

 private:
  struct Parts {
    at::Tensor codes;  // [groups, size] of 0, 1, 2
    std::vector<float> scales;
  };

  Parts split(const at::Tensor& w) const {
    const at::Tensor x = plain(w);
    const std::int64_t groups = groups_of(w, per_channel_, context_.channel_axis), size = x.numel() / groups;
    Parts parts;
    parts.scales.resize(static_cast<std::size_t>(groups));
    std::vector<float> thresholds(parts.scales.size());
    at::parallel_for(0, groups, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t g = begin; g < end; ++g) {
        const float* row = x.data_ptr<float>() + g * size;
        const Ternary found = exact_ ? ternary_exact(row, size) : ternary_by_mean(row, size, factor_);
        thresholds[static_cast<std::size_t>(g)] = found.threshold;
        parts.scales[static_cast<std::size_t>(g)] = found.scale;
      }
    });
    parts.codes = ternary_codes(x.view({groups, size}), at::tensor(thresholds, at::kFloat).unsqueeze(1));
    return parts;
  }

  train::QuantizerContext context_;
  bool exact_ = false, per_channel_ = false;
  double factor_ = 0.75;
};

}  // namespace
}  // namespace nnq::methods

NNQ_METHOD(twn) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::Twn>(context);
          }};
}
