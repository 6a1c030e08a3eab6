// The worked numbers of LQ-Nets' sheet (arXiv:1807.10029), items 1 to 7.
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

std::unique_ptr<Quantizer> lq_nets(Role role, int bits, Attributes attributes = {}) {
  QuantizerContext context;
  context.role = role;
  context.bits = bits;
  context.node.name = "q";
  context.node.attributes = std::move(attributes);
  return find_method("lq_nets").make(context);
}

at::Tensor& basis_of(Quantizer& quantizer) { return *quantizer.state().at(0).tensor; }

double squared_error(const at::Tensor& x, const at::Tensor& q) {
  return (x - q).detach().to(at::kDouble).square().sum().item<double>();
}

const at::Tensor eight_weights() {
  return at::tensor({1.6f, -0.4f, 0.1f, -1.2f, 0.5f, -0.2f, 0.7f, 0.3f}).reshape({1, 8});
}
const at::Tensor activations() { return at::tensor({0.0f, 0.2f, 0.5f, 0.9f, 1.3f, 2.0f, 2.6f, 0.05f}); }

TEST(LqNetsSheet, WeightsAndTheirBasis) {  // 1
  const auto quantizer = lq_nets(Role::weight, 2);
  basis_of(*quantizer) = at::tensor({0.3f, 0.6f}).reshape({1, 2});
  const at::Tensor w = eight_weights().set_requires_grad(true), q = quantizer->forward(w, true);
  expect_near(q, {0.9, -0.3, 0.3, -0.9, 0.3, -0.3, 0.9, 0.3}, 1e-6);
  EXPECT_NEAR(squared_error(w, q), 0.72, 1e-6);
  expect_near(basis_of(*quantizer), {0.313333, 0.613333}, 1e-6);  // 0.9 v + 0.1 v*
  q.sum().backward();
  EXPECT_TRUE(at::equal(w.grad(), at::ones({1, 8}))) << "straight through, no clipping";

  const auto whole = lq_nets(Role::weight, 2, {{"moving_average", 0.0f}});  // v* itself
  basis_of(*whole) = at::tensor({0.3f, 0.6f}).reshape({1, 2});
  const std::vector<std::uint8_t> codes = whole->encode(eight_weights()).codes;
  whole->forward(eight_weights(), true);
  expect_near(basis_of(*whole), {0.433331, 0.733331}, 1e-6);
  double error = 0;  // of the same codes with the new basis
  const Encoding moved = whole->encode(eight_weights());
  for (std::size_t i = 0; i < 8; ++i) {
    const double w_i = static_cast<double>(eight_weights().data_ptr<float>()[i]);
    error += std::pow(w_i - static_cast<double>(moved.level(0, codes[i])), 2);
  }
  EXPECT_NEAR(error, 0.506667, 1e-6);
}

TEST(LqNetsSheet, IteratedToTheFixedPoint) {  // 2, 5
  const auto quantizer = lq_nets(Role::weight, 2, {{"moving_average", 0.0f}});
  basis_of(*quantizer) = at::tensor({0.3f, 0.6f}).reshape({1, 2});
  double last = 1e9;
  for (int step = 0; step < 2; ++step) {
    const double error = squared_error(eight_weights(), quantizer->forward(eight_weights(), true));
    EXPECT_LE(error, last);
    last = error;
  }
  expect_near(basis_of(*quantizer), {0.516664, 0.88333}, 2e-6);
  EXPECT_NEAR(squared_error(eight_weights(), quantizer->forward(eight_weights(), true)), 0.313333, 1e-6);
  expect_near(basis_of(*quantizer), {0.516664, 0.88333}, 5e-6);  // the third step changes nothing but the ridge's pull
}

