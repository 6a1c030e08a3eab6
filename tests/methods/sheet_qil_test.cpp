// The worked numbers of QIL's sheet (arXiv:1808.05779), items 1 to 6.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>

#include "methods/expect_near.h"
#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

using Attributes = std::map<std::string, Attribute>;

std::unique_ptr<Quantizer> qil(Role role, int bits, const Attributes& parameters = {}) {
  QuantizerContext context;
  context.role = role;
  context.bits = bits;
  context.node.name = "q";
  context.node.attributes = {parameters.begin(), parameters.end()};
  return find_method("qil").make(context);
}

at::Tensor& state(Quantizer& quantizer, const std::string& name) {
  for (const StateEntry& entry : quantizer.state())
    if (entry.name == name) return *entry.tensor;
  throw Error("there is no state '" + name + "'");
}

std::unique_ptr<Quantizer> with_interval(Role role, int bits, float center, float half_width,
                                         const Attributes& parameters = {}) {
  auto quantizer = qil(role, bits, parameters);
  for (const auto& [name, value] : {std::pair{"center", center}, std::pair{"half_width", half_width}})
    state(*quantizer, name) = at::full({1}, value).set_requires_grad(true);
  for (const StateEntry& entry : quantizer->state())
    if (entry.name == "gamma") entry.tensor->set_requires_grad(true);
  return quantizer;
}

std::unique_ptr<Quantizer> example(float gamma, bool learned = false) {
  return with_interval(Role::weight, 3, .4f, .3f, {{"gamma", gamma}, {"learn_gamma", std::int64_t{learned}}});
}

std::vector<int> codes(const Quantizer& quantizer, const at::Tensor& w) {
  const Encoding e = quantizer.encode(w);
  std::vector<int> signed_codes;
  for (const std::uint8_t code : e.codes) signed_codes.push_back(code - e.zero_point[0]);
  return signed_codes;
}

TEST(QilSheet, WeightCodes) {  // 1
  const at::Tensor w = at::tensor({-.9f, -.5f, -.05f, .25f, .65f});
  EXPECT_EQ(codes(*example(1), w), (std::vector<int>{-3, -2, 0, 1, 3}));
  expect_near(example(1)->forward(w, false), {-1, -2.0 / 3, 0, 1.0 / 3, 1}, 1e-6);
  const at::Tensor off_tie = at::tensor({-.9f, -.5f, -.05f, .26f, .65f});
  EXPECT_EQ(codes(*example(.5f), off_tie), (std::vector<int>{-3, -2, 0, 2, 3}));
  EXPECT_EQ(codes(*example(2), w), (std::vector<int>{-3, -1, 0, 0, 3}));
}

struct Gradients {
  at::Tensor w, center, half_width, gamma;
};

Gradients gradients(float gamma) {  // upstream 1, 2, 3, 4, 5
  const auto quantizer = example(gamma, true);
  const at::Tensor w = at::tensor({-.9f, -.5f, -.05f, .25f, .65f}).set_requires_grad(true);
  (quantizer->forward(w, true) * at::arange(1, 6).to(at::kFloat)).sum().backward();
  return {w.grad(), state(*quantizer, "center").grad(), state(*quantizer, "half_width").grad(),
          state(*quantizer, "gamma").grad()};
}

TEST(QilSheet, WeightGradients) {  // 2
  const Gradients one = gradients(1);
  expect_near(one.w, {0, 3.333333, 0, 6.666667, 8.333333}, 2e-6);
  expect_near(one.center, {-11.666667}, 5e-6);
  expect_near(one.half_width, {-2.5}, 5e-6);
  expect_near(one.gamma, {-1.244476}, 5e-6);
  const Gradients two = gradients(2);
  expect_near(two.w, {0, 4.444444, 0, 3.333333, 15.277778}, 5e-6);
  expect_near(two.center, {-14.166667}, 1e-5);
  expect_near(two.half_width, {-9.583333}, 1e-5);
  expect_near(two.gamma, {-.351729}, 5e-6);
  const Gradients half = gradients(.5f);
  expect_near(half.w, {0, 2.041241, 0, 6.666667, 4.351941}, 5e-6);
  expect_near(half.center, {-8.977367}, 1e-5);
  expect_near(half.half_width, {.387129}, 1e-5);
  expect_near(half.gamma, {-2.527002}, 1e-5);
}

