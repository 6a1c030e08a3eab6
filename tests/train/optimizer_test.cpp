#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>

#include "nnq/error.h"
#include "train/ap2.h"
#include "train/loss.h"
#include "train/optimizer_loops.h"

namespace nnq::train {
namespace {

/// One float parameter and its optimizer.
struct Subject {
  at::Tensor w;
  Optimizer optimizer;
  Parameter parameter;

  Subject(const OptimizerOptions& options, float start) : w(at::full({1}, start)), optimizer(options) {
    w.set_requires_grad(true);
    parameter.name = "w";
    parameter.tensor = &w;
  }
  float step(float gradient, double rate) {
    w.mutable_grad() = at::full({1}, gradient);
    optimizer.step({parameter}, rate);
    return w.item<float>();
  }
};

OptimizerOptions of(const char* kind) {
  OptimizerOptions options;
  options.kind = kind;
  return options;
}

TEST(Optimizer, SgdWithMomentum) {
  OptimizerOptions sgd = of("sgd");
  sgd.momentum = 0.5;
  Subject s(sgd, 1);
  EXPECT_FLOAT_EQ(s.step(2, 0.1), 0.8F);   // m = 2
  EXPECT_FLOAT_EQ(s.step(1, 0.1), 0.6F);   // m = 0.5 * 2 + 1 = 2
  EXPECT_FLOAT_EQ(s.step(-3, 0.1), 0.8F);  // m = 0.5 * 2 - 3 = -2
}

TEST(Optimizer, SgdWithNesterovMomentumLooksAhead) {
  OptimizerOptions sgd = of("sgd");
  sgd.momentum = 0.5;
  sgd.nesterov = true;
  Subject s(sgd, 1);
  EXPECT_FLOAT_EQ(s.step(2, 0.1), 0.7F);  // m = 2, step 2 + 0.5 * 2 = 3
  EXPECT_FLOAT_EQ(s.step(1, 0.1), 0.5F);  // m = 2, step 1 + 0.5 * 2 = 2
}

TEST(Optimizer, WeightDecayIsForWeightsOnly) {
  OptimizerOptions sgd = of("sgd");
  sgd.momentum = 0;
  sgd.weight_decay = 0.5;
  Subject s(sgd, 2);
  EXPECT_FLOAT_EQ(s.step(1, 0.1), 1.8F);  // 1 + 0.5 * 2 = 2
  Subject bias(sgd, 2);
  bias.parameter.decay = false;
  EXPECT_FLOAT_EQ(bias.step(1, 0.1), 1.9F);
}

TEST(Optimizer, AdamFollowsItsPaper) {
  OptimizerOptions adam = of("adam");
  adam.epsilon = 1e-8;
  Subject s(adam, 1);
  EXPECT_NEAR(s.step(0.5F, 0.1), 0.9, 1e-6);  // the first step is the rate itself
  // m = .9*.05 + .1*-.25 = .02, /(1-.81) = .105263; v = .999*.00025 + .001*.0625 = .00031225, /(1-.998001) = .156203
  EXPECT_NEAR(s.step(-0.25F, 0.1), 0.9 - 0.1 * 0.1052631579 / std::sqrt(0.1562031016), 1e-6);
}

TEST(Optimizer, AdamwDecaysApartFromTheGradient) {
  OptimizerOptions adamw = of("adamw");
  adamw.weight_decay = 0.5;
  Subject s(adamw, 1);
  EXPECT_NEAR(s.step(0.5F, 0.1), 1 * (1 - 0.1 * 0.5) - 0.1, 1e-6);
  OptimizerOptions adam = of("adam");
  adam.weight_decay = 0.5;
  Subject coupled(adam, 1);
  EXPECT_NEAR(coupled.step(0.5F, 0.1), 0.9, 1e-6);  // the decay vanishes in the first step's normalisation
}

TEST(Optimizer, AdamaxKeepsTheLargestGradient) {
  Subject s(of("adamax"), 1);
  EXPECT_NEAR(s.step(0.5F, 0.1), 0.9, 1e-6);
  // m = .9*.05 + .1*-.25 = .02; u = max(.999*.5, .25) = .4995; rate .1/.19
  EXPECT_NEAR(s.step(-0.25F, 0.1), 0.9 - 0.1 / 0.19 * 0.02 / 0.4995, 1e-6);
}

/// docs/papers: shift-based AdaMax, check 3 of the BNN sheet.
TEST(Optimizer, ShiftAdamaxMatchesTheSheet) {
  Subject s(of("shift_adamax"), 0);
  const float first = s.step(0.03F, 0x1p-10);
  EXPECT_NEAR(first, -0.00075, 1e-8);
  EXPECT_NEAR(s.step(-0.05F, 0x1p-10) - first, 0.00014375, 1e-8);
  const auto state = s.optimizer.state();
  EXPECT_NEAR(state.at("mean/w").as<float>()[0], -0.0023, 1e-8);
  EXPECT_NEAR(state.at("scale/w").as<float>()[0], 0x1p-4 + 0x1p-27, 1e-9);  // stored back rounded
}

TEST(Optimizer, ShiftAdamaxRoundsMagnitudesAsAp2Does) {
  UpdateRule rule;
  std::vector<float> magnitudes;
  for (std::uint32_t exponent = 90; exponent < 160; ++exponent)  // 2^-37 .. 2^32
    for (const std::uint32_t fraction : {0u, 1u, 0x3504f2u, 0x3504f3u, 0x3504f4u, 0x3504f5u, 0x7fffffu})
      magnitudes.push_back(std::bit_cast<float>(exponent << 23 | fraction));
  std::vector<float> w(magnitudes.size()), m(w), v(w);
  update_shift_adamax(w.data(), magnitudes.data(), m.data(), v.data(), static_cast<std::int64_t>(w.size()), rule);
  for (std::size_t i = 0; i < v.size(); ++i) EXPECT_EQ(v[i], ap2(magnitudes[i]) + 0x1p-27F) << magnitudes[i];
}

/// Long memory runs through vectors and threads; short memory element by element.
TEST(Optimizer, EveryElementIsUpdatedAlike) {
  for (const char* kind : {"sgd", "adam", "adamw", "adamax", "shift_adamax"}) {
    constexpr std::int64_t n = 70001;
    at::Tensor w = at::sin(at::arange(n, at::kFloat));
    const at::Tensor start = w.clone(), gradient = at::cos(at::arange(n, at::kFloat) * 3);
    w.set_requires_grad(true);
    OptimizerOptions options = of(kind);
    options.weight_decay = 0.01;
    Optimizer optimizer(options);
    Parameter parameter;
    parameter.name = "w";
    parameter.tensor = &w;
    for (int i = 0; i < 3; ++i) {
      w.mutable_grad() = gradient.clone();
      optimizer.step({parameter}, 0.01);
    }
    for (const std::int64_t at : {0, 7, 32767, 32768, 50003, 70000}) {
      Subject alone(options, start[at].item<float>());
      for (int i = 0; i < 3; ++i) alone.step(gradient[at].item<float>(), 0.01);
      EXPECT_EQ(alone.w.item<float>(), w[at].item<float>()) << kind << " element " << at;
    }
  }
}

TEST(Optimizer, RatesAreScaledByParameterAndForQuantizerState) {
  OptimizerOptions sgd = of("sgd");
  sgd.state_learning_rate = 0.25;
  Subject s(sgd, 1);
  s.parameter.learning_rate_scale = 3;
  EXPECT_FLOAT_EQ(s.step(1, 0.1), 0.7F);
  Subject state(sgd, 1);
  state.parameter.quantizer_state = true;
  EXPECT_FLOAT_EQ(state.step(1, 0.1), 0.975F);
  Subject shift(of("shift_adamax"), 0);  // the scale is behind the power of two
  shift.parameter.learning_rate_scale = 3;
  EXPECT_NEAR(shift.step(0.03F, 0x1p-10), 3 * -0.00075, 1e-8);
}

TEST(Optimizer, AdamMovesQuantizerStateRelativeToItsSize) {
  OptimizerOptions adam = of("adam");
  adam.state_learning_rate = 0.5;
  Subject s(adam, 0.02F);
  s.parameter.quantizer_state = true;
  EXPECT_NEAR(s.step(7, 0.1), 0.02 * (1 - 0.1 * 0.5), 1e-7);
  Subject zero(adam, 0);  // is not stuck at zero
  zero.parameter.quantizer_state = true;
  EXPECT_NEAR(zero.step(-7, 0.1), 0.1 * 0.5 * 1e-3, 1e-9);
}

TEST(Optimizer, CallsAfterStepOnTheLatentWeight) {
  struct Clip final : Quantizer {
    at::Tensor forward(const at::Tensor& x, bool) override { return x; }
    void after_step(at::Tensor& latent) override { latent.clamp_(-1, 1); }
  } clip;
  Subject s(of("sgd"), 0.95F);
  s.parameter.weight_quantizer = &clip;
  EXPECT_FLOAT_EQ(s.step(-5, 0.1), 1.0F);
}

TEST(Optimizer, LeavesBuffersAndParametersWithoutGradientAlone) {
  Subject s(of("adam"), 1);
  s.parameter.trainable = false;
  EXPECT_EQ(s.step(1, 0.1), 1);
  s.parameter.trainable = true;
  s.w.mutable_grad().reset();
  s.optimizer.step({s.parameter}, 0.1);
  EXPECT_EQ(s.w.item<float>(), 1);
}

TEST(Optimizer, HandlesMemoryOrdersThatDiffer) {
  at::Tensor w = at::arange(24, at::kFloat).reshape({2, 3, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor before = w.clone(), gradient = at::arange(24, at::kFloat).reshape({2, 3, 2, 2}) * 10;
  w.set_requires_grad(true);
  w.mutable_grad() = gradient.contiguous();
  Parameter parameter;
  parameter.name = "w";
  parameter.tensor = &w;
  Optimizer optimizer(of("sgd"));
  optimizer.step({parameter}, 0.5);
  EXPECT_TRUE(at::equal(w.detach(), before - gradient * 0.5));
}

TEST(Optimizer, GoesOnBitForBitFromSavedState) {
  for (const char* kind : {"sgd", "adam", "adamw", "adamax", "shift_adamax"}) {
    Subject whole(of(kind), 0.3F);
    Subject first(of(kind), 0.3F);
    const auto gradient = [](int i) { return std::sin(static_cast<float>(i)); };
    for (int i = 0; i < 20; ++i) whole.step(gradient(i), 0.01);
    float value = 0;
    for (int i = 0; i < 9; ++i) value = first.step(gradient(i), 0.01);
    Subject second(of(kind), value);
    second.optimizer.restore(first.optimizer.steps(), first.optimizer.state());
    for (int i = 9; i < 20; ++i) value = second.step(gradient(i), 0.01);
    EXPECT_EQ(value, whole.w.item<float>()) << kind;
    EXPECT_TRUE(second.optimizer.state() == whole.optimizer.state()) << kind;
  }
}

TEST(Optimizer, RefusesWhatMakesNoSense) {
  EXPECT_THROW(Optimizer(of("adm")), Error);
  OptimizerOptions bad = of("adam");
  bad.beta1 = 1;
  EXPECT_THROW(Optimizer{bad}, Error);
  Subject s(of("adam"), 1);
  s.optimizer.restore(1, {{"mean/w", Tensor(DType::f32, {7})}});
  EXPECT_THROW(s.step(1, 0.1), Error);
}

TEST(ClipGradients, ScalesAllGradientsAsOneVector) {
  at::Tensor a = at::zeros({1}).set_requires_grad(true), b = at::zeros({2}).set_requires_grad(true);
  a.mutable_grad() = at::full({1}, 3.0F);
  b.mutable_grad() = at::full({2}, 0.0F);
  b.mutable_grad()[0] = 4.0F;
  Parameter first, second;
  first.name = "a", first.tensor = &a;
  second.name = "b", second.tensor = &b;
  EXPECT_DOUBLE_EQ(clip_gradients({first, second}, 10), 5);
  EXPECT_EQ(a.grad().item<float>(), 3);
  EXPECT_DOUBLE_EQ(clip_gradients({first, second}, 1), 5);
  EXPECT_FLOAT_EQ(a.grad().item<float>(), 0.6F);
  EXPECT_FLOAT_EQ(b.grad()[0].item<float>(), 0.8F);
  b.mutable_grad()[1] = std::nanf("");
  try {
    clip_gradients({first, second}, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "parameter 'b'");
  }
}

/// Check 7 of the BNN sheet.
TEST(Loss, SquaredHingeMatchesTheSheet) {
  const at::Tensor y = at::tensor({0.4F, -1.2F, 2.0F}).reshape({1, 3}).set_requires_grad(true);
  const at::Tensor loss = batch_loss("squared_hinge", 0, y, at::zeros({1}, at::kLong));
  EXPECT_NEAR(loss.item<float>(), 3.12, 1e-6);
  loss.backward();
  EXPECT_TRUE(at::allclose(y.grad(), at::tensor({-0.4F, 0.0F, 2.0F}).reshape({1, 3})));
}

TEST(Loss, CrossEntropyWithLabelSmoothing) {
  const at::Tensor scores = at::tensor({0.0F, std::log(3.0F)}).reshape({1, 2});  // probabilities 1/4, 3/4
  const at::Tensor label = at::ones({1}, at::kLong);
  EXPECT_NEAR(batch_loss("cross_entropy", 0, scores, label).item<float>(), -std::log(0.75), 1e-6);
  EXPECT_NEAR(batch_loss("cross_entropy", 0.2, scores, label).item<float>(),
              -0.9 * std::log(0.75) - 0.1 * std::log(0.25), 1e-6);
}

TEST(Loss, RefusesWhatMakesNoSense) {
  EXPECT_THROW(check_loss("hinge", 0), Error);
  EXPECT_THROW(check_loss("squared_hinge", 0.1), Error);
  EXPECT_THROW(batch_loss("cross_entropy", 0, at::zeros({1, 2}), at::full({1}, 2, at::kLong)), Error);
  EXPECT_THROW(batch_loss("cross_entropy", 0, at::zeros({2, 2}), at::zeros({1}, at::kLong)), Error);
  EXPECT_THROW(class_scores(at::zeros({3})), Error);
}

}  // namespace
}  // namespace nnq::train
