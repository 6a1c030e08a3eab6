// The worked numbers of Galloway, Taylor, Moussa 2018 (arXiv:1711.00449): linear toy, Carlini-Wagner terms, Jacobian
// augmentation, softmax masking, budgets, stochastic weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "methods/attack/carlini_wagner.h"
#include "methods/attack/substitute.h"
#include "methods/attack_support.h"
#include "methods/attack_toy.h"
#include "methods/masking.h"
#include "nnq/error.h"
#include "train/executor.h"

namespace nnq::test {
namespace {

using ::testing::DoubleNear;
using ::testing::Pointwise;

void expect_values(const at::Tensor& t, const std::vector<double>& wanted, double tolerance = 1e-6) {
  const std::vector<double> got = values(t);
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], tolerance) << "element " << i;
}

TEST(AttackSheet, LinearToyByFgsm) {
  LinearToy toy;
  expect_values(toy.scores(x), {-1.35, 1.55});
  expect_values(at::softmax(toy.scores(x), 1), {.052154, .947846});
  expect_values(methods::pixel_gradient(toy, x, y, {}), {.078230, -.156461, -.052154});
  const at::Tensor adversarial = run(toy, "fgsm", .3);
  expect_values(adversarial, {.5, .6, .2});
  expect_values(at::softmax(toy.scores(adversarial), 1).select(1, 1), {.777300});
}

TEST(AttackSheet, CarliniWagnerTerms) {
  LinearToy toy;
  const at::Tensor start = methods::image_in_tanh_space(x, at::zeros_like(x));
  expect_values(start, {.2, .9, .5}, 5e-7);
  expect_values(methods::attack_term(toy.scores(x), y, 0), {2.9});
  const at::Tensor moved = methods::image_in_tanh_space(x, image({.5F, -.5F, -.1F}));
  expect_values(moved, {.404610, .768030, .450166});
  const at::Tensor distance = (moved - x).square().sum(), f = methods::attack_term(toy.scores(moved), y, 0);
  expect_values(distance, {.061765});
  expect_values(f, {2.147340}, 2e-6);
  EXPECT_NEAR(values(distance)[0] + 10 * values(f)[0], 21.535169, 1e-5);
  // kappa: the other class must win by so much.
  expect_values(methods::attack_term(toy.scores(x), y, 1.5), {4.4});
}

TEST(AttackSheet, CarliniWagnerFindsANearImageOnTheOtherSide) {
  LinearToy toy;
  const at::Tensor near = run(toy, "carlini_wagner", 0, {{"steps", "400"}, {"search_steps", "9"}});
  EXPECT_EQ(toy.predict(near).item<std::int64_t>(), 0);
  // Without the box the plane is 2.9 / |w_1 - w_0| = 2.9 / 3.5 away; the second pixel and the third have room for it.
  const double distance = std::sqrt(values((near - x).square().sum())[0]);
  EXPECT_GE(distance, 2.9 / 3.5 - 1e-4);
  EXPECT_LE(distance, 2.9 / 3.5 * 1.1);
  // What cannot be reached leaves x alone.
  expect_values(run(toy, "carlini_wagner", 0, {{"max_distance", "0.1"}}) - x, {0, 0, 0}, 0);
}

TEST(AttackSheet, PixelsZeroAndOneStayFiniteInTanhSpace) {
  const at::Tensor corners = methods::image_in_tanh_space(image({0, 1, .5F}), image({0, 0, 0}));
  expect_values(corners, {0, 1, .5}, 1e-6);
  const at::Tensor far = methods::image_in_tanh_space(image({0, 1, .5F}), image({50, -50, 1e6F}));
  EXPECT_TRUE(at::isfinite(far).all().item<bool>());
  EXPECT_TRUE(far.ge(0).logical_and(far.le(1)).all().item<bool>());
}

TEST(AttackSheet, JacobianAugmentation) {
  LinearToy toy;
  const at::Tensor gradient =
      methods::gradient_of(toy, x, [](const at::Tensor& scores) { return at::softmax(scores, 1).select(1, 1); });
  expect_values(gradient, {-.074150, .148301, .049434});
  expect_values(methods::jacobian_points(toy, x, y, .1), {.1, 1.0, .6});
}

TEST(AttackSheet, SoftmaxMasking) {
  const at::Tensor scores = at::tensor(std::vector<float>{30, -10}).reshape({1, 2}), label = at::zeros({1}, at::kLong);
  EXPECT_EQ(methods::softmax_slack(scores, label, 1).item<float>(), 0.0F);  // no slope left
  const double slack = methods::softmax_slack(scores, label, .25).item<double>();
  EXPECT_NEAR(-.25 * slack, -1.13e-5, 1e-7);
  const at::Tensor z = scores.clone().set_requires_grad(true);
  methods::attack_loss({"cross_entropy", 1}, z, label).sum().backward();
  EXPECT_EQ(z.grad()[0][0].item<float>(), 0.0F);
  EXPECT_GT(methods::margin(scores, label).item<float>(), -41);  // the margin keeps its slope
}

TEST(AttackSheet, SaturatedScoresMaskTheGradientAndTemperingUnmasksIt) {
  LinearToy loud(200);  // scores of about +-300: exp underflows, every gradient is exactly zero
  expect_values(run(loud, "fgsm", .3) - x, {0, 0, 0}, 0);
  for (const std::map<std::string, std::string>& unmasked :
       {std::map<std::string, std::string>{{"logit_scale", "0.005"}}, {{"loss", "margin"}}})
    expect_values(run(loud, "fgsm", .3, unmasked), {.5, .6, .2});
  EXPECT_EQ(loud.predict(run(loud, "pgd", .6, {{"loss", "margin"}})).item<std::int64_t>(), 0);
}

