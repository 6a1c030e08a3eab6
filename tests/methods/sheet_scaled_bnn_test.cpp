// The binary layers of "Attacking Binarized Neural Networks" (Galloway et al. 2018, arXiv:1711.00449): items 6 and 7 of
// the sheet, the trained scalar of network C.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

std::unique_ptr<Quantizer> quantizer(Role role, const std::map<std::string, Attribute>& parameters = {}) {
  QuantizerContext context;
  context.role = role;
  context.bits = 1;
  context.node.name = "q";
  context.node.attributes = parameters;
  return find_method("scaled_bnn").make(context);
}

const std::map<std::string, Attribute> mask{{"gradient", std::string("mask")}}, none{{"scale", std::string("none")}},
    drawn{{"stochastic", std::int64_t{1}}, {"scale", std::string("none")}};

/// Gradient at x for `g` behind the quantizer.
float passed(Quantizer& q, float x, float g) {
  const at::Tensor input = at::full({1, 1}, x).set_requires_grad(true);
  (q.forward(input, true) * g).sum().backward();
  return input.grad().item<float>();
}

TEST(ScaledBnnSheet, FlavoursOfTheGradient) {  // 7
  for (const Role role : {Role::activation, Role::weight}) {
    const auto parameters = role == Role::weight ? none : std::map<std::string, Attribute>{};
    auto masked = parameters;
    masked.insert(mask.begin(), mask.end());
    const auto clip = quantizer(role, parameters), cut = quantizer(role, masked);
    EXPECT_EQ(passed(*clip, 1.7F, 0.3F), 0.3F);
    EXPECT_EQ(passed(*cut, 1.7F, 0.3F), 0.0F);
    EXPECT_EQ(passed(*clip, 0.4F, 3.0F), 1.0F);
    EXPECT_EQ(passed(*cut, 0.4F, 3.0F), 3.0F);
  }
}

TEST(ScaledBnnSheet, OneTrainedScalarALayer) {
  const auto q = quantizer(Role::weight);
  ASSERT_EQ(q->state().size(), 1U);
  q->state()[0].tensor->set_requires_grad(true);
  const at::Tensor w = at::tensor({0.3F, -0.2F, 0.0F, -4.0F}).view({2, 2}).set_requires_grad(true);
  const at::Tensor y = q->forward(w, true);
  EXPECT_TRUE(at::equal(y, at::tensor({0.05F, -0.05F, 0.05F, -0.05F}).view({2, 2}))) << y;
  const at::Tensor g = at::tensor({1.0F, 2.0F, 3.0F, 40.0F}).view({2, 2});
  (y * g).sum().backward();
  const StateEntry scale = q->state()[0];
  EXPECT_TRUE(scale.trainable);
  EXPECT_FLOAT_EQ(scale.tensor->grad().item<float>(), 1 - 2 + 3 - 40);                   // dL/ds = sum g sign(w)
  EXPECT_TRUE(at::allclose(w.grad().view(-1), at::tensor({0.05F, 0.1F, 0.15F, 1.0F})));  // cut to 1
  // A step across 0 would turn all signs: the scale stops above it.
  scale.tensor->set_requires_grad(false).fill_(-1);
  EXPECT_GT(q->forward(w.detach(), true).view(-1)[0].item<float>(), 0);
  EXPECT_TRUE(quantizer(Role::weight, none)->state().empty());
  EXPECT_TRUE(quantizer(Role::activation)->state().empty());
}

TEST(ScaledBnnSheet, StochasticWeights) {  // 6
  const auto q = quantizer(Role::weight, drawn);
  const at::Tensor k = at::tensor({0.25F, -0.4F, 0.9F}).view({1, 3}), x = at::tensor({1.0F, -1.0F, 1.0F});
  at::Tensor sum = at::zeros({1, 3}), dots = at::zeros({20000});
  for (std::int64_t i = 0; i < dots.numel(); ++i) {
    q->set_step(i);
    const at::Tensor w = q->forward(k, true);
    sum += w;
    dots[i] = (w.view(-1) * x).sum();
  }
  EXPECT_NEAR((sum[0][0].item<double>() / 20000 + 1) / 2, 0.625, 0.012);
  EXPECT_NEAR(dots.mean().item<double>(), 1.55, 0.04);
  EXPECT_NEAR(dots.var().item<double>(), 1.9675, 0.08);
  EXPECT_TRUE(at::equal(q->forward(k, false).view(-1), at::tensor({1.0F, -1.0F, 1.0F})));  // deploys its mean sign
}

}  // namespace
}  // namespace nnq::train
