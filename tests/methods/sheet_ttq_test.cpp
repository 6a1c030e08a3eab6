// The worked numbers of TTQ's sheet (arXiv:1612.01064) and of its baseline TWN (arXiv:1605.04711), items 1 to 8.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>

#include "methods/expect_near.h"
#include "methods/ternary.h"
#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

using Attributes = std::map<std::string, Attribute>;

std::unique_ptr<Quantizer> make(const char* method, Attributes attributes = {}) {
  QuantizerContext context;
  context.role = Role::weight;
  context.bits = 2;
  context.node.name = "q";
  context.node.attributes = std::move(attributes);
  return find_method(method).make(context);
}

const std::vector<float> six_weights{0.8f, -0.5f, 0.04f, -0.03f, 0.3f, -0.9f};
at::Tensor row() { return at::tensor(six_weights).reshape({1, 6}); }

at::Tensor& positive(Quantizer& q) { return *q.state().at(0).tensor; }
at::Tensor& negative(Quantizer& q) { return *q.state().at(1).tensor; }

void set_scales(Quantizer& q, float p, float n) {
  positive(q) = at::full({1}, p).set_requires_grad(true);
  negative(q) = at::full({1}, n).set_requires_grad(true);
}

TEST(TtqSheet, ForwardAndGradients) {  // 1, 6
  const auto quantizer = make("ttq");
  set_scales(*quantizer, 1.2f, 0.8f);
  const at::Tensor w = row().set_requires_grad(true), q = quantizer->forward(w, true);
  expect_near(q, {1.2, -0.8, 0, 0, 1.2, -0.8}, 1e-7);
  (q * at::arange(1, 7).reshape({1, 6})).sum().backward();
  EXPECT_NEAR(positive(*quantizer).grad().item<double>(), 6, 1e-6);
  EXPECT_NEAR(negative(*quantizer).grad().item<double>(), -8, 1e-6);
  expect_near(w.grad(), {1.2, 1.6, 3, 4, 6, 4.8}, 1e-6);  // factor 1 on zeroed weights
}

TEST(TtqSheet, NegativeScaleHasTheTrueDerivative) {  // 1: finite difference
  const auto loss = [](float n) {
    const auto quantizer = make("ttq");
    set_scales(*quantizer, 1.2f, n);
    return (quantizer->forward(row(), false) * at::arange(1, 7).reshape({1, 6})).sum().item<double>();
  };
  EXPECT_NEAR((loss(0.81f) - loss(0.79f)) / 0.02, -8.0, 1e-3);
}

TEST(TtqSheet, AStepOfTheScalesLowersTheLoss) {  // 5
  const auto quantizer = make("ttq");
  set_scales(*quantizer, 1.0f, 1.0f);
  const at::Tensor target = at::tensor({2.0f, -0.4f, 0.1f, 0.2f, 1.0f, -0.1f}).reshape({1, 6});
  const auto loss = [&](bool training) { return (quantizer->forward(row(), training) - target).square().sum(); };
  const at::Tensor before = loss(true);
  before.backward();
  const at::NoGradGuard no_gradient;
  for (at::Tensor* scale : {&positive(*quantizer), &negative(*quantizer)}) {
    const double old = scale->item<double>();
    const double moved = old - 1e-3 * scale->grad().item<double>();
    const double at_old = loss(false).item<double>();
    scale->fill_(moved);
    EXPECT_LT(loss(false).item<double>(), at_old);
    scale->fill_(old);
  }
}

TEST(TwnSheet, WorkedRow) {  // 2
  const auto six = [](const methods::Ternary& t, double threshold, double scale, double error) {
    EXPECT_NEAR(static_cast<double>(t.threshold), threshold, 1e-6);
    EXPECT_NEAR(static_cast<double>(t.scale), scale, 1e-6);
    double sum = 0;
    for (const float w : six_weights) {
      const double q = w > t.threshold    ? static_cast<double>(t.scale)
                       : w < -t.threshold ? -static_cast<double>(t.scale)
                                          : 0;
      sum += std::pow(static_cast<double>(w) - q, 2);
    }
    EXPECT_NEAR(sum, error, 1e-6);
  };
  six(methods::ternary_by_mean(six_weights.data(), 6, 0.7), 0.299833, 0.625, 0.23);  // 0.3 just survives
  six(methods::ternary_by_mean(six_weights.data(), 6, 0.75), 0.32125, 0.733333, 0.179167);
  six(methods::ternary_exact(six_weights.data(), 6), 0.3, 0.733333, 0.179167);
  expect_near(make("twn")->forward(row(), false), {0.733333, -0.733333, 0, 0, 0, -0.733333}, 1e-6);
  expect_near(make("twn", {{"threshold", "0.7"}})->forward(row(), false), {0.625, -0.625, 0, 0, 0.625, -0.625}, 1e-6);
}

TEST(TwnSheet, NormalWeights) {  // 3
  at::manual_seed(11);
  const at::Tensor w = at::randn({2000000});
  const float* values = w.data_ptr<float>();
  const double mean = w.abs().mean().item<double>(), square = w.square().sum().item<double>();
  const auto measure = [&](const methods::Ternary& t, double zeros, double error) {
    const at::Tensor codes = methods::ternary_codes(w, at::full({}, t.threshold));
    EXPECT_NEAR(codes.eq(1).to(at::kDouble).mean().item<double>(), zeros, 0.002);
    const at::Tensor q = (codes.to(at::kFloat) - 1) * static_cast<double>(t.scale);
    EXPECT_NEAR((w - q).square().sum().item<double>() / square, error, 0.0005);
  };
  const methods::Ternary exact = methods::ternary_exact(values, w.numel());
  EXPECT_NEAR(static_cast<double>(exact.threshold), 0.612, 0.01);
  EXPECT_NEAR(static_cast<double>(exact.threshold) / mean, 0.767, 0.013);
  EXPECT_NEAR(methods::ternary_codes(w, at::full({}, exact.threshold)).eq(1).to(at::kDouble).mean().item<double>(),
              0.459, 0.007);  // the optimum is flat
  measure(methods::ternary_by_mean(values, w.numel(), 0.7), 0.423, 0.1917);
  measure(methods::ternary_by_mean(values, w.numel(), 0.75), 0.450, 0.1904);
  const at::Tensor q =
      (methods::ternary_codes(w, at::full({}, exact.threshold)).to(at::kFloat) - 1) * static_cast<double>(exact.scale);
  EXPECT_NEAR((w - q).square().sum().item<double>() / square, 0.1903, 0.0005);
}

