// The fused layers against the same layers in LibTorch's own operators.
#include "train/fused_recurrent.h"

#include <gtest/gtest.h>

#include "nnq/error.h"
#include "train/loss.h"

namespace nnq::train {
namespace {

struct Inputs {
  at::Tensor gates, r, rb, h, c;
  std::vector<at::Tensor> all() const { return {gates, r, rb, h, c}; }
};

Inputs inputs(std::int64_t gate_count, std::int64_t time, std::int64_t batch, std::int64_t hidden) {
  at::manual_seed(7);
  Inputs in{at::randn({time, batch, gate_count * hidden}), at::randn({gate_count * hidden, hidden}) * 0.5,
            at::randn({gate_count * hidden}) * 0.5, at::randn({batch, hidden}), at::randn({batch, hidden})};
  for (at::Tensor t : in.all()) t.set_requires_grad(true);
  return in;
}

Sequence plain_lstm(const Inputs& in) {
  const std::int64_t n = in.r.size(1);
  at::Tensor h = in.h, c = in.c;
  std::vector<at::Tensor> y;
  for (std::int64_t t = 0; t < in.gates.size(0); ++t) {
    const std::vector<at::Tensor> gate = (in.gates[t] + at::mm(h, in.r.t())).split(n, 1);
    c = at::sigmoid(gate[2]) * c + at::sigmoid(gate[0]) * at::tanh(gate[3]);
    h = at::sigmoid(gate[1]) * at::tanh(c);
    y.push_back(h);
  }
  return {at::stack(y), h, c};
}

Sequence plain_gru(const Inputs& in) {
  const std::int64_t n = in.r.size(1);
  at::Tensor h = in.h;
  std::vector<at::Tensor> y;
  for (std::int64_t t = 0; t < in.gates.size(0); ++t) {
    const std::vector<at::Tensor> x = in.gates[t].split(n, 1), p = at::addmm(in.rb, h, in.r.t()).split(n, 1);
    const at::Tensor z = at::sigmoid(x[0] + p[0]), r = at::sigmoid(x[1] + p[1]);
    h = (1 - z) * at::tanh(x[2] + r * p[2]) + z * h;
    y.push_back(h);
  }
  return {at::stack(y), h, {}};
}

/// Values of all outputs and gradients of a fixed function of them.
std::vector<at::Tensor> results(const Inputs& in, const Sequence& out) {
  at::manual_seed(9);
  at::Tensor sum = (out.y * at::randn_like(out.y)).sum() + (out.h * at::randn_like(out.h)).sum();
  if (out.c.defined()) sum = sum + (out.c * at::randn_like(out.c)).sum();
  sum.backward();
  std::vector<at::Tensor> values = {out.y.detach(), out.h.detach()};
  if (out.c.defined()) values.push_back(out.c.detach());
  for (const at::Tensor& t : in.all()) {
    values.push_back(t.grad().defined() ? t.grad().clone() : at::zeros({1}));
    t.mutable_grad().reset();
  }
  return values;
}

void expect_close(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_LT((a[i] - b[i]).abs().max().item<double>(), 1e-4 * (1 + b[i].abs().max().item<double>())) << i;
}

TEST(FusedRecurrent, LstmIsThePlainOneForwardAndBack) {
  for (const std::int64_t time : {1, 7}) {
    const Inputs in = inputs(4, time, 3, 5);
    expect_close(results(in, fused_lstm(in.gates, in.r, in.h, in.c)), results(in, plain_lstm(in)));
  }
}

TEST(FusedRecurrent, GruIsThePlainOneForwardAndBack) {
  for (const std::int64_t time : {1, 7}) {
    const Inputs in = inputs(3, time, 3, 5);
    expect_close(results(in, fused_gru(in.gates, in.r, in.rb, in.h)), results(in, plain_gru(in)));
  }
}

TEST(FusedRecurrent, GradientsAreThoseOfFiniteDifferences) {
  const Inputs in = inputs(4, 3, 2, 4);
  fused_lstm(in.gates, in.r, in.h, in.c).y.square().sum().backward();
  const at::NoGradGuard no_gradient;
  const auto value = [&] { return fused_lstm(in.gates, in.r, in.h, in.c).y.square().sum().item<double>(); };
  for (const at::Tensor& t : {in.gates, in.r, in.h, in.c}) {
    const at::Tensor flat = t.detach().view({-1});
    for (const std::int64_t i : {std::int64_t{0}, flat.numel() / 2, flat.numel() - 1}) {
      const auto at = flat[i].item<double>();
      flat[i] = at + 1e-2;
      const double above = value();
      flat[i] = at - 1e-2;
      const double below = value();
      flat[i] = at;
      EXPECT_NEAR((above - below) / 2e-2, t.grad().view({-1})[i].item<double>(), 2e-2);
    }
  }
}

TEST(FusedRecurrent, AQuantizerOfTheStateIsSeenByProductsAndReadersAndPassesGradients) {
  const Inputs in = inputs(4, 5, 2, 4);
  const StateQuantizer sign = [](const at::Tensor& h) { return at::sign(h) * 0.5; };
  const Sequence out = fused_lstm(in.gates, in.r, in.h, in.c, sign);
  EXPECT_TRUE(at::equal(out.y.detach().abs(), at::full_like(out.y, 0.5)));
  EXPECT_FALSE(at::equal(out.h.detach().abs(), at::full_like(out.h, 0.5))) << "the state itself stays float";
  // Straight through by hand: h + (q(h) - h) without gradient of the bracket.
  const auto through = [&](const at::Tensor& h) { return h + (sign(h) - h).detach(); };
  at::Tensor h = through(in.h), c = in.c;
  std::vector<at::Tensor> y;
  for (std::int64_t t = 0; t < 5; ++t) {
    const std::vector<at::Tensor> gate = (in.gates[t] + at::mm(h, in.r.t())).split(4, 1);
    c = at::sigmoid(gate[2]) * c + at::sigmoid(gate[0]) * at::tanh(gate[3]);
    h = through(at::sigmoid(gate[1]) * at::tanh(c));
    y.push_back(h);
  }
  const at::Tensor weight = at::randn({5, 2, 4});
  (out.y * weight).sum().backward();
  std::vector<at::Tensor> fused;
  for (const at::Tensor& t : {in.gates, in.r, in.h, in.c}) {
    fused.push_back(t.grad().clone());
    t.mutable_grad().reset();
  }
  (at::stack(y) * weight).sum().backward();
  std::vector<at::Tensor> by_hand;
  for (const at::Tensor& t : {in.gates, in.r, in.h, in.c}) by_hand.push_back(t.grad());
  expect_close(fused, by_hand);
}

TEST(FusedRecurrent, ShapesThatDoNotFitAreRefused) {
  const Inputs in = inputs(4, 2, 3, 5);
  EXPECT_THROW(fused_lstm(in.gates, in.r.slice(0, 0, 15), in.h, in.c), Error);
  EXPECT_THROW(fused_gru(in.gates, in.r, in.rb, in.h), Error);
  EXPECT_THROW(fused_lstm(in.gates, in.r, in.h.slice(0, 0, 2), in.c), Error);
}

TEST(FusedCrossEntropy, IsCrossEntropy) {
  at::manual_seed(3);
  at::Tensor scores = at::randn({6, 50}).mul_(5).set_requires_grad(true);
  const at::Tensor labels = at::randint(50, {6});
  const at::Tensor fused = fused_cross_entropy(scores, labels);
  (fused * 3).backward();
  const at::Tensor gradient = scores.grad().clone();
  scores.mutable_grad().reset();
  const at::Tensor plain = at::cross_entropy_loss(scores, labels);
  (plain * 3).backward();
  EXPECT_NEAR(fused.item<double>(), plain.item<double>(), 1e-5);
  EXPECT_LT((gradient - scores.grad()).abs().max().item<double>(), 1e-6);
  EXPECT_THROW(fused_cross_entropy(scores, labels + 50), Error);
  const at::Tensor uniform = at::zeros({4, 10000});
  EXPECT_NEAR(std::exp(fused_cross_entropy(uniform, at::zeros({4}, at::kLong)).item<double>()), 10000, 1);
}

}  // namespace
}  // namespace nnq::train
