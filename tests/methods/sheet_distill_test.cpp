// The worked numbers of quantized distillation's sheet (Polino et al. 2018, arXiv:1802.05668), items 1 to 8.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <set>

#include "methods/buckets.h"
#include "methods/expect_near.h"
#include "nnq/error.h"
#include "train/loss.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

std::unique_ptr<Quantizer> quantizer(const std::string& method, int bits,
                                     const std::map<std::string, Attribute>& parameters = {}) {
  QuantizerContext context;
  context.bits = bits;
  context.node.name = "q";
  context.node.attributes = parameters;
  return find_method(method).make(context);
}

at::Tensor sheet_vector() { return at::tensor({-0.6F, -0.1F, 0.05F, 0.4F, 0.9F, 0.2F}); }
const std::map<std::string, Attribute> whole{{"bucket", std::int64_t{0}}}, threes{{"bucket", std::int64_t{3}}};

/// A differentiable quantizer with these points and the ranges of `w`.
std::unique_ptr<Quantizer> with_points(const at::Tensor& w, const std::vector<float>& points,
                                       const std::map<std::string, Attribute>& parameters) {
  auto made = quantizer("differentiable", 2, parameters);
  made->calibrate(w);
  *made->state()[0].tensor = at::tensor(points).set_requires_grad(true);
  return made;
}

TEST(DistillSheet, ScalingOfTheWholeTensor) {  // 1
  const methods::Buckets buckets = methods::scale_buckets(sheet_vector(), 0);
  ASSERT_EQ(buckets.count(), 1);
  EXPECT_EQ(buckets.low[0], -0.6F);
  EXPECT_NEAR(buckets.high[0] - buckets.low[0], 1.5F, 1e-6F);
  expect_near(quantizer("bucketed", 2, whole)->forward(sheet_vector(), false), {-0.6, -0.1, -0.1, 0.4, 0.9, 0.4}, 1e-6);
}

TEST(DistillSheet, BucketsOfThree) {  // 1
  const methods::Buckets buckets = methods::scale_buckets(sheet_vector(), 3);
  ASSERT_EQ(buckets.count(), 2);
  EXPECT_NEAR(buckets.high[0] - buckets.low[0], 0.65F, 1e-6F);
  EXPECT_NEAR(buckets.high[1] - buckets.low[1], 0.7F, 1e-6F);
  EXPECT_EQ(buckets.low, (std::vector<float>{-0.6F, 0.2F}));
  expect_near(quantizer("bucketed", 2, threes)->forward(sheet_vector(), false),
              {-0.6, -0.166667, 0.05, 0.433333, 0.9, 0.2}, 1e-6);
  const Encoding encoding = quantizer("bucketed", 2, threes)->encode(sheet_vector());
  EXPECT_EQ(encoding.codes, (std::vector<std::uint8_t>{0, 2, 3, 1, 3, 0}));
}

TEST(DistillSheet, TheLastBucketMayBeShortAndSmallTensorsAreOne) {
  EXPECT_EQ(methods::scale_buckets(at::arange(7).to(at::kFloat), 3).count(), 3);
  const methods::Buckets buckets = methods::scale_buckets(at::arange(7).to(at::kFloat), 3);
  EXPECT_EQ(buckets.low, (std::vector<float>{0, 3, 6}));
  EXPECT_EQ(buckets.high, (std::vector<float>{2, 5, 7}));  // constant: the range is 1
  EXPECT_EQ(methods::scale_buckets(sheet_vector(), 256).count(), 1);
}

TEST(DistillSheet, LearnedPointsAndTheirGradient) {  // 2
  const auto made = with_points(sheet_vector(), {0, 0.3F, 0.55F, 1}, whole);
  EXPECT_EQ(made->encode(sheet_vector()).codes, (std::vector<std::uint8_t>{0, 1, 2, 2, 3, 2}));
  const at::Tensor w = sheet_vector().set_requires_grad(true);
  const at::Tensor q = made->forward(w, true);
  expect_near(q, {-0.6, -0.15, 0.225, 0.225, 0.9, 0.225}, 1e-6);
  (q * at::arange(1, 7)).sum().backward();
  expect_near(made->state()[0].tensor->grad(), {1.5, 3.0, 19.5, 7.5}, 1e-5);
  expect_near(w.grad(), {0, 0, 0, 0, 0, 0}, 0);  // the weights are frozen
  EXPECT_EQ(made->learning_rate_scale(w), 0);
}