TEST(TwnSheet, ExactRuleKeepsEqualMagnitudesTogether) {
  for (const float value : {0.0f, 0.5f}) {
    const std::vector<float> same(10, value);
    const methods::Ternary t = methods::ternary_exact(same.data(), 10);
    EXPECT_EQ(t.scale, value);
    EXPECT_LE(t.threshold, value);
  }
  EXPECT_EQ(methods::ternary_exact(nullptr, 0).scale, 0);
}

TEST(TwnSheet, AThresholdAChannel) {
  const at::Tensor w = at::cat({row(), row() * 100});
  const Encoding e = make("twn", {{"per_channel", std::int64_t{1}}})->encode(w);
  EXPECT_EQ(e.groups, 2);
  EXPECT_NEAR(static_cast<double>(e.scale[1]), 73.3333, 1e-3);
  EXPECT_TRUE(std::equal(e.codes.begin(), e.codes.begin() + 6, e.codes.begin() + 6));
  EXPECT_EQ(make("twn")->encode(w).groups, 1);
}

TEST(TtqSheet, ThresholdDoesNotDependOnTheScaleOfTheWeights) {  // 4
  const auto quantizer = make("ttq");
  const at::Tensor q = quantizer->forward(row(), false);
  for (const double factor : {1 / 0.9, 0.25, 1e4})
    EXPECT_TRUE(at::equal(quantizer->forward(row() * factor, false), q)) << factor;
}

TEST(TtqSheet, PackedProduct) {  // 7: Wp * sum over P - Wn * sum over M
  const auto quantizer = make("ttq");
  set_scales(*quantizer, 1.2f, 0.8f);
  const Encoding e = quantizer->encode(row());
  EXPECT_EQ(e.codes, (std::vector<std::uint8_t>{3, 0, 1, 1, 3, 0}));
  EXPECT_EQ(e.level(0, 0), -0.8f);
  EXPECT_EQ(e.level(0, 1), 0.0f);
  EXPECT_EQ(e.level(0, 3), 1.2f);
  const std::vector<float> x{1, 2, 3, 4, 5, 6};
  double product = 0, over_positive = 0, over_negative = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    product += static_cast<double>(x[i]) * static_cast<double>(e.level(0, e.codes[i]));
    over_positive += e.codes[i] == 3 ? static_cast<double>(x[i]) : 0;
    over_negative += e.codes[i] == 0 ? static_cast<double>(x[i]) : 0;
  }
  EXPECT_NEAR(product, 1.2 * over_positive - 0.8 * over_negative, 1e-6);
}

TEST(TtqSheet, EqualScalesAndTheMeanRuleAreTwn) {  // 8
  at::manual_seed(3);
  const at::Tensor w = at::randn({16, 90}) * 0.1;
  const methods::Ternary t = methods::ternary_by_mean(w.data_ptr<float>(), w.numel(), 0.7);
  const auto quantizer = make("ttq", {{"threshold", "mean"}, {"t", 0.7f}});
  set_scales(*quantizer, t.scale, t.scale);
  EXPECT_TRUE(at::equal(quantizer->forward(w, false), make("twn", {{"threshold", "0.7"}})->forward(w, false)));
}

TEST(TtqSheet, ConstantSparsity) {  // heuristic 2
  at::manual_seed(4);
  const at::Tensor w = at::randn({10, 100});
  for (const double share : {0.0, 0.3, 0.5, 0.9, 1.0}) {
    const auto quantizer = make("ttq", {{"threshold", "sparsity"}, {"sparsity", static_cast<float>(share)}});
    EXPECT_NEAR(quantizer->forward(w, false).eq(0).to(at::kDouble).mean().item<double>(), share, 1e-9);
  }
}

TEST(TtqSheet, ScalesStayPositive) {  // Traps
  const auto quantizer = make("ttq");
  set_scales(*quantizer, -0.71f, 0.5f);
  const at::Tensor q = quantizer->forward(row(), true);
  EXPECT_FLOAT_EQ(q[0][0].item<float>(), 1e-4f);
  q.sum().backward();
  EXPECT_NE(positive(*quantizer).grad().item<float>(), 0) << "it can grow again";
  const auto entries = quantizer->state();
  EXPECT_TRUE(entries[0].trainable && entries[1].trainable);
}

TEST(TtqSheet, ScalesFromMeans) {
  const auto quantizer = make("ttq", {{"init", "mean"}});
  quantizer->calibrate(row());
  EXPECT_NEAR(positive(*quantizer).item<double>(), 0.55, 1e-6);
  EXPECT_NEAR(negative(*quantizer).item<double>(), 0.7, 1e-6);
  const auto one_sided = make("ttq", {{"init", "mean"}});
  one_sided->calibrate(at::ones({2, 2}));
  EXPECT_EQ(negative(*one_sided).item<float>(), 1);
}

}  // namespace
}  // namespace nnq::train