TEST(QilSheet, ActivationCodesAndThresholds) {  // 3
  const auto quantizer = with_interval(Role::activation, 2, 1, .8f);
  expect_near(quantizer->forward(at::tensor({-.3f, .1f, .6f, .9f, 1.5f, 2.4f}), false),
              {0, 0, 1.0 / 3, 1.0 / 3, 2.0 / 3, 1}, 1e-6);
  for (const double threshold : {.466667, 1.0, 1.533333}) {
    const auto at = [&](double x) { return quantizer->forward(at::full({1}, x, at::kFloat), false).item<float>(); };
    EXPECT_NEAR(static_cast<double>(at(threshold + 2e-6) - at(threshold - 2e-6)), 1.0 / 3, 1e-6) << threshold;
  }
  const ActivationCode code = quantizer->activation_code();
  EXPECT_NEAR(static_cast<double>(code.offset), .2, 1e-7);
  EXPECT_NEAR(static_cast<double>(code.scale), 1.6 / 3, 1e-7);
  EXPECT_EQ(code.max, 3);
}

TEST(QilSheet, ActivationGradients) {
  const auto quantizer = with_interval(Role::activation, 2, 1, .8f);
  const at::Tensor x = at::tensor({-.3f, .1f, .6f, .9f, 1.5f, 2.4f}).set_requires_grad(true);
  (quantizer->forward(x, true) * at::arange(1, 7).to(at::kFloat)).sum().backward();
  expect_near(x.grad(), {0, 0, 1.875, 2.5, 3.125, 0}, 1e-6);  // alpha = .625
  expect_near(state(*quantizer, "center").grad(), {-7.5}, 1e-5);
  expect_near(state(*quantizer, "half_width").grad(), {.78125 * (3 * .4 + 4 * .1 - 5 * .5)}, 1e-5);
}

TEST(QilSheet, ZerosBehindAReluDoNotPullAtAnIntervalFromZeroOn) {
  const auto quantizer = with_interval(Role::activation, 2, 1, 1);
  const at::Tensor x = at::zeros({5}).set_requires_grad(true);
  quantizer->forward(x, true).sum().backward();
  expect_near(x.grad(), {0, 0, 0, 0, 0}, 0);
  expect_near(state(*quantizer, "center").grad(), {0}, 0);
}

TEST(QilSheet, TransformerIsContinuousAtBothEnds) {  // 4
  for (const float gamma : {.5f, 1.0f, 2.0f}) {
    const auto quantizer = with_interval(Role::weight, 8, .4f, .3f, {{"gamma", gamma}});
    const at::Tensor y = quantizer->forward(at::tensor({.1f, .1f + 1e-7f, .7f - 1e-6f, .7f, -.7f}), false);
    expect_near(y, {0, 0, 1, 1, -1}, 0);
  }
}

TEST(QilSheet, ScalingWeightsAndIntervalChangesNothing) {  // 5
  const at::Tensor w = at::linspace(-1, 1, 201);
  const auto small = with_interval(Role::weight, 3, .4f, .3f), large = with_interval(Role::weight, 3, 1.6f, 1.2f);
  EXPECT_TRUE(at::equal(small->forward(w, false), large->forward(w * 4, false)));
  const auto from_zero = with_interval(Role::weight, 3, .5f, .5f);  // one step is 1/3
  const at::Tensor y = from_zero->forward(w, false);
  EXPECT_TRUE(at::equal(y.eq(0), w.abs() < 1.0 / 6));
}

TEST(QilSheet, ThresholdFormAndTransformRoundFormAgree) {  // 6
  for (int bits = 1; bits <= 5; ++bits) {
    const double center = .9, half_width = .7, top = (1 << bits) - 1;
    const auto quantizer =
        with_interval(Role::activation, bits, static_cast<float>(center), static_cast<float>(half_width));
    const at::Tensor x = at::linspace(-.5, 2.5, 3001);
    const at::Tensor y = quantizer->forward(x, false);
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      const double value = static_cast<double>(x.data_ptr<float>()[i]);
      int code = 0;
      bool tie = false;
      for (int l = 1; l <= static_cast<int>(top); ++l) {
        const double tau = center - half_width + 2 * half_width * (l - .5) / top;
        code += value >= tau ? 1 : 0;
        tie = tie || std::fabs(value - tau) < 1e-6;
      }
      if (tie) continue;
      EXPECT_NEAR(static_cast<double>(y.data_ptr<float>()[i]), code / top, 1e-6) << bits << " " << value;
    }
  }
}