TEST(AttackSheet, BudgetsAndBoxHoldExactly) {
  LinearToy toy;
  for (const double epsilon : {.3, 8.0 / 255, 1.0 / 3, 1e-9, .95}) {
    for (const auto& [id, parameters] : {std::pair<const char*, std::map<std::string, std::string>>{"fgsm", {}},
                                         {"pgd", {}},
                                         {"pgd", {{"steps", "3"}, {"step_size", "0.5"}, {"restarts", "3"}}}}) {
      const at::Tensor moved = run(toy, id, epsilon, parameters);
      const at::Tensor change = (moved.to(at::kDouble) - x.to(at::kDouble)).abs();
      EXPECT_LE(change.max().item<double>(), epsilon) << id << " " << epsilon;
      EXPECT_TRUE(moved.ge(0).logical_and(moved.le(1)).all().item<bool>()) << id << " " << epsilon;
    }
  }
  // 40 steps of 0.01 in one direction end at 0.3.
  const at::Tensor forty = run(toy, "pgd", .3, {{"random_start", "0"}, {"step_size", "0.01"}});
  expect_values((forty - x).abs(), {.3, .3, .3});
}

TEST(AttackSheet, PgdOfOneStepWithoutRandomStartIsFgsm) {
  LinearToy toy;
  for (const double epsilon : {.3, 8.0 / 255, .7})
    EXPECT_TRUE(run(toy, "pgd", epsilon, {{"steps", "1"}, {"random_start", "0"}}).equal(run(toy, "fgsm", epsilon)));
}

TEST(AttackSheet, RandomStartsAreThoseOfTheSeedAndTheImage) {
  LinearToy toy;
  const std::map<std::string, std::string> one{{"steps", "1"}, {"step_size", "0.001"}};
  EXPECT_TRUE(run(toy, "pgd", .1, one).equal(run(toy, "pgd", .1, one)));
  EXPECT_FALSE(run(toy, "pgd", .1, one).equal(run(toy, "pgd", .1, one, 2)));
  const at::Tensor twice = at::cat({x, x});
  const at::Tensor together = methods::image_noise(twice, {7, 3}, 1, "pgd 0");
  EXPECT_TRUE(together.narrow(0, 1, 1).equal(methods::image_noise(x, {3}, 1, "pgd 0")));
  EXPECT_FALSE(together.narrow(0, 0, 1).equal(together.narrow(0, 1, 1)));
}

TEST(AttackSheet, BadBudgetsAndParametersAreErrors) {
  LinearToy toy;
  EXPECT_THROW(run(toy, "fgsm", 0), Error);
  EXPECT_THROW(run(toy, "pgd", -1), Error);
  EXPECT_THROW(run(toy, "pgd", NAN), Error);
  EXPECT_THROW(run(toy, "pgd", .1, {{"steps", "0"}}), Error);
  EXPECT_THROW(run(toy, "pgd", .1, {{"steps", "1.5"}}), Error);
  EXPECT_THROW(run(toy, "pgd", .1, {{"step", "3"}}), Error);
  EXPECT_THROW(run(toy, "pgd", .1, {{"loss", "hinge"}}), Error);
  EXPECT_THROW(run(toy, "pgd", .1, {{"random_start", "0"}, {"restarts", "2"}}), Error);
  EXPECT_THROW(run(toy, "carlini_wagner", 0, {{"steps", "0"}}), Error);
  EXPECT_THROW(run(toy, "substitute", .1), Error);  // not prepared
  EXPECT_THROW(train::find_attack("fgms"), Error);
  EXPECT_NO_THROW(run(toy, "pgd", .1, {{"step_size", "2/255"}}));
}

TEST(AttackSheet, StochasticWeightsHaveTheSheetsMeanAndVariance) {
  // One unit, k = [.25, -.4, .9], x = [1, -1, 1]: mean 1.55, variance 1.9675.
  Graph graph;
  graph.inputs = {{"x", ValueType::of(DType::f32, {1, 3})}};
  graph.initializers["k"] = Tensor::of<float>({3, 1}, std::vector<float>{.25F, -.4F, .9F});
  Node quantizer{"q", "Quantizer", kNnqDomain, {"k"}, {"w"}, {}};
  quantizer.attributes = {{"method", std::string("bnn")},
                          {"role", std::string("weight")},
                          {"bits", std::int64_t{1}},
                          {"signed", std::int64_t{1}},
                          {"stochastic", std::int64_t{1}}};
  graph.nodes = {quantizer, {"m", "MatMul", "", {"x", "w"}, {"y"}, {}}};
  graph.outputs = {"y"};
  train::Executor executor(graph, {});
  EXPECT_TRUE(executor.stochastic());
  const at::NoGradGuard no_gradient;
  const at::Tensor input = at::tensor(std::vector<float>{1, -1, 1}).reshape({1, 3});
  const auto unit = [&] { return executor.forward({{"x", input}}, false)[0].item<double>(); };
  EXPECT_EQ(unit(), 3);  // deterministic form: signs
  executor.set_drawing(true);
  double sum = 0, squares = 0;
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    const double v = unit();
    sum += v;
    squares += v * v;
  }
  const double mean = sum / draws;
  EXPECT_NEAR(mean, 1.55, .05);
  EXPECT_NEAR(squares / draws - mean * mean, 1.9675, .08);
}

}  // namespace
}  // namespace nnq::test
