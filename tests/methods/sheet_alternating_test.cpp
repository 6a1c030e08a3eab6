// Alternating multi-bit quantization as a method (arXiv:1802.00150); the numbers of single rows are tested in
// tests/pack/multibit_test.cpp.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <chrono>
#include <cmath>
#include <iostream>

#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

using Attributes = std::map<std::string, Attribute>;

std::unique_ptr<Quantizer> alternating(Role role, int bits, Attributes attributes = {}) {
  QuantizerContext context;
  context.role = role;
  context.bits = bits;
  context.node.name = "q";
  context.node.attributes = std::move(attributes);
  return find_method("alternating").make(context);
}

double relative_error(const at::Tensor& w, const at::Tensor& q) {
  return ((w - q).detach().to(at::kDouble).square().sum() / w.detach().to(at::kDouble).square().sum()).item<double>();
}

TEST(AlternatingMethod, RowsAndSearches) {
  const at::Tensor one = at::tensor({1.6f, -0.4f, 0.1f, -1.2f, 0.5f, -0.2f, 0.7f, 0.3f});
  const at::Tensor w = at::stack({one, one * 10});
  const std::pair<const char*, double> expected[] = {
      {"greedy", 0.594688}, {"refined", 0.506667}, {"alternating", 0.313333}};
  for (const auto& [search, error] : expected) {
    const auto quantizer = alternating(Role::weight, 2, {{"search", search}});
    const at::Tensor q = quantizer->forward(w, false), miss = (w - q).square().sum(1);
    EXPECT_NEAR(miss[0].item<double>(), error, 1e-5) << search;
    EXPECT_NEAR(miss[1].item<double>(), error * 100, 1e-3) << "rows have scales of their own";
    EXPECT_EQ(quantizer->encode(w).groups, 2);
  }
  const Encoding e = alternating(Role::weight, 2)->encode(w);
  EXPECT_NEAR(static_cast<double>(e.plane_scale[0]), 2 * 0.883333, 1e-5);
  EXPECT_NEAR(static_cast<double>(e.offset[0]), -1.4, 1e-5);
  const Encoding once = alternating(Role::weight, 2, {{"cycles", std::int64_t{1}}})->encode(w);
  EXPECT_NEAR(static_cast<double>(once.offset[0]), -1.166667, 1e-5);
}

TEST(AlternatingMethod, SearchesAreOrderedAtEveryWidth) {  // sheet, 9: greedy > refined > alternating
  at::manual_seed(5);
  const at::Tensor w = at::randn({64, 300}) * 0.05;
  for (int bits = 2; bits <= 4; ++bits) {
    const auto error = [&](const char* search) {
      return relative_error(w, alternating(Role::weight, bits, {{"search", search}})->forward(w, false));
    };
    const double greedy = error("greedy"), refined = error("refined"), best = error("alternating");
    EXPECT_GT(greedy, refined);
    EXPECT_GT(refined, best);
  }
}

TEST(AlternatingMethod, GradientIsTheIdentityAndWeightsStayClipped) {
  const at::Tensor w = (at::arange(8).to(at::kFloat) - 3).reshape({2, 4}).set_requires_grad(true);
  const auto quantizer = alternating(Role::weight, 2);
  (quantizer->forward(w, true) * at::arange(1, 9).reshape({2, 4})).sum().backward();
  EXPECT_TRUE(at::equal(w.grad(), at::arange(1, 9).to(at::kFloat).reshape({2, 4})));
  at::Tensor latent = w.detach().clone();
  quantizer->after_step(latent);
  EXPECT_EQ(latent.max().item<float>(), 1);
  EXPECT_EQ(latent.min().item<float>(), -1);
  at::Tensor free = w.detach().clone();
  alternating(Role::weight, 2, {{"clip", std::int64_t{0}}})->after_step(free);
  EXPECT_EQ(free.max().item<float>(), 4);
}

TEST(AlternatingMethod, ActivationsFollowTheDataInTraining) {
  at::manual_seed(6);
  for (const std::int64_t is_signed : {0, 1}) {
    const at::Tensor x = is_signed == 1 ? at::randn({32, 64}) : at::randn({32, 64}).relu();
    const auto quantizer = alternating(Role::activation, 3, {{"signed", is_signed}});
    quantizer->calibrate(x * 0.25);
    quantizer->finish_calibration();
    const double before = relative_error(x, quantizer->forward(x, false));
    for (int step = 0; step < 60; ++step) quantizer->forward(x, true);
    const double after = relative_error(x, quantizer->forward(x, false));
    EXPECT_GT(before, 0.2);
    EXPECT_LT(after, 0.05);
    const at::Tensor leaf = (x * 100).set_requires_grad(true);
    quantizer->forward(leaf, true).sum().backward();
    EXPECT_TRUE(leaf.grad().eq(1).all().item<bool>()) << "straight through without a mask";
  }
}

TEST(AlternatingMethod, UncalibratedActivationsSaySo) {
  EXPECT_THROW(alternating(Role::activation, 2)->activation_code(), Error);
}

TEST(AlternatingMethod, TimeOfALargeMatrix) {  // printed, not judged: a busy machine is no error
  at::manual_seed(7);
  const at::Tensor w = at::randn({4096, 1024});
  const auto quantizer = alternating(Role::weight, 3);
  const auto start = std::chrono::steady_clock::now();
  const at::Tensor q = quantizer->forward(w, false);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << "alternating, 4096 x 1024, 3 bits, 2 cycles: " << seconds.count() << " s\n";
  EXPECT_NEAR(relative_error(w, q), 0.0458, 0.003);
}

}  // namespace
}  // namespace nnq::train