TEST(DistillSheet, PointsThatCrossAreSortedAndGradientsFindThem) {
  const auto made = with_points(sheet_vector(), {0.55F, 1, 0, 0.3F}, whole);
  const at::Tensor w = sheet_vector().set_requires_grad(true);
  const at::Tensor q = made->forward(w, true);
  expect_near(q, {-0.6, -0.15, 0.225, 0.225, 0.9, 0.225}, 1e-6);
  (q * at::arange(1, 7)).sum().backward();
  expect_near(made->state()[0].tensor->grad(), {19.5, 7.5, 1.5, 3.0}, 1e-5);
}

TEST(DistillSheet, GradientOfPointsIsTheDerivative) {
  const at::Tensor w = at::randn({40, 20}), g = at::randn({40, 20});
  const std::map<std::string, Attribute> parameters{{"bucket", std::int64_t{33}}};
  const std::vector<float> points{0.02F, 0.31F, 0.6F, 0.97F};
  const auto made = with_points(w, points, parameters);
  (made->forward(w.clone().set_requires_grad(true), true) * g).sum().backward();
  const at::Tensor gradient = made->state()[0].tensor->grad();
  const Encoding at_points = made->encode(w);
  for (std::size_t j = 0; j < points.size(); ++j) {  // codes held fixed: the output is linear in the points
    const auto loss = [&](float change) {
      Encoding moved = at_points;
      moved.table[j] += change;
      return (methods::decoded(moved).to(at::kDouble) * g).sum().item<double>();
    };
    EXPECT_NEAR(gradient[static_cast<std::int64_t>(j)].item<double>(), (loss(0.125F) - loss(-0.125F)) / 0.25, 1e-3);
  }
}

TEST(DistillSheet, DistillationLoss) {  // 3
  const at::Tensor student = at::tensor({2.0F, 0.5F, -1.0F}).view({1, 3}).set_requires_grad(true);
  const at::Tensor teacher = at::tensor({3.0F, 1.0F, -2.0F}).view({1, 3}).set_requires_grad(true);
  const at::Tensor label = at::zeros({1}, at::kLong);
  const at::Tensor hard = batch_loss("cross_entropy", 0, student, label);
  EXPECT_NEAR(hard.item<double>(), 0.241311, 1e-6);
  const auto divergence = distillation_loss(at::zeros({}), student, teacher, 1, 2).item<double>() / 4;
  EXPECT_NEAR(divergence, 0.036396, 1e-6);
  const at::Tensor loss = distillation_loss(hard, student, teacher, 0.7, 2);
  EXPECT_NEAR(loss.item<double>(), 0.174302, 1e-6);
  loss.backward();
  EXPECT_FALSE(teacher.grad().defined()) << "the teacher is not trained";
  // d/dz_s = a T (softmax(z_s / T) - softmax(z_t / T)) + (1 - a) (softmax(z_s) - y)
  const at::Tensor s = student.detach(), t = teacher.detach();
  const at::Tensor expected = 0.7 * 2 * (at::softmax(s / 2, 1) - at::softmax(t / 2, 1)) +
                              0.3 * (at::softmax(s, 1) - at::tensor({1.0F, 0.0F, 0.0F}).view({1, 3}));
  EXPECT_LT((student.grad() - expected).abs().max().item<double>(), 1e-6);
}

TEST(DistillSheet, DivergenceIsAveragedOverTheBatchNotTheClasses) {
  const at::Tensor student = at::randn({6, 10}), teacher = at::randn({6, 10});
  double sum = 0;
  for (std::int64_t i = 0; i < 6; ++i)
    sum +=
        distillation_loss(at::zeros({}), student.slice(0, i, i + 1), teacher.slice(0, i, i + 1), 1, 3).item<double>();
  EXPECT_NEAR(distillation_loss(at::zeros({}), student, teacher, 1, 3).item<double>(), sum / 6, 1e-5);
}

TEST(DistillSheet, ExtremesAreExactErrorsBoundedAndQuantizingTwiceChangesNothing) {  // 5, 8
  const at::Tensor w = at::randn({37, 50}) * 0.3;
  for (int bits = 1; bits <= 8; ++bits) {
    const auto made = quantizer("bucketed", bits, {{"bucket", std::int64_t{64}}});
    const at::Tensor q = made->forward(w, false).contiguous();
    EXPECT_TRUE(at::equal(made->forward(q, false), q)) << bits;
    const float *from = w.data_ptr<float>(), *to = q.data_ptr<float>();
    for (std::int64_t begin = 0; begin < w.numel(); begin += 64) {
      const std::int64_t end = std::min(w.numel(), begin + 64);
      const auto [least, most] = std::minmax_element(from + begin, from + end);
      EXPECT_EQ(to[least - from], *least);
      EXPECT_EQ(to[most - from], *most);
      const float bound = (*most - *least) / (2 * static_cast<float>((1 << bits) - 1)) + 1e-6F;
      for (std::int64_t i = begin; i < end; ++i) EXPECT_LE(std::fabs(to[i] - from[i]), bound);
      EXPECT_LE(std::set<float>(to + begin, to + end).size(), std::size_t{1} << bits);
    }
  }
}

