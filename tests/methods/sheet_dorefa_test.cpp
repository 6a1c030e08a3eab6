// The worked numbers of DoReFa-Net's sheet (arXiv:1606.06160), items 1 to 8.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <bit>
#include <cmath>

#include "core/random.h"
#include "methods/expect_near.h"
#include "methods/quantize/dorefa.h"
#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

std::unique_ptr<Quantizer> dorefa(Role role, int bits, bool constant_maximum = false) {
  QuantizerContext context;
  context.role = role;
  context.bits = bits;
  context.node.name = "q";
  if (constant_maximum) context.node.attributes["constant_maximum"] = std::int64_t{1};
  return find_method("dorefa").make(context);
}

const std::vector<float> weights{0.9f, -0.3f, 0.05f, -1.6f};

TEST(DoReFaSheet, ActivationLevelsAndTies) {  // 1
  const at::Tensor x = at::tensor({-0.2f, 0.1f, 0.17f, 0.4f, 0.51f, 0.84f, 1.4f, 0.5f, 1.0f / 6});
  expect_near(dorefa(Role::activation, 2)->forward(x, false), {0, 0, 1.0 / 3, 1.0 / 3, 2.0 / 3, 1, 1, 2.0 / 3, 0},
              1e-7);
  expect_near(dorefa(Role::activation, 1)->forward(at::tensor({-1.0f, 0.4f, 0.6f, 2.0f}), false), {0, 0, 1, 1}, 0);
}

TEST(DoReFa, TheRangeIsOneUnlessGivenOrMeasured) {
  QuantizerContext context;
  context.bits = 2;
  context.role = Role::activation;
  context.node.attributes["range"] = 6.0f;
  const at::Tensor x = at::tensor({-1.0f, 0.9f, 1.1f, 4.0f, 7.0f}).set_requires_grad(true);
  const at::Tensor y = find_method("dorefa").make(context)->forward(x, true);
  expect_near(y.detach(), {0, 0, 2, 4, 6}, 1e-6);
  y.sum().backward();
  expect_near(x.grad(), {0, 1, 1, 1, 0}, 0);

  context.node.attributes["range"] = 0.0f;
  const auto measured = find_method("dorefa").make(context);
  measured->calibrate(at::linspace(0, 12, 1201));
  measured->finish_calibration();
  const double range = measured->activation_code().step * 3;
  EXPECT_NEAR(range, 12 * 6.0 / 7, 0.25) << "uniform values: the last half step is clipped";
  EXPECT_EQ(measured->state().size(), 1U);
  measured->carry_state(2);
  EXPECT_NEAR(measured->activation_code().step * 3, range, 1e-6);
}

TEST(DoReFaSheet, ActivationGradientIsTheClip) {
  const at::Tensor x = at::tensor({-0.2f, 0.0f, 0.17f, 1.0f, 1.4f}).set_requires_grad(true);
  dorefa(Role::activation, 2)->forward(x, true).sum().backward();
  expect_near(x.grad(), {0, 1, 1, 1, 0}, 0);
}

TEST(DoReFaSheet, WeightLevels) {  // 2, 3
  const at::Tensor w = at::tensor(weights);
  expect_near(dorefa(Role::weight, 2)->forward(w, false), {1, -1.0 / 3, 1.0 / 3, -1}, 1e-6);
  expect_near(dorefa(Role::weight, 3)->forward(w, false), {0.71429, -0.42857, 0.14286, -1}, 1e-5);
  expect_near(dorefa(Role::weight, 1)->forward(w, false), {0.7125, -0.7125, 0.7125, -0.7125}, 1e-7);
  for (int bits = 2; bits <= 8; ++bits)
    EXPECT_FALSE(dorefa(Role::weight, bits)->forward(at::linspace(-3, 3, 401), false).eq(0).any().item<bool>());
  expect_near(dorefa(Role::weight, 1)->forward(at::tensor({0.0f, -2.0f}), false), {1, -1}, 0);  // sign(0) = +1
}

TEST(DoReFaSheet, WeightGradient) {  // 4
  const at::Tensor g = at::tensor({1.0f, 2.0f, -1.0f, 0.5f});
  const auto gradient = [&](int bits, bool constant) {
    const at::Tensor w = at::tensor(weights).set_requires_grad(true);
    (dorefa(Role::weight, bits, constant)->forward(w, true) * g).sum().backward();
    return w.grad();
  };
  expect_near(gradient(2, false), {0.5283, 1.9858, -1.0823, 0.0148}, 1e-4);
  expect_near(gradient(2, true), {0.5283, 1.9858, -1.0823, 0.0817}, 1e-4);
  expect_near(gradient(1, false), {1, 2, -1, 0.5}, 0);  // 3: straight through, E is a constant
}

