// Uniform quantization: calibration on distributions with known answers, and the learned step's published gradient.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>

#include "methods/calibration.h"
#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

using Attributes = std::map<std::string, Attribute>;

std::unique_ptr<Quantizer> uniform(Role role, int bits, Attributes attributes = {}) {
  QuantizerContext context;
  context.role = role;
  context.bits = bits;
  context.node.attributes = std::move(attributes);
  context.node.name = "q";
  return find_method("uniform").make(context);
}

TEST(Uniform, MinMaxStep) {
  const auto weights = uniform(Role::weight, 4, {{"calibration", "minmax"}});
  const Encoding e = weights->encode(at::tensor({7.0f, -3.5f, 0.5f, -14.0f, 3.0f, 1.0f}).reshape({2, 3}));
  EXPECT_EQ(e.scale, (std::vector<float>{1.0f, 2.0f}));
  EXPECT_EQ(e.zero_point, (std::vector<std::int32_t>{8, 8}));
  EXPECT_EQ(e.codes, (std::vector<std::uint8_t>{15, 4, 8, 1, 10, 8}));  // 0.5 / 1 and 1 / 2: ties to even
}

TEST(Uniform, AffineKeepsZeroExactly) {
  const auto weights = uniform(Role::weight, 8, {{"calibration", "minmax"}, {"symmetric", std::int64_t{0}}});
  const Encoding e = weights->encode(at::tensor({-1.0f, 0.0f, 4.1f}).reshape({1, 3}));
  EXPECT_EQ(e.zero_point[0], 50);
  EXPECT_FLOAT_EQ(e.scale[0], 0.02f);
  EXPECT_EQ(e.level(0, e.codes[1]), 0.0f);
  EXPECT_EQ(e.codes[2], 255);
}

TEST(Uniform, AffineActivationsHaveAnAsymmetricRange) {
  const auto x = uniform(Role::activation, 4, {{"calibration", "minmax"}, {"symmetric", std::int64_t{0}}});
  x->calibrate(at::tensor({-1.0f, 4.0f}));
  x->finish_calibration();
  const ActivationCode code = x->activation_code();
  EXPECT_EQ(code.min, -3);
  EXPECT_EQ(code.max, 12);
}

TEST(Uniform, MeanSquaredErrorBeatsMinMaxOnNormalData) {
  at::manual_seed(1);
  const at::Tensor w = at::randn({1, 20000});
  const auto error = [&](const char* method) {
    return (uniform(Role::weight, 4, {{"calibration", method}})->forward(w, false) - w).square().mean().item<double>();
  };
  EXPECT_LT(error("mse"), 0.8 * error("minmax"));
  EXPECT_NEAR(error("mse"), 0.0115, 0.0008);  // Max 1960: the best 16-level uniform quantizer of N(0, 1) has 0.01154
}

TEST(Uniform, PercentileAndEntropyClipOutliers) {
  at::manual_seed(2);
  at::Tensor x = at::randn({100000});
  x[0] = 1000;
  for (const char* method : {"percentile", "entropy"}) {
    const auto quantizer = uniform(Role::activation, 8, {{"calibration", method}, {"percentile", 99.9f}});
    quantizer->calibrate(x);
    quantizer->finish_calibration();
    const float reach = quantizer->activation_code().step * 127;
    EXPECT_LT(reach, 500) << method;
    EXPECT_GT(reach, 2.5) << method;
  }
  const auto exact = uniform(Role::activation, 8, {{"calibration", "percentile"}, {"percentile", 99.9f}});
  exact->calibrate(x.narrow(0, 1, 99999));
  exact->finish_calibration();
  EXPECT_NEAR(exact->activation_code().step * 127, 3.29, 0.1);  // two-sided 99.9 % of N(0, 1)
}

TEST(Uniform, HistogramDoesNotDependOnTheOrderOfBatches) {
  at::manual_seed(3);
  std::vector<at::Tensor> batches{at::randn({1000}), at::randn({1000}) * 37, at::randn({1000}) * 0.01};
  methods::Histogram a, b;
  for (const at::Tensor& t : batches) a.add(t.data_ptr<float>(), t.numel());
  std::swap(batches[0], batches[1]);
  for (const at::Tensor& t : batches) b.add(t.data_ptr<float>(), t.numel());
  EXPECT_EQ(a.points(), b.points());
  EXPECT_EQ(a.total(), 3000);
}

