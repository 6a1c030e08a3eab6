// Gradients through steps: the sheet's straight-through flavours and the smooth one, on tensors and in a graph.
#include "train/surrogate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "train_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

float gradient_at(float value, float incoming, const Surrogate& surrogate) {
  const at::Tensor x = at::full({1}, value).set_requires_grad(true);
  const at::Tensor q = at::full({1}, value >= 0 ? 1.0F : -1.0F);
  const at::Tensor out = sign_through(x, q, surrogate);
  EXPECT_TRUE(out.equal(q));
  out.backward(at::full({1}, incoming));
  return x.grad().item<float>();
}

TEST(Surrogate, StraightThroughFlavoursOfTheSheet) {
  EXPECT_FLOAT_EQ(gradient_at(1.7F, .3F, {SurrogateKind::mask}), 0);
  EXPECT_FLOAT_EQ(gradient_at(1.7F, .3F, {SurrogateKind::clip}), .3F);
  EXPECT_FLOAT_EQ(gradient_at(.4F, 3, {SurrogateKind::mask}), 3);
  EXPECT_FLOAT_EQ(gradient_at(.4F, 3, {SurrogateKind::clip}), 1);
  const double t = std::tanh(2 * .4);
  EXPECT_NEAR(gradient_at(.4F, 3, {SurrogateKind::smooth, 2}), 3 * 2 * (1 - t * t), 1e-6);
}

TEST(Surrogate, StepsPassTheirSlopeWithinTheRange) {
  const at::Tensor x = at::tensor(std::vector<float>{-.3F, .2F, 3.1F}).set_requires_grad(true);
  const at::Tensor q = at::tensor(std::vector<float>{0, 2, 15});
  steps_through(x, q, .1, 0, 15, {}).backward(at::ones({3}));
  EXPECT_TRUE(x.grad().allclose(at::tensor(std::vector<float>{0, 10, 0})));
  x.mutable_grad().reset();
  steps_through(x, q, .1, 0, 15, {SurrogateKind::clip}).backward(at::full({3}, .05));
  EXPECT_TRUE(x.grad().allclose(at::tensor(std::vector<float>{.5F, .5F, .5F})));
}

TEST(Surrogate, GradientsReachTheInputOfAFrozenGraph) {
  GraphWriter w;
  const std::string x = w.input("x", {1, 4});
  const std::string codes =
      w.node("Quantize", {x, w.constant(Tensor::of<float>({1}, std::vector<float>{.1F}))},
             {{"min", std::int64_t{0}}, {"max", std::int64_t{15}}, {"bits", std::int64_t{4}}}, kNnqDomain);
  const std::string sign = w.node(
      "Sign",
      {w.node("MatMul", {codes, w.constant(Tensor::of<float>({4, 1}, std::vector<float>{.1F, .1F, -.1F, .1F}))})}, {},
      kNnqDomain);
  w.graph.outputs = {sign};
  Executor executor(w.graph, {});
  const at::Tensor input = at::tensor(std::vector<float>{.3F, 2, .5F, .1F}).reshape({1, 4}).set_requires_grad(true);
  const auto gradient = [&](const Surrogate& surrogate) {
    executor.set_surrogate(surrogate);
    input.mutable_grad().reset();
    executor.forward({{"x", input}}, false)[0].sum().backward();
    return input.grad().clone();
  };
  // The sum of products is (3 + 15 - 5 + 1) / 10 = 1.4: outside the hard tanh, inside for the others.
  EXPECT_TRUE(gradient({}).equal(at::zeros({1, 4})));
  const at::Tensor clipped = gradient({SurrogateKind::clip});
  EXPECT_TRUE(clipped.allclose(at::tensor(std::vector<float>{1, 1, -1, 1}).reshape({1, 4})));
  const double slope = 2 * (1 - std::pow(std::tanh(2.8), 2));
  EXPECT_TRUE(gradient({SurrogateKind::smooth, 2})
                  .allclose(slope * at::tensor(std::vector<float>{1, 0, -1, 1}).reshape({1, 4}), 1e-4));
}

}  // namespace
}  // namespace nnq::train
