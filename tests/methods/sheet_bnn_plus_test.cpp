// The worked numbers of BNN+'s sheet (arXiv:1812.11800), items 1 to 8.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <limits>

#include "methods/expect_near.h"
#include "nnq/error.h"
#include "train/quantizer.h"
#include "train/swish_sign.h"

namespace nnq::train {
namespace {

using Attributes = std::map<std::string, Attribute>;

std::unique_ptr<Quantizer> bnn_plus(Role role, const Attributes& parameters = {}) {
  QuantizerContext context;
  context.role = role;
  context.bits = 1;
  context.node.name = "q";
  context.node.attributes = {parameters.begin(), parameters.end()};
  return find_method("bnn_plus").make(context);
}

/// A regulariser with lambda 1 from the first step on.
std::unique_ptr<Quantizer> regularised(const std::string& kind, float lambda = 1) {
  return bnn_plus(Role::weight, {{"regularizer", kind}, {"lambda", lambda}, {"schedule", std::string("constant")}});
}

const std::vector<float> weights = {-.9f, -.2f, .1f, .4f, .5f, 1.3f};

at::Tensor leaf() { return at::tensor(weights).set_requires_grad(true); }

/// Gives the quantizer's alpha this value and lets it be trained.
at::Tensor& set_alpha(Quantizer& quantizer, float value) {
  at::Tensor& alpha = *quantizer.state()[0].tensor;
  alpha = at::full({1}, value).set_requires_grad(true);
  return alpha;
}

/// The slope that training applies to activations.
double fused_slope(float x, double beta) {
  const at::Tensor in = at::full({1}, x).set_requires_grad(true);
  fused_swish_sign(in, beta).sum().backward();
  return static_cast<double>(in.grad().item<float>());
}

TEST(BnnPlusSheet, SwishSignValues) {  // 1
  EXPECT_NEAR(swish_sign(.1, 5), .479922, 1e-6);
  EXPECT_NEAR(swish_sign(.25, 5), .987362, 1e-6);
  EXPECT_NEAR(swish_sign(.5, 5), 1.198802, 1e-6);
  EXPECT_NEAR(swish_sign(1, 5), 1.053095, 1e-6);
  EXPECT_NEAR(swish_sign(.1, 1), .099834, 1e-6);
  EXPECT_NEAR(swish_sign(1, 1), .855341, 1e-6);
  EXPECT_NEAR(swish_sign(.1, 10), .855341, 1e-6);
  EXPECT_EQ(swish_sign(0, 5), 0);
  EXPECT_NEAR(swish_sign(2.39936 / 5, 5), 1.19968, 1e-5);  // the overshoot
}

TEST(BnnPlusSheet, SlopeOfTheFormulaAndOfTheFusedPass) {  // 2
  const auto both = [](double x, double beta, double expected, double tolerance) {
    EXPECT_NEAR(swish_sign_slope(x, beta), expected, 1e-6) << x;
    EXPECT_NEAR(fused_slope(static_cast<float>(x), beta), expected, tolerance) << x;
    EXPECT_NEAR(fused_slope(static_cast<float>(-x), beta), expected, tolerance) << -x;
  };
  both(0, 5, 5, 0);
  both(.1, 5, 4.41229, 5e-6);
  both(.25, 5, 2.262047, 2e-6);
  both(.5, 5, -.084622, 1e-6);
  both(1, 5, -.194992, 1e-6);
  both(0, 10, 10, 0);
  both(.1, 10, 6.047322, 4e-6);
  both(.25, 10, -.169243, 1e-6);
  both(.5, 10, -.389985, 1e-6);
  EXPECT_NEAR(swish_sign_slope(3.436 / 5, 5), -.0738 * 5, 1e-3);  // the deepest point of the tails
}

TEST(BnnPlusSheet, SlopeIsTheDerivative) {  // 3
  double worst = 0;
  for (double x = -2; x <= 2; x += 1.0 / 256) {
    const double h = 1e-5, difference = (swish_sign(x + h, 5) - swish_sign(x - h, 5)) / (2 * h);
    worst = std::max(worst, std::fabs(difference - swish_sign_slope(x, 5)));
  }
  EXPECT_LT(worst, 1e-8);
}

TEST(BnnPlusSheet, ZeroOfTheSlope) {  // 4
  EXPECT_NEAR(swish_sign_slope(.479871, 5), 0, 1e-5);
  EXPECT_NEAR(swish_sign_slope(.239936, 10), 0, 1e-4);
  EXPECT_GT(fused_slope(.479f, 5), 0);
  EXPECT_LT(fused_slope(.481f, 5), 0);
}

TEST(BnnPlusSheet, FusedSlopeNeverOverflowsAndNeverDrifts) {
  for (const float x : {89.0f, -1e4f, 1e30f, std::numeric_limits<float>::infinity()})
    EXPECT_NEAR(fused_slope(x, 5), 0, 1e-12) << x;
  double worst = 0;
  for (int i = -4000; i <= 4000; ++i) {
    const float x = static_cast<float>(i) / 1000;
    worst = std::max(worst, std::fabs(fused_slope(x, 5) - swish_sign_slope(static_cast<double>(x), 5)));
  }
  EXPECT_LT(worst, 1e-5);
}

double penalty(const std::string& kind, float alpha) {
  const auto quantizer = regularised(kind);
  set_alpha(*quantizer, alpha);
  return static_cast<double>(quantizer->penalty(leaf()).item<float>());
}

TEST(BnnPlusSheet, RegulariserValues) {  // 5
  EXPECT_NEAR(penalty("l2", .566667f), 1.033333, 1e-5);
  EXPECT_NEAR(penalty("l2", .45f), 1.115, 1e-5);
  EXPECT_NEAR(penalty("l2", 1), 2.16, 1e-5);
  EXPECT_NEAR(penalty("l1", .45f), 2.0, 1e-5);
  EXPECT_NEAR(penalty("l1", .566667f), 2.133333, 1e-5);
  EXPECT_NEAR(penalty("l1", 1), 3.2, 1e-5);
  const auto mean = regularised("l2"), median = regularised("l1");
  mean->calibrate(at::tensor(weights));
  median->calibrate(at::tensor(weights));
  expect_near(*mean->state()[0].tensor, {.566667}, 1e-6);
  expect_near(*median->state()[0].tensor, {.45}, 1e-6);
  const at::Tensor error = at::tensor(weights) - mean->forward(at::tensor(weights), false);
  EXPECT_NEAR(static_cast<double>(error.square().sum().item<float>()), 1.033333, 1e-5);  // R2 is the quantization error
}

TEST(BnnPlusSheet, RegulariserGradients) {  // 6
  const auto of_weights = [](const std::string& kind, float alpha) {
    const auto quantizer = regularised(kind);
    set_alpha(*quantizer, alpha);
    const at::Tensor w = leaf();
    quantizer->penalty(w).backward();
    return w.grad();
  };
  expect_near(of_weights("l2", .566667f), {-.6667, .7333, -.9333, -.3333, -.1333, 1.4667}, 1e-4);
  expect_near(of_weights("l1", .566667f), {-1, 1, -1, -1, -1, 1}, 0);
  const auto of_alpha = [](const std::string& kind) {
    const auto quantizer = regularised(kind);
    at::Tensor& alpha = set_alpha(*quantizer, .5f);
    quantizer->penalty(leaf()).backward();
    return alpha.grad();
  };
  expect_near(of_alpha("l2"), {-.8}, 1e-6);
  expect_near(of_alpha("l1"), {1}, 0);  // one weight sits on the kink
  const auto at_zero = regularised("l1");
  set_alpha(*at_zero, 1);
  const at::Tensor w = at::zeros({2}).set_requires_grad(true);
  at_zero->penalty(w).backward();
  expect_near(w.grad(), {-1, -1}, 0);  // sign(0) = +1: zeros are pulled off zero
}

TEST(BnnPlusSheet, OneDescentStepOnTheRegulariser) {  // 7
  const auto quantizer = regularised("l2");
  set_alpha(*quantizer, .5f);
  const at::Tensor w = leaf();
  quantizer->penalty(w).backward();
  const at::Tensor moved = w.detach() - .1 * w.grad();
  expect_near(moved, {-.82, -.26, .18, .42, .5, 1.14}, 1e-6);
  EXPECT_TRUE(at::equal(moved.sign(), w.detach().sign()));
  EXPECT_TRUE(((moved.abs() - .5).abs() <= (w.detach().abs() - .5).abs()).all().item<bool>());
  const at::Tensor far = w.detach() - .499 * w.grad();
  EXPECT_TRUE(at::equal(far.sign(), w.detach().sign())) << "no sign flips below a rate of 1/2";
}

TEST(BnnPlusSheet, ForwardIsSignWhateverTheSurrogate) {  // 8
  const at::Tensor x = at::linspace(-2, 2, 41);
  for (const std::string surrogate : {"swish_sign", "htanh", "identity"}) {
    const auto quantizer = bnn_plus(Role::weight, {{"surrogate", surrogate}});
    quantizer->calibrate(x);
    const at::Tensor leaf_x = x.clone().set_requires_grad(true);
    EXPECT_TRUE(at::equal(quantizer->forward(leaf_x, true), quantizer->forward(x, false))) << surrogate;
  }
  expect_near(fused_swish_sign(at::tensor({-0.5f, -0.0f, 0.0f, 2.0f}), 5), {-1, 1, 1, 1}, 0);
}

TEST(BnnPlusSheet, WeightGradients) {
  const at::Tensor g = at::tensor({1.0f, 2.0f, -1.0f, 0.5f, 3.0f, -2.0f});
  const auto gradient = [&](const std::string& surrogate, at::Tensor& for_alpha) {
    const auto quantizer = bnn_plus(Role::weight, {{"surrogate", surrogate}});
    at::Tensor& alpha = set_alpha(*quantizer, .5f);
    const at::Tensor w = leaf();
    (quantizer->forward(w, true) * g).sum().backward();
    for_alpha = alpha.grad();
    return w.grad();
  };
  at::Tensor for_alpha;
  std::vector<double> expected;  // alpha g SS'_5(w / alpha)
  for (int i = 0; i < 6; ++i)
    expected.push_back(.5 * static_cast<double>(g[i].item<float>()) *
                       swish_sign_slope(static_cast<double>(weights[static_cast<std::size_t>(i)]) / .5, 5));
  expect_near(gradient("swish_sign", for_alpha), expected, 1e-5);
  expect_near(for_alpha, {-1 - 2 - 1 + .5 + 3 - 2}, 1e-6);
  expect_near(gradient("htanh", for_alpha), {.5, 1, -.5, .25, 1.5, 0}, 0);
  expect_near(gradient("identity", for_alpha), {.5, 1, -.5, .25, 1.5, -1}, 0);
}

TEST(BnnPlusSheet, LambdaSchedules) {
  const auto value = [](const std::string& schedule, std::int64_t step, double progress) {
    const auto quantizer =
        bnn_plus(Role::weight, {{"regularizer", std::string("l1")}, {"lambda", .5f}, {"schedule", schedule}});
    set_alpha(*quantizer, 1);
    quantizer->set_step(step);
    quantizer->set_progress(progress);
    const at::Tensor penalty = quantizer->penalty(leaf());
    return penalty.defined() ? static_cast<double>(penalty.item<float>()) : 0.0;
  };
  EXPECT_NEAR(value("constant", 0, 0), 1.6, 1e-6);
  EXPECT_EQ(value("linear", 0, 0), 0);
  EXPECT_NEAR(value("linear", 5, .25), .4, 1e-6);
  EXPECT_NEAR(value("linear", 5, 1), 1.6, 1e-6);
  EXPECT_EQ(value("log", 0, .5), 0);
  EXPECT_NEAR(value("log", 9, .5), 1.6 * std::log(10), 1e-5);
}

TEST(BnnPlusSheet, ScalesPerChannelFollowTheirChannels) {
  const at::Tensor w = at::tensor({1.0f, -3.0f, 0.25f, 0.25f}).reshape({2, 2});
  const auto quantizer =
      bnn_plus(Role::weight, {{"per_channel", std::int64_t{1}}, {"alpha", std::string("statistical")}});
  EXPECT_TRUE(quantizer->state().empty());
  expect_near(quantizer->forward(w, false), {2, -2, .25, .25}, 0);
  const Encoding encoding = quantizer->encode(w);
  EXPECT_EQ(encoding.groups, 2);
  EXPECT_EQ(encoding.codes, (std::vector<std::uint8_t>{1, 0, 1, 1}));
}

TEST(BnnPlusSheet, AlphaPushedBelowZeroIsPutBack) {
  const auto quantizer = bnn_plus(Role::weight);
  set_alpha(*quantizer, -.25f);
  const at::Tensor y = quantizer->forward(at::tensor(weights), false);
  EXPECT_TRUE((y.sign() == at::tensor(weights).sign()).all().item<bool>()) << "signs do not flip";
  quantizer->forward(leaf(), true);
  EXPECT_GT(quantizer->state()[0].tensor->item<float>(), 0);
}

TEST(BnnPlusSheet, RealWeightsMayBeTrainedForTheirBinaryForm) {  // what item 9 measures
  const auto quantizer = bnn_plus(Role::weight, {{"binarize", std::int64_t{0}}});
  quantizer->calibrate(at::tensor(weights));
  EXPECT_TRUE(quantizer->state().empty());
  EXPECT_TRUE(at::equal(quantizer->forward(at::tensor(weights), true), at::tensor(weights)));
  expect_near(quantizer->forward(at::tensor(weights), false), {-.566667, -.566667, .566667, .566667, .566667, .566667},
              1e-6);
}

TEST(BnnPlusSheet, ClipIsAnOption) {
  at::Tensor bounded = at::tensor(weights), free = at::tensor(weights);
  bnn_plus(Role::weight, {{"clip", std::int64_t{1}}})->after_step(bounded);
  bnn_plus(Role::weight)->after_step(free);
  expect_near(bounded, {-.9, -.2, .1, .4, .5, 1}, 1e-7);
  EXPECT_TRUE(at::equal(free, at::tensor(weights)));
}

}  // namespace
}  // namespace nnq::train