TEST(QilSheet, IntervalIsProjected) {
  const at::Tensor w = at::linspace(-1, 1, 11);
  const auto wide = with_interval(Role::weight, 3, .4f, .9f);  // would begin below 0
  const at::Tensor before = wide->forward(w, false);
  const at::Tensor leaf = w.clone().set_requires_grad(true);
  EXPECT_TRUE(at::equal(wide->forward(leaf, true), before)) << "evaluation sees the projected interval as well";
  EXPECT_EQ(state(*wide, "half_width").item<float>(), .4f);
  const auto gone = with_interval(Role::activation, 2, -3, -1);
  gone->forward(w.clone().set_requires_grad(true), true);
  EXPECT_EQ(state(*gone, "center").item<float>(), 1e-3f);
  EXPECT_EQ(state(*gone, "half_width").item<float>(), 1e-3f);
}

TEST(QilSheet, StartsFromData) {
  const auto started = [](Role role, const std::string& init, const at::Tensor& x) {
    auto quantizer = qil(role, 2, {{"init", init}});
    quantizer->calibrate(x);
    quantizer->finish_calibration();
    return std::pair{state(*quantizer, "center").item<float>(), state(*quantizer, "half_width").item<float>()};
  };
  const at::Tensor x = at::arange(-100, 101).to(at::kFloat) / 100;  // positive: .01 .. 1
  for (const Role role : {Role::weight, Role::activation}) {
    const float tolerance = role == Role::weight ? 1e-6f : 1e-3f;  // activations go through a histogram
    const auto [c, d] = started(role, "percentile", x);
    EXPECT_NEAR(c, .495f, tolerance);
    EXPECT_EQ(c, d);
    const auto [full_c, full_d] = started(role, "full_range", x);
    EXPECT_NEAR(full_c, .5f, 1e-6f);
    EXPECT_EQ(full_c, full_d);
    const auto [part_c, part_d] = started(role, "reference", x);  // .01 + .089 to .9
    EXPECT_NEAR(part_c, .4995f, tolerance);
    EXPECT_NEAR(part_d, .4005f, tolerance);
    const auto [zero_c, zero_d] = started(role, "percentile", at::zeros({4}));
    EXPECT_EQ(zero_c, .5f);
    EXPECT_EQ(zero_d, .5f);
  }
}

TEST(QilSheet, BitsOfWeightsHoldTheSign) {
  const at::Tensor w = at::linspace(-1, 1, 101);
  for (int bits = 2; bits <= 8; ++bits) {
    const auto quantizer = with_interval(Role::weight, bits, .5f, .5f);
    EXPECT_EQ(quantizer->encode(w).zero_point[0], (1 << (bits - 1)) - 1);
    EXPECT_TRUE(at::equal(quantizer->forward(w, false), -quantizer->forward(-w, false) + 0.0)) << "odd function";
  }
  EXPECT_THROW(qil(Role::weight, 1), Error);
  EXPECT_NO_THROW(qil(Role::activation, 1));
}

TEST(QilSheet, RescaledValuesKeepTheUnitsOfTheirInput) {
  const auto quantizer = with_interval(Role::weight, 3, .5f, .5f, {{"rescale", std::int64_t{1}}});
  expect_near(quantizer->forward(at::tensor({-2.0f, .34f, .9f}), false), {-1, 1.0 / 3, 1}, 1e-6);
  const auto wider = with_interval(Role::activation, 2, 1, 1, {{"rescale", std::int64_t{1}}});
  const at::Tensor x = at::tensor({.6f, 3.0f}).set_requires_grad(true);
  const at::Tensor y = wider->forward(x, true);
  expect_near(y, {2.0 / 3, 2}, 1e-6);
  y.sum().backward();
  expect_near(x.grad(), {1, 0}, 1e-6);  // r alpha
  // of the end r = c + d: (1/3 + 1); of the transformer: -r alpha = -1 and r alpha / d (c - x) = .4
  expect_near(state(*wider, "center").grad(), {4.0 / 3 - 1}, 1e-6);
  expect_near(state(*wider, "half_width").grad(), {4.0 / 3 + .4}, 1e-6);
}

TEST(QilSheet, RatesOfIntervalAndWeights) {
  const auto quantizer = qil(Role::weight, 3);
  for (const StateEntry& entry : quantizer->state()) {
    EXPECT_TRUE(entry.trainable);
    EXPECT_EQ(entry.learning_rate_scale, .01);
  }
  EXPECT_EQ(quantizer->learning_rate_scale(at::ones({2})), 1);
  EXPECT_EQ(qil(Role::weight, 3, {{"train_weights", std::int64_t{0}}})->learning_rate_scale(at::ones({2})), 0);
  EXPECT_FALSE(qil(Role::weight, 3, {{"learn", std::int64_t{0}}})->state()[0].trainable);
}

}  // namespace
}  // namespace nnq::train