TEST(LqNetsSheet, Activations) {  // 3
  const auto quantizer = lq_nets(Role::activation, 2, {{"signed", std::int64_t{0}}});
  expect_near(basis_of(*quantizer), {0.449667, 0.899333}, 1e-6);
  const ActivationCode code = quantizer->activation_code();
  expect_near(at::tensor(code.levels), {0, 0.449667, 0.899333, 1.349}, 1e-6);
  expect_near(at::tensor(code.thresholds), {0.224833, 0.6745, 1.124167}, 1e-6);
  const at::Tensor x = activations().set_requires_grad(true), q = quantizer->forward(x, true);
  expect_near(q, {0, 0, 0.449667, 0.899333, 1.349, 1.349, 1.349, 0}, 1e-6);
  EXPECT_NEAR(squared_error(x, q), 2.036237, 1e-5);
  expect_near(basis_of(*quantizer), {0.478986, 0.923686}, 1e-6);
  (q * at::arange(1, 9)).sum().backward();
  expect_near(x.grad(), {1, 2, 3, 4, 5, 0, 0, 8}, 0);

  const auto whole = lq_nets(Role::activation, 2, {{"moving_average", 0.0f}});
  whole->forward(activations(), true);
  expect_near(basis_of(*whole), {0.742857, 1.142857}, 1e-6);
  const at::Tensor same_codes = at::tensor({0.f, 0.f, 0.742857f, 1.142857f, 1.885714f, 1.885714f, 1.885714f, 0.f});
  EXPECT_NEAR(squared_error(activations(), same_codes), 1.026786, 1e-5);
}

TEST(LqNetsSheet, TopLevelItselfGetsNoGradientAndThresholdsAreStrict) {
  const auto quantizer = lq_nets(Role::activation, 1);
  basis_of(*quantizer) = at::tensor({1.0f});
  const at::Tensor x = at::tensor({0.5f, 0.50001f, 1.0f, 0.9999f}).set_requires_grad(true);
  const at::Tensor q = quantizer->forward(x, false);
  expect_near(q, {0, 1, 1, 1}, 0);
  q.sum().backward();
  expect_near(x.grad(), {1, 1, 0, 1}, 0);
}

TEST(LqNetsSheet, InitialBases) {  // 4
  const auto quantizer = lq_nets(Role::weight, 2);
  const Encoding e = quantizer->encode(at::zeros({64, 16, 3, 3}));
  EXPECT_EQ(e.groups, 64);
  for (const double sign : {-1.0, 1.0}) {
    EXPECT_NEAR(static_cast<double>(e.level(5, sign < 0 ? 0 : 3)), sign * 0.0596179, 1e-7);
    EXPECT_NEAR(static_cast<double>(e.level(5, sign < 0 ? 1 : 2)), -sign * -0.0198726, 1e-7);
  }
  const auto wide = lq_nets(Role::weight, 2, {{"initial_scale", 6.0f}});
  EXPECT_NEAR(static_cast<double>(wide->encode(at::zeros({64, 16, 3, 3})).level(0, 3)), 6 * 0.0596179, 1e-6);
  EXPECT_NEAR(static_cast<double>(lq_nets(Role::activation, 3)->activation_code().levels.back()), 1.349, 1e-6);
}

TEST(LqNetsSheet, OneBitIsTheMeanMagnitude) {  // 5
  const auto quantizer = lq_nets(Role::weight, 1, {{"moving_average", 0.0f}, {"ridge", 0.0f}});
  quantizer->forward(eight_weights(), true);
  EXPECT_NEAR(basis_of(*quantizer).item<double>(), 0.625, 1e-6);
}

TEST(LqNetsSheet, BitPlaneProduct) {  // 6: sum (+-1)(0/1) = 2 popcount(w & a) - popcount(a)
  const std::vector<int> w{1, 0, 1, 1, 0, 0, 1}, a{1, 1, 0, 1, 0, 1, 1};
  int exact = 0, both = 0, ones = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    exact += (2 * w[i] - 1) * a[i];
    both += w[i] & a[i];
    ones += a[i];
  }
  EXPECT_EQ(exact, 2 * both - ones);
}