TEST(DoReFaSheet, GradientQuantizer) {  // 5
  const at::Tensor g = at::tensor({0.02f, -0.005f, 0.001f, -0.0133f}).reshape({1, 4});
  expect_near(methods::dorefa_quantize_gradient(g, 2, at::zeros({1, 4})), {0.02, -0.006667, 0.006667, -0.006667}, 1e-6);
  const at::Tensor sigma = at::tensor({0.3f, -0.3f, 0.45f, -0.1f}).reshape({1, 4});
  expect_near(methods::dorefa_quantize_gradient(g, 2, sigma), {0.02, -0.006667, 0.006667, -0.02}, 1e-6);
}

TEST(DoReFaSheet, GradientQuantizerIsUnbiasedPerSampleAndKeepsZeros) {  // 5
  const auto quantizer = dorefa(Role::gradient, 2);
  at::Tensor rows = at::tensor({0.02f, -0.005f, 0.001f, -0.0133f}).reshape({1, 4}).repeat({200000, 1});
  rows = at::cat({rows, at::zeros({1, 4}), at::tensor({4.0f, 0.0f, 0.0f, 0.0f}).reshape({1, 4})});
  const at::Tensor x = at::zeros_like(rows).set_requires_grad(true);
  quantizer->set_step(1);
  (quantizer->forward(x, true) * rows).sum().backward();
  const at::Tensor mean = x.grad().narrow(0, 0, 200000).mean(0);
  expect_near(mean, {0.02, -0.005, 0.001, -0.0133}, 1e-4);
  expect_near(x.grad()[200000], {0, 0, 0, 0}, 0);
  EXPECT_EQ(x.grad()[200001][0].item<float>(), 4.0f);  // its own maximum, not the batch's
}

TEST(DoReFaSheet, NoiseIsFreshAtEveryStepAndRepeatable) {
  const at::Tensor rows = at::linspace(-1, 1, 64).reshape({1, 64});
  const auto pass = [&](Quantizer& quantizer, std::int64_t step) {
    quantizer.set_step(step);
    const at::Tensor x = at::zeros_like(rows).set_requires_grad(true);
    (quantizer.forward(x, true) * rows).sum().backward();
    return x.grad();
  };
  const auto a = dorefa(Role::gradient, 2), b = dorefa(Role::gradient, 2);
  const at::Tensor first = pass(*a, 1), repeated = pass(*a, 1), second = pass(*a, 2);
  EXPECT_FALSE(at::equal(first, second));
  EXPECT_FALSE(at::equal(first, repeated));     // a second pass of one step (accumulated gradients)
  EXPECT_TRUE(at::equal(pass(*b, 2), second));  // a resumed run starts in the middle
}

TEST(DoReFaSheet, BitPlaneDots) {  // 6, 7: the encoding gives the sheet's integer dots
  const int x[] = {3, 1, 0, 2, 3}, y[] = {1, 2, 3, 2, 0};
  int dot = 0;
  for (int m = 0; m < 2; ++m)
    for (int k = 0; k < 2; ++k) {
      int both = 0;
      for (int i = 0; i < 5; ++i) both += (x[i] >> m) & (y[i] >> k) & 1;
      EXPECT_EQ(both, 1);
      dot += both << (m + k);
    }
  EXPECT_EQ(dot, 9);

  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = 3;
  e.shape = {1, 5};
  e.codes = {0, 7, 5, 2, 4};
  const Encoding like = dorefa(Role::weight, 3)->encode(at::ones({1, 1}));
  e.offset = like.offset;
  e.plane_scale = like.plane_scale;
  const Encoding::IntegerForm integers = e.integer_form();
  ASSERT_TRUE(integers.ok);
  double real = 0;
  for (std::size_t i = 0; i < 5; ++i) real += x[i] / 3.0 * static_cast<double>(integers.step[0]) * integers.values[i];
  EXPECT_NEAR(real, -17.0 / 21, 1e-6);

  const Encoding binary = dorefa(Role::weight, 1)->encode(at::tensor({0.7125f, -0.7125f, -0.7125f, 0.7125f, 0.7125f}));
  EXPECT_EQ(binary.codes, (std::vector<std::uint8_t>{1, 0, 0, 1, 1}));
  double sum = 0;
  for (std::size_t i = 0; i < 5; ++i) sum += x[i] / 3.0 * static_cast<double>(binary.level(0, binary.codes[i]));
  EXPECT_NEAR(sum, 1.6625, 1e-6);
}

TEST(DoReFaSheet, FusedThresholds) {  // 8
  const auto quantizer = dorefa(Role::activation, 2);
  const double thresholds[] = {3.8667, 5.2, 6.5333};
  for (int s = -5; s <= 15; ++s) {
    const float z = 0.5f * (static_cast<float>(s) - 4) / 2 + 0.2f;
    int level = 0;
    for (const double t : thresholds) level += s >= t ? 1 : 0;
    EXPECT_NEAR(static_cast<double>(quantizer->forward(at::full({1}, z), false).item<float>()), level / 3.0, 1e-6) << s;
  }
}

}  // namespace
}  // namespace nnq::train
