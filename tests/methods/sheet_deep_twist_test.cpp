// The worked numbers of DeepTwist's sheet (arXiv:1810.12823), items 1 to 8.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>

#include "methods/distortion.h"
#include "methods/expect_near.h"
#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

using Attributes = std::map<std::string, Attribute>;
using methods::compose;

std::unique_ptr<Quantizer> deep_twist(const std::string& projection, Attributes parameters = {}, Shape shape = {}) {
  QuantizerContext context;
  context.bits = 2;
  context.weight_shape = std::move(shape);
  context.node.name = "q";
  parameters["projection"] = projection;
  context.node.attributes = {parameters.begin(), parameters.end()};
  return find_method("deep_twist").make(context);
}

at::Tensor normal(const Shape& shape, std::uint64_t seed = 1) {
  at::manual_seed(seed);
  return at::randn(shape);
}

double distance(const at::Tensor& a, const at::Tensor& b) { return (a - b).norm().item<double>(); }

TEST(DeepTwistSheet, Pruning) {  // 1
  const at::Tensor w = at::tensor({.9f, -.05f, .3f, -.6f, .02f, .4f});
  expect_near(deep_twist("prune", {{"rate", .5f}})->forward(w, false), {.9, 0, 0, -.6, 0, .4}, 1e-7);
  EXPECT_TRUE(at::equal(methods::prune_by_magnitude(w, 0), w));
  EXPECT_TRUE(at::equal(methods::prune_by_magnitude(at::ones({7}), .9), at::ones({7}))) << "equal magnitudes stay";
}

TEST(DeepTwistSheet, LowRank) {  // 2
  const at::Tensor w = at::tensor({3.0f, 1.0f, 1.0f, 3.0f}).reshape({2, 2});
  const at::Tensor one = deep_twist("svd", {{"rank", std::int64_t{1}}})->forward(w, false);
  expect_near(one, {2, 2, 2, 2}, 1e-6);
  EXPECT_NEAR(distance(one, w), 2, 1e-6);
  expect_near(deep_twist("svd", {{"rank", std::int64_t{2}}})->forward(w, false), {3, 1, 1, 3}, 1e-6);
}

TEST(DeepTwistSheet, Ternary) {  // 3
  const at::Tensor w = at::tensor({.8f, -.5f, .04f, -.03f, .3f, -.9f});
  const at::Tensor y = deep_twist("ternary")->forward(w, false);
  expect_near(y, {.625, -.625, 0, 0, .625, -.625}, 1e-6);  // .3 > .299833
  EXPECT_NEAR((y - w).square().sum().item<double>(), .23, 1e-5);
}

TEST(DeepTwistSheet, ProjectingTwiceChangesNothing) {  // 4
  const at::Tensor w = normal({16, 8, 3, 3});
  for (const std::string projection : {"ternary", "multi_bit", "prune", "svd", "tucker2", "none"}) {
    const auto quantizer = deep_twist(projection, {{"rank", std::int64_t{4}}, {"sweeps", std::int64_t{0}}});
    const at::Tensor once = quantizer->forward(w, false), twice = quantizer->forward(once, false);
    EXPECT_LT((twice - once).abs().max().item<double>(), 2e-6) << projection;
  }
}

TEST(DeepTwistSheet, RecoveryBetweenDistortions) {  // 5: the repaired share of a distortion is 1 - (1 - lr lambda)^S_D
  struct Row {
    double rate, curvature;
    std::int64_t period;
    double left;
  };
  for (const Row& row : {Row{.1, .5, 10, .599}, Row{.1, .5, 50, .077}, Row{.01, .5, 50, .778}}) {
    const auto quantizer = deep_twist("prune", {{"rate", .5f}, {"period", row.period}});
    const at::Tensor optimum = at::tensor({1.0f, -.5f, .25f, .75f});
    at::Tensor w = optimum.clone(), distorted;
    for (std::int64_t t = 0; t < 2 * row.period; ++t) {
      quantizer->set_step(t);
      if (t == 2 * row.period - 1) {  // one step short of the second distortion
        const at::Tensor next = w - row.rate * row.curvature * (w - optimum);
        EXPECT_NEAR(distance(next, optimum) / distance(distorted, optimum),
                    std::pow(1 - row.rate * row.curvature, static_cast<double>(row.period)), 1e-6);
        EXPECT_NEAR(distance(next, optimum) / distance(distorted, optimum), row.left, 5e-4);
      }
      w = w - row.rate * row.curvature * (w - optimum);
      quantizer->after_step(w);
      if (t == row.period - 1) distorted = w.clone();
    }
    expect_near(distorted, {1, 0, 0, .75}, 1e-6);
  }
}

