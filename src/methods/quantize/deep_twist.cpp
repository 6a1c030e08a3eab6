// DeepTwist: model compression by occasional weight distortion.  D. Lee, P. Kapoor, B. Kim, 2018, arXiv:1810.12823.
// Training is ordinary; every `period` steps the weights are overwritten by their compressed form.
#include "methods/quantize/deep_twist.h"

#include <ATen/ATen.h>

#include <cmath>

#include "methods/distortion.h"
#include "methods/parameters.h"
#include "methods/support.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "deep_twist",
      .title = "DeepTwist: occasional distortion by any projection",
      .paper = "Lee, Kapoor, Kim, 2018, arXiv:1810.12823",
      .kind = "quantizer",
      .encoding = "uniform (ternary), bit planes (multi_bit); pruned and low-rank weights stay float",
      .roles = "weights 2 (ternary), 1..8 (multi_bit; without meaning for prune, svd, tucker2)",
      .parameters = {
          {"projection", "ternary", "", "ternary, multi_bit, prune, svd, tucker2, none", "the compressed format"},
          {"period", "100", "steps", "1..1e9", "optimizer steps between two distortions"},
          {"threshold", "0.7", "", "0.7, 0.75, exact", "ternary: as method twn"},
          {"rate", "0.9", "", "0..0.999", "prune: share of the layer's weights that become 0"},
          {"ramp", "0", "", "0, 1", "prune: the rate rises over the training stage, as 1 - (1 - t/T)^3"},
          {"rank", "16", "", "1..65536", "svd: rank; tucker2: rank of the output channels"},
          {"rank_inputs", "0", "", "0..65536", "tucker2: rank of the input channels; 0: as rank"},
          {"sweeps", "1", "", "0..100", "tucker2: alternating iterations after the first decomposition"},
      }};
  return about;
}

class DeepTwist final : public train::Quantizer {
 public:
  explicit DeepTwist(const train::QuantizerContext& context) : context_(context) {
    if (context.role != train::Role::weight) refuse_role(context, info());
    const Parameters parameters(context_, info());
    projection_ = parameters.choice("projection", {"ternary", "multi_bit", "prune", "svd", "tucker2", "none"});
    period_ = static_cast<std::int64_t>(parameters.number("period", 1, 1e9));
    const std::string threshold = parameters.choice("threshold", {"0.7", "0.75", "exact"});
    rate_ = parameters.number("rate", 0, 0.999);
    ramp_ = parameters.flag("ramp");
    rank_ = static_cast<std::int64_t>(parameters.number("rank", 1, 65536));
    rank_inputs_ = static_cast<std::int64_t>(parameters.number("rank_inputs", 0, 65536));
    if (rank_inputs_ == 0) rank_inputs_ = rank_;
    sweeps_ = static_cast<int>(parameters.number("sweeps", 0, 100));
    check_bits(context, info(), projection_ == "ternary" ? 2 : 1, projection_ == "ternary" ? 2 : 8);
    if (projection_ == "ternary") coded_ = make_coded("twn", {{"threshold", threshold}});
    if (projection_ == "multi_bit") coded_ = make_coded("alternating", {});
    const std::size_t axes = context.weight_shape.size(), needed = projection_ == "tucker2" ? 4 : 2;
    NNQ_CHECK((projection_ != "svd" && projection_ != "tucker2") || axes == 0 || axes >= needed,
              "projection '" + projection_ + "' needs a weight of " + std::to_string(needed) + " axes, this one has " +
                  std::to_string(axes),
              "method 'deep_twist'");
  }

  /// Training sees the weights as they are.
  at::Tensor forward(const at::Tensor& w, bool training) override {
    check_finite(w, "deep_twist");
    return training ? w : projected(w, rate_);
  }

  Encoding encode(const at::Tensor& w) const override {
    check_finite(w, "deep_twist");
    NNQ_CHECK(coded_ != nullptr, "projection '" + projection_ + "' has no codes", "method 'deep_twist'",
              "such weights stay float", true);
    return coded_->encode(w);
  }

  bool deploys_as_float() const override { return coded_ == nullptr; }

  void after_step(at::Tensor& latent) override {
    if ((step_ + 1) % period_ != 0 || projection_ == "none") return;
    const at::NoGradGuard no_gradient;
    const double left = 1 - progress_, rate = ramp_ ? rate_ * (1 - left * left * left) : rate_;
    const at::Tensor made = projected(latent, rate);
    const double size = std::sqrt(sum_of_products(latent, latent)), moved = std::sqrt(squared_distance(latent, made));
    distortion_ = size > 0 ? moved / size : 0;
    latent.copy_(made);
  }

  std::map<std::string, double> statistics() const override {
    if (distortion_ < 0) return {};
    return {{"distortion", distortion_}};
  }

 private:
  at::Tensor projected(const at::Tensor& w, double rate) const {
    if (w.numel() == 0 || projection_ == "none") return w;
    if (projection_ == "prune") return prune_by_magnitude(w, rate);
    if (projection_ == "svd") return compose(low_rank(w, rank_), w);
    if (projection_ == "tucker2") return compose(tucker2(w, rank_, rank_inputs_, sweeps_));
    return coded_->forward(w, false);
  }

  /// A method without state whose codes are the projection.
  std::unique_ptr<train::Quantizer> make_coded(const char* method, std::map<std::string, Attribute> attributes) const {
    train::QuantizerContext context = context_;
    context.node.attributes = std::move(attributes);
    context.node.attributes["method"] = std::string(method);
    return train::find_method(method).make(context);
  }

  friend std::optional<LowRankFormat> nnq::methods::low_rank_format(const Node&);

  static double squared_distance(const at::Tensor& a, const at::Tensor& b) {
    const at::Tensor difference = a.detach() - b;
    return sum_of_products(difference, difference);
  }

  train::QuantizerContext context_;
  std::unique_ptr<train::Quantizer> coded_;  // projections with codes
  std::string projection_;
  std::int64_t period_ = 100, rank_ = 16, rank_inputs_ = 0;
  double rate_ = 0.9, distortion_ = -1;
  int sweeps_ = 1;
  bool ramp_ = false;
};

}  // namespace

std::optional<LowRankFormat> low_rank_format(const Node& quantizer) {
  const std::string projection = quantizer.get_string("projection", "");
  if (quantizer.get_string("method", "") != "deep_twist" || quantizer.get_string("role", "") != "weight" ||
      (projection != "svd" && projection != "tucker2"))
    return std::nullopt;
  train::QuantizerContext context;
  context.bits = static_cast<int>(quantizer.get_int("bits", 8));
  context.node = quantizer;
  const DeepTwist made(context);
  return LowRankFormat{projection == "tucker2", made.rank_, made.rank_inputs_, made.sweeps_};
}

}  // namespace nnq::methods

NNQ_METHOD(deep_twist) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::QuantizerContext& context) {
            return std::make_unique<nnq::methods::DeepTwist>(context);
          }};
}