TEST(LqNetsSheet, BasesRestInEvaluationAndMoveInTraining) {  // 7
  at::manual_seed(1);
  const at::Tensor w = at::randn({6, 40}) * 0.1, x = at::randn({4, 50}).relu();
  for (const Role role : {Role::weight, Role::activation}) {
    const at::Tensor& data = role == Role::weight ? w : x;
    const auto quantizer = lq_nets(role, 3), frozen = lq_nets(role, 3, {{"learn", std::int64_t{0}}});
    quantizer->forward(data, false);
    const at::Tensor start = basis_of(*quantizer).clone();
    quantizer->forward(data, false);
    EXPECT_TRUE(at::equal(basis_of(*quantizer), start));
    const auto whole = lq_nets(role, 3, {{"moving_average", 0.0f}});
    whole->forward(data, true);
    quantizer->forward(data, true);
    const at::Tensor expected = start * 0.9 + basis_of(*whole) * 0.1;
    EXPECT_LT((basis_of(*quantizer) - expected).abs().max().item<double>(), 1e-7);
    EXPECT_FALSE(at::equal(basis_of(*quantizer), start));
    frozen->forward(data, true);
    EXPECT_TRUE(at::equal(basis_of(*frozen), start));
  }
}

TEST(LqNetsSheet, DeadInputKeepsTheBasis) {  // Traps
  const auto quantizer = lq_nets(Role::activation, 2);
  const at::Tensor start = basis_of(*quantizer).clone();
  const at::Tensor q = quantizer->forward(at::zeros({4, 4}), true);
  EXPECT_EQ(q.abs().max().item<float>(), 0);
  EXPECT_TRUE(at::equal(basis_of(*quantizer), start));
}

TEST(LqNetsSheet, AllWeightsInOneBinStayDefined) {  // Traps: another initialisation without matching basis
  const auto quantizer = lq_nets(Role::weight, 3);
  const at::Tensor w = at::full({2, 9}, 50.0f);
  for (int step = 0; step < 5; ++step) quantizer->forward(w, true);
  EXPECT_TRUE(at::isfinite(basis_of(*quantizer)).all().item<bool>());
}

TEST(LqNetsSheet, SignedInputsGetSigns) {
  const auto quantizer = lq_nets(Role::activation, 2, {{"signed", std::int64_t{1}}});
  const ActivationCode code = quantizer->activation_code();
  EXPECT_FLOAT_EQ(code.levels.front(), -code.levels.back());
  const at::Tensor x = at::tensor({-9.0f, -0.4f, 0.4f, 9.0f}).set_requires_grad(true);
  quantizer->forward(x, true).sum().backward();
  expect_near(x.grad(), {0, 1, 1, 0}, 0);
}

TEST(LqNetsSheet, AWideStartComesBack) {  // 9
  at::manual_seed(3);
  const auto quantizer = lq_nets(Role::activation, 2, {{"initial_scale", 6.0f}});
  EXPECT_NEAR(static_cast<double>(quantizer->activation_code().levels.back()), 6 * 1.349, 1e-4);
  for (int step = 0; step < 200; ++step) quantizer->forward(at::randn({8, 64}).relu(), true);
  const double top = static_cast<double>(quantizer->activation_code().levels.back());
  EXPECT_GT(top, 0.8);
  EXPECT_LT(top, 2.5);
}

TEST(LqNetsSheet, CalibrationFitsTheData) {
  at::manual_seed(2);
  const at::Tensor w = at::randn({8, 500}) * 3;
  const auto fitted = lq_nets(Role::weight, 2);
  fitted->calibrate(w);
  // Lloyd-Max with four levels of N(0, 1) has 0.1175; bases of two numbers reach it, it is symmetric.
  EXPECT_NEAR(squared_error(w, fitted->forward(w, false)) / squared_error(w, at::zeros_like(w)), 0.1175, 0.006);
  for (int bits = 2; bits <= 8; ++bits) {
    const auto finer = lq_nets(Role::activation, bits);
    const at::Tensor x = w.relu();
    finer->calibrate(x);
    finer->finish_calibration();
    EXPECT_LT(squared_error(x, finer->forward(x, false)) / squared_error(x, at::zeros_like(x)),
              1.6 * std::pow(4.0, -bits))
        << bits;
  }
}

TEST(LqNetsSheet, StateOfAnotherSizeIsRefused) {
  const auto quantizer = lq_nets(Role::weight, 2);
  basis_of(*quantizer) = at::ones({3, 2});
  EXPECT_THROW(quantizer->encode(eight_weights()), Error);
}

}  // namespace
}  // namespace nnq::train