TEST(DistillSheet, TheMeanOfStochasticRoundingIsTheWeight) {  // 6
  const at::Tensor w = sheet_vector();
  const auto made = quantizer("bucketed", 2, {{"bucket", std::int64_t{0}}, {"rounding", std::string("stochastic")}});
  constexpr int draws = 20000;
  at::Tensor sum = at::zeros({6}, at::kDouble);
  for (int i = 0; i < draws; ++i) {
    made->set_step(i);
    sum += made->forward(w, true);
  }
  // A level is 0.5 wide: the deviation of a mean is at most 0.25 / sqrt(draws).
  EXPECT_LT((sum / draws - w).abs().max().item<double>(), 5 * 0.25 / std::sqrt(draws));
  made->set_step(3);
  const at::Tensor once = made->forward(w, true);
  made->set_step(4);
  made->forward(w, true);
  made->set_step(3);
  EXPECT_TRUE(at::equal(made->forward(w, true), once)) << "a function of seed and step";
  EXPECT_TRUE(at::equal(made->forward(w, false), quantizer("bucketed", 2, whole)->forward(w, false)));
}

TEST(DistillSheet, UniformPointsAreUniformQuantization) {  // 7
  const at::Tensor w = at::randn({33, 65});
  for (int bits = 1; bits <= 8; ++bits) {
    const auto learned = quantizer("differentiable", bits, {{"init", std::string("uniform")}});
    learned->calibrate(w);
    EXPECT_TRUE(at::equal(learned->forward(w, true), quantizer("bucketed", bits)->forward(w, false))) << bits;
  }
}

TEST(DistillSheet, PointsStartAtQuantiles) {
  const at::Tensor w = at::tensor({0.0F, 1.0F, 2.0F, 3.0F, 10.0F});  // scaled 0 .1 .2 .3 1
  const auto made = quantizer("differentiable", 2, whole);
  made->calibrate(w);
  expect_near(*made->state()[0].tensor, {0, 0.133333, 0.266667, 1}, 1e-6);  // at places 0, 4/3, 8/3, 4
}

TEST(DistillSheet, GradientThroughTheRangeGoesToTheExtremes) {
  const at::Tensor w = sheet_vector().set_requires_grad(true);
  const auto made = quantizer("bucketed", 2, {{"bucket", std::int64_t{0}}, {"scaling_gradient", std::int64_t{1}}});
  const at::Tensor g = at::arange(1, 7).to(at::kFloat);
  (made->forward(w, true) * g).sum().backward();
  // r = (Q - v) / 1.5 = (0, 0, -.1, 0, 0, .133333); sum(g r) = -.3 + .8 = .5
  expect_near(w.grad(), {1 - 0.5, 2, 3, 4, 5 + 0.5, 6}, 1e-5);
  const at::Tensor plain = sheet_vector().set_requires_grad(true);
  (quantizer("bucketed", 2, whole)->forward(plain, true) * g).sum().backward();
  expect_near(plain.grad(), {1, 2, 3, 4, 5, 6}, 0);
}

TEST(DistillSheet, BitsAWeightAreTheSheets) {
  const at::Tensor w = at::randn({64, 512});
  for (const auto& [bits, bucket, ratio] :
       {std::tuple{8, 256, 3.88}, std::tuple{4, 256, 7.53}, std::tuple{2, 256, 14.22}, std::tuple{2, 512, 15.06}}) {
    const Encoding e = quantizer("bucketed", bits, {{"bucket", std::int64_t{bucket}}})->encode(w);
    const double bytes = static_cast<double>(e.packed_bytes() + 4 * (e.low.size() + e.high.size()));
    EXPECT_NEAR(4 * static_cast<double>(w.numel()) / bytes, ratio, 0.005);
    EXPECT_EQ(e.table.size(), std::size_t{1} << bits) << "once a tensor";
  }
}

TEST(DistillSheet, OtherRolesAndStateOfAnotherWeightAreRefused) {
  for (const char* method : {"bucketed", "differentiable"}) {
    QuantizerContext context;
    context.role = Role::activation;
    EXPECT_THROW(find_method(method).make(context), Error);
    EXPECT_THROW(quantizer(method, 2, {{"bucket", std::int64_t{-1}}}), Error);
  }
  const auto made = quantizer("differentiable", 2, threes);
  made->calibrate(sheet_vector());
  EXPECT_THROW(made->forward(at::randn({100}), false), Error);
}

}  // namespace
}  // namespace nnq::train