TEST(DeepTwistSheet, WeightsAreDenseBetweenDistortions) {  // 6
  const auto quantizer = deep_twist("prune", {{"rate", .9f}, {"period", std::int64_t{5}}});
  at::Tensor w = normal({200});
  std::vector<std::int64_t> zeros;
  for (std::int64_t t = 0; t < 7; ++t) {
    quantizer->set_step(t);
    w = w - .01 * normal({200}, static_cast<std::uint64_t>(t) + 10);
    quantizer->after_step(w);
    zeros.push_back(w.eq(0).sum().item<std::int64_t>());
  }
  EXPECT_EQ(zeros, (std::vector<std::int64_t>{0, 0, 0, 0, 180, 0, 0}));
  EXPECT_GT(quantizer->statistics().at("distortion"), 0);
}

TEST(DeepTwistSheet, NothingHappensBeforeThePeriodAndNothingWithoutProjection) {  // 7
  for (const auto& [projection, period] :
       {std::pair{"prune", std::int64_t{1000}}, std::pair{"none", std::int64_t{1}}}) {
    const auto quantizer = deep_twist(projection, {{"period", period}});
    at::Tensor w = normal({50});
    const at::Tensor before = w.clone();
    for (std::int64_t t = 0; t < 100; ++t) {
      quantizer->set_step(t);
      quantizer->after_step(w);
      EXPECT_TRUE(at::equal(quantizer->forward(w, true), before));
    }
    EXPECT_TRUE(at::equal(w, before));
  }
}

TEST(DeepTwistSheet, FormatsAreExact) {  // 8
  const at::Tensor w = normal({16, 8, 3, 3});
  EXPECT_EQ(deep_twist("prune", {{"rate", .95f}})->forward(w, false).eq(0).sum().item<std::int64_t>(), 1094);
  const at::Tensor low = deep_twist("svd", {{"rank", std::int64_t{3}}})->forward(w, false);
  const at::Tensor s = at::linalg_svdvals(low.reshape({16, -1}).to(at::kDouble));
  EXPECT_GT(s[2].item<double>(), 1);
  EXPECT_LT(s[3].item<double>(), 1e-5);
  const methods::Tucker2 f = methods::tucker2(w, 5, 3, 1);
  EXPECT_EQ(f.output.sizes().vec(), (Shape{16, 5}));
  EXPECT_EQ(f.core.sizes().vec(), (Shape{5, 3, 3, 3}));
  EXPECT_EQ(f.input.sizes().vec(), (Shape{3, 8}));
  EXPECT_LT(distance(compose(methods::tucker2(w, 16, 8, 0)), w), 1e-4) << "full rank loses nothing";
  EXPECT_LE(distance(compose(methods::tucker2(w, 5, 3, 3)), w), distance(compose(methods::tucker2(w, 5, 3, 0)), w));
}

TEST(DeepTwistSheet, TrainingSeesTheWeightsThemselves) {
  const auto quantizer = deep_twist("ternary");
  const at::Tensor w = normal({4, 5}).set_requires_grad(true);
  const at::Tensor y = quantizer->forward(w, true);
  EXPECT_TRUE(at::equal(y, w));
  (y * 3).sum().backward();
  EXPECT_TRUE(w.grad().eq(3).all().item<bool>());
}

TEST(DeepTwistSheet, RampedRateRisesToTheFullOne) {
  const auto pruned_at = [](double progress) {
    const auto quantizer = deep_twist("prune", {{"rate", .8f}, {"ramp", std::int64_t{1}}, {"period", std::int64_t{1}}});
    at::Tensor w = normal({1000});
    quantizer->set_progress(progress);
    quantizer->after_step(w);
    return static_cast<double>(w.eq(0).sum().item<std::int64_t>()) / 1000;
  };
  EXPECT_EQ(pruned_at(0), 0);
  EXPECT_NEAR(pruned_at(.5), .7, .0011);  // .8 (1 - 1/8)
  EXPECT_NEAR(pruned_at(1), .8, .0011);
  // What deploys is the full rate, whatever the progress.
  const auto fresh = deep_twist("prune", {{"rate", .8f}, {"ramp", std::int64_t{1}}});
  EXPECT_EQ(fresh->forward(normal({1000}), false).eq(0).sum().item<std::int64_t>(), 800);
}

TEST(DeepTwistSheet, RefusesWhatItCannotServe) {
  EXPECT_THROW(deep_twist("tucker2", {}, {10, 20}), Error);
  EXPECT_NO_THROW(deep_twist("tucker2", {}, {10, 20, 3, 3}));
  EXPECT_THROW(deep_twist("svd", {}, {10}), Error);
  EXPECT_THROW(deep_twist("prune", {{"rate", 1.0f}}), Error);
  EXPECT_THROW(deep_twist("prune")->encode(at::ones({2, 2})), Error);
  EXPECT_TRUE(deep_twist("prune")->deploys_as_float());
  EXPECT_FALSE(deep_twist("ternary")->deploys_as_float());
  EXPECT_FALSE(deep_twist("multi_bit")->deploys_as_float());
  EXPECT_EQ(deep_twist("multi_bit")->encode(normal({3, 20})).groups, 3) << "codes and scales a row";
}

}  // namespace
}  // namespace nnq::train
