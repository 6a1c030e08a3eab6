// The worked numbers of BNN's sheet (arXiv:1602.02830), items 4 to 6, 8 and 11, and c_k. (1 and 2, AP2 and shift-based
// BatchNormalization, are tested with their operator in tests/train; 3 and 7 with the optimizer and the loss.)
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <bit>
#include <cmath>

#include "train/quantizer.h"

namespace nnq::train {
namespace {

std::unique_ptr<Quantizer> bnn(Role role, bool stochastic = false) {
  QuantizerContext context;
  context.role = role;
  context.bits = 1;
  context.node.name = "q";
  if (stochastic) context.node.attributes["stochastic"] = std::int64_t{1};
  return find_method("bnn").make(context);
}

TEST(BnnSheet, DotOfPackedSigns) {  // 4
  const at::Tensor a = at::tensor({1.f, -1.f, 1.f, 1.f, -1.f, -1.f, 1.f, -1.f, 1.f, 1.f}),
                   w = at::tensor({1.f, 1.f, -1.f, 1.f, -1.f, 1.f, 1.f, -1.f, -1.f, 1.f});
  const auto pack = [](const at::Tensor& t) {
    const Encoding e = bnn(Role::weight)->encode(t);
    const std::vector<std::uint8_t> bytes = pack_planes(e.codes, 1);
    return static_cast<unsigned>(bytes[0] | bytes[1] << 8);
  };
  EXPECT_EQ(pack(a), 0x34Du);
  EXPECT_EQ(pack(w), 0x26Bu);
  EXPECT_EQ(std::popcount(pack(a) ^ pack(w)), 4);
  EXPECT_EQ(at::dot(a, w).item<float>(), 2.0f);
  EXPECT_EQ(10 - 2 * std::popcount(pack(a) ^ pack(w)), 2);
}

TEST(BnnSheet, FirstLayerOnEightBitPlanes) {  // 5
  const int x[] = {200, 3, 129, 64, 255, 0};
  const Encoding w = bnn(Role::weight)->encode(at::tensor({1.f, -1.f, -1.f, 1.f, 1.f, -1.f}));
  const int expected[] = {-1, 0, 1, 2, 1, 1, 3, 1};
  int s = 0, sum_w = 0;
  for (int n = 0; n < 8; ++n) {
    int both = 0, ones = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      both += (x[i] >> n) & w.codes[i] & 1;
      ones += (x[i] >> n) & 1;
    }
    EXPECT_EQ(2 * both - ones, expected[n]) << "plane " << n;
    s += (2 * both - ones) << n;
  }
  EXPECT_EQ(s, 387);
  double normalised = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    const double weight = static_cast<double>(w.level(0, w.codes[i]));
    normalised += (2.0 * x[i] / 255 - 1) * weight;
    sum_w += static_cast<int>(weight);
  }
  EXPECT_NEAR(normalised, 3.03529, 1e-5);
  EXPECT_NEAR(2.0 / 255 * s - sum_w, 3.03529, 1e-5);
}

TEST(BnnSheet, ThresholdOfNormalizationAndSign) {  // 6
  const auto sign = bnn(Role::activation);
  for (const double gamma : {0.8, -0.8})
    for (int p = 0; p <= 100; ++p) {
      const double y = gamma * ((100 - 2 * p) - 6) / 9 - 0.3;
      const bool bit = gamma > 0 ? p <= 45 : p >= 49;
      EXPECT_EQ(sign->forward(at::full({1}, y), false).item<float>(), bit ? 1.0f : -1.0f) << gamma << " " << p;
    }
}

TEST(BnnSheet, StochasticUnit) {  // 8
  const auto unit = bnn(Role::activation, true);
  unit->set_step(1);
  const at::Tensor y = unit->forward(at::full({400000}, 0.4), true);
  EXPECT_NEAR(y.mean().item<double>(), 0.4, 0.01);
  EXPECT_NEAR(y.var().item<double>(), 0.84, 0.01);
  EXPECT_NEAR(y.gt(0).to(at::kFloat).mean().item<double>(), 0.7, 0.005);
  EXPECT_TRUE(unit->forward(at::full({1000}, 1.0), true).eq(1).all().item<bool>());
  EXPECT_TRUE(unit->forward(at::full({1000}, -1.0), true).eq(-1).all().item<bool>());
  EXPECT_TRUE(unit->forward(at::full({1000}, 0.4), false).eq(1).all().item<bool>()) << "evaluation is deterministic";
}

TEST(BnnSheet, StraightThroughMaskIsInclusive) {  // 8
  for (const bool stochastic : {false, true}) {
    const at::Tensor r = at::tensor({0.0f, 1.0f, 1.0001f, -1.0f, -1.0001f}).set_requires_grad(true);
    bnn(Role::activation, stochastic)->forward(r, true).sum().backward();
    EXPECT_TRUE(at::equal(r.grad(), at::tensor({1.f, 1.f, 0.f, 1.f, 0.f}))) << stochastic;
  }
}

TEST(BnnSheet, WeightsAreSignsWithUnmaskedGradientAndStayClipped) {  // 11
  const at::Tensor w = at::tensor({0.0f, -0.0f, 0.5f, -3.0f}).set_requires_grad(true);
  const auto quantizer = bnn(Role::weight);
  const at::Tensor y = quantizer->forward(w, true);
  EXPECT_TRUE(at::equal(y.detach(), at::tensor({1.f, 1.f, 1.f, -1.f})));
  (y * at::tensor({1.f, 2.f, 3.f, 4.f})).sum().backward();
  EXPECT_TRUE(at::equal(w.grad(), at::tensor({1.f, 2.f, 3.f, 4.f})));
  at::Tensor latent = w.detach().clone();
  quantizer->after_step(latent);
  EXPECT_EQ(latent.abs().max().item<float>(), 1.0f);
}

TEST(BnnSheet, LearningRateScale) {  // Traps
  const auto quantizer = bnn(Role::weight);
  EXPECT_NEAR(quantizer->learning_rate_scale(at::empty({4096, 784})), 57.0, 0.05);
  EXPECT_NEAR(quantizer->learning_rate_scale(at::empty({4096, 4096})), 73.9, 0.05);
  EXPECT_NEAR(quantizer->learning_rate_scale(at::empty({10, 4096})), 52.3, 0.05);
  EXPECT_NEAR(quantizer->learning_rate_scale(at::empty({128, 128, 3, 3})), 39.2, 0.05);
}

}  // namespace
}  // namespace nnq::train