TEST(Uniform, CalibrationRefusesNan) {
  const auto x = uniform(Role::activation, 8);
  EXPECT_THROW(x->calibrate(at::tensor({1.0f, std::nanf("")})), Error);
}

TEST(Uniform, LearnedStepHasThePublishedGradient) {  // arXiv:1902.08153, equations 3 and 5, and sec. 2.2
  const auto x = uniform(Role::activation, 2, {{"signed", std::int64_t{0}}, {"calibration", "minmax"}});
  x->calibrate(at::tensor({0.0f, 3.0f}));
  x->finish_calibration();  // step 1, codes 0..3
  const StateEntry entry = x->state().at(0);
  ASSERT_TRUE(entry.trainable);
  entry.tensor->set_requires_grad(true);
  const at::Tensor leaf = at::tensor({-1.0f, 0.25f, 1.75f, 2.5f, 9.0f}).reshape({1, 5}).set_requires_grad(true);
  x->forward(leaf, true).sum().backward();
  EXPECT_TRUE(at::equal(leaf.grad(), at::tensor({0.f, 1.f, 1.f, 1.f, 0.f}).reshape({1, 5})));
  const double slopes = 0 + (0 - 0.25) + (2 - 1.75) + (2 - 2.5) + 3;
  EXPECT_NEAR(entry.tensor->grad().item<double>(), slopes / std::sqrt(5.0 * 3), 1e-6);
}

TEST(Uniform, AStepPushedBelowZeroComesBack) {
  const auto x = uniform(Role::activation, 2, {{"signed", std::int64_t{0}}, {"calibration", "minmax"}});
  x->calibrate(at::tensor({0.0f, 3.0f}));
  x->finish_calibration();
  at::Tensor& step = *x->state().at(0).tensor;
  step = at::full({1}, -0.5f).set_requires_grad(true);
  const at::Tensor values = at::tensor({0.5f, 1.5f, 2.5f, 3.0f}).reshape({1, 4});
  for (int i = 0; i < 100; ++i) {
    at::Tensor& now = *x->state().at(0).tensor;
    (x->forward(values, true) - values).square().sum().backward();
    const at::Tensor next = now.detach() - now.grad() * 0.01;
    now = next.detach().set_requires_grad(true);
  }
  EXPECT_GT(x->state().at(0).tensor->item<float>(), 0.5f);  // 1 is best
  EXPECT_LT(x->state().at(0).tensor->item<float>(), 1.5f);
}

TEST(Uniform, LearnedStepStartsAtTheMeanMagnitude) {
  const auto w = uniform(Role::weight, 3, {{"init", "lsq"}, {"per_channel", std::int64_t{0}}});
  const Encoding e = w->encode(at::tensor({1.0f, -2.0f, 3.0f, -2.0f}).reshape({2, 2}));
  EXPECT_NEAR(static_cast<double>(e.scale[0]), 2 * 2 / std::sqrt(3.0), 1e-6);
}

TEST(Uniform, PixelsAreTheirOwnCodes) {
  const auto x = uniform(Role::activation, 8, {{"signed", std::int64_t{0}}, {"scale", 1.0f / 255}});
  const at::Tensor pixels = at::arange(256).to(at::kFloat) / 255;
  const ActivationCode code = x->activation_code();
  EXPECT_EQ(code.scale, 1.0f / 255);
  EXPECT_TRUE(at::equal(at::round(pixels / code.scale), at::arange(256).to(at::kFloat)));
  EXPECT_TRUE(x->state().empty());
}

TEST(Uniform, OneBitWeightsAreScaledSigns) {
  const Encoding e = uniform(Role::weight, 1)->encode(at::tensor({1.0f, -3.0f, 0.0f, 0.5f}).reshape({2, 2}));
  EXPECT_EQ(e.plane_scale, (std::vector<float>{4.0f, 0.5f}));
  EXPECT_EQ(e.codes, (std::vector<std::uint8_t>{1, 0, 1, 1}));
}

TEST(Uniform, TransposedConvolutionsGetOneStep) {
  QuantizerContext context;
  context.bits = 4;
  context.channel_axis = 1;
  EXPECT_EQ(find_method("uniform").make(context)->encode(at::randn({3, 4, 2, 2})).groups, 1);
}

TEST(Uniform, UncalibratedActivationsSaySo) { EXPECT_THROW(uniform(Role::activation, 8)->activation_code(), Error); }

}  // namespace
}  // namespace nnq::train
