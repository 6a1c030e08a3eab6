// Quantizer nodes in the executor, over every registered method: placing, calibration, state through graph(), Relu left
// out.
#include <gtest/gtest.h>

#include <optional>

#include "nnq/error.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

using Ints = std::vector<std::int64_t>;

/// Conv -> BatchNormalization -> Relu -> Quantizer -> Conv with a quantized weight -> GlobalAveragePool.
Graph network(const std::string& method, std::optional<int> weights, std::optional<int> activations) {
  std::mt19937 random(5);
  testing::GraphWriter writer;
  writer.input("x", {4, 3, 8, 8});
  const auto constant = [&](const Shape& shape, float low, float high) {
    return writer.constant(testing::random_floats(shape, random, low, high));
  };
  const auto quantizer = [&](const std::string& x, const char* role, int bits) {
    return writer.node("Quantizer", {x},
                       {{"method", method}, {"role", std::string(role)}, {"bits", std::int64_t{bits}}}, kNnqDomain);
  };
  // Integers, so that the first convolution is exact too.
  std::string x = writer.node("Conv", {"x", writer.constant(testing::random_integers({8, 3, 3, 3}, random, -3, 3))},
                              {{"pads", Ints{1, 1, 1, 1}}});
  x = writer.node("BatchNormalization",
                  {x, constant({8}, 0.5f, 1), constant({8}, -1, 1), constant({8}, 0, 0), constant({8}, 1, 1)});
  x = writer.node("Relu", {x});
  if (activations) x = quantizer(x, "activation", *activations);
  std::string w = constant({6, 8, 3, 3}, -1, 1);
  if (weights) w = quantizer(w, "weight", *weights);
  writer.graph.outputs = {writer.node("GlobalAveragePool", {writer.node("Conv", {x, w})})};
  return std::move(writer.graph);
}

/// The largest of 4, 2, 1 bits the method serves in this role; none when it does not.
std::optional<int> bits_for(const Method& method, Role role) {
  for (const int bits : {4, 2, 1}) {
    try {
      QuantizerContext context;
      context.role = role;
      context.bits = bits;
      context.weight_shape = {6, 8, 3, 3};
      method.make(context);
      return bits;
    } catch (const Error&) {
    }
  }
  return std::nullopt;
}

class Quantizers : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const Method& method = find_method(GetParam());
    graph_ = network(method.info.id, bits_for(method, Role::weight), bits_for(method, Role::activation));
    at::manual_seed(9);
    for (int i = 0; i < 3; ++i) batches_.push_back(at::randn({4, 3, 8, 8}));
  }
  Graph graph_;
  std::vector<at::Tensor> batches_;
};

TEST_P(Quantizers, TrainAndKeepTheirStateThroughTheGraph) {
  Executor executor(graph_, {});
  executor.calibrate(batches_);
  for (int step = 0; step < 2; ++step) {
    executor.set_step(step);
    executor.forward({{"x", batches_[0]}}, true)[0].sum().backward();
    const at::NoGradGuard no_gradient;
    for (const Parameter& parameter : executor.parameters()) {
      if (!parameter.trainable || !parameter.tensor->grad().defined()) continue;
      EXPECT_TRUE(at::isfinite(parameter.tensor->grad()).all().item<bool>()) << parameter.name;
      parameter.tensor->sub_(parameter.tensor->grad() * 1e-4);
      parameter.tensor->mutable_grad().reset();
      if (parameter.weight_quantizer != nullptr) parameter.weight_quantizer->after_step(*parameter.tensor);
    }
  }
  const at::NoGradGuard no_gradient;
  const Graph saved = executor.graph();
  Executor restored(saved, {});
  EXPECT_TRUE(
      at::equal(executor.forward({{"x", batches_[1]}}, false)[0], restored.forward({{"x", batches_[1]}}, false)[0]));
  const Graph again = restored.graph();
  EXPECT_EQ(saved.initializers, again.initializers);
  for (std::size_t n = 0; n < saved.nodes.size(); ++n) EXPECT_EQ(saved.nodes[n].inputs, again.nodes[n].inputs);
}

TEST_P(Quantizers, AnAbsorbedReluChangesNothing) {
  Executor fast(graph_, {}), slow(graph_, {});
  fast.calibrate(batches_);
  slow.calibrate(batches_);
  const at::Tensor a = fast.forward({{"x", batches_[0]}}, true)[0];
  const at::Tensor b = slow.forward({{"x", batches_[0]}}, true, [](const std::string&, const at::Tensor&) {})[0];
  ASSERT_TRUE(at::equal(a, b));
  at::pow(a, 2).sum().backward();
  at::pow(b, 2).sum().backward();
  const auto p = fast.parameters(), q = slow.parameters();
  ASSERT_EQ(p.size(), q.size());
  for (std::size_t i = 0; i < p.size(); ++i) {
    ASSERT_EQ(p[i].tensor->grad().defined(), q[i].tensor->grad().defined()) << p[i].name;
    if (!p[i].tensor->grad().defined()) continue;
    EXPECT_TRUE(at::equal(p[i].tensor->grad(), q[i].tensor->grad())) << p[i].name;
  }
}

TEST_P(Quantizers, CalibrationIsReproducible) {
  Executor a(graph_, {}), b(graph_, {});
  a.calibrate(batches_);
  b.calibrate(batches_);
  EXPECT_EQ(a.graph().initializers, b.graph().initializers);
}

/// frozen() deploys: the executor and the interpreter agree on its every value.
TEST_P(Quantizers, FrozenGraphHasTheInterpretersBits) {
  const at::NoGradGuard no_gradient;
  Executor executor(graph_, {});
  executor.calibrate(batches_);
  const Graph frozen = executor.frozen();
  const at::Tensor x = at::randint(-4, 5, {4, 3, 8, 8}, at::kFloat);
  std::map<std::string, Tensor> expected;
  interpret(frozen, {{"x", from_torch(x)}},
            [&](const std::string& name, const Tensor& value) { expected[name] = value; });
  const bool exact = testing::integer_valued(frozen);
  std::size_t compared = 0;
  std::int64_t elements = 0, apart = 0;
  Executor(frozen, {}).forward({{"x", x}}, false, [&](const std::string& name, const at::Tensor& value) {
    const auto it = expected.find(name);
    if (it == expected.end()) return;
    ++compared;
    if (exact) {
      EXPECT_TRUE(it->second == from_torch(value)) << name << " in\n" << to_text(frozen);
    }
    if (!value.is_floating_point()) return;
    elements += value.numel();
    apart += testing::far_apart(value.contiguous(), to_torch(it->second));
  });
  // Sums of real levels round; a code may tip over where a value lies within rounding of a threshold.
  EXPECT_LE(apart, elements / 50) << to_text(frozen);
  EXPECT_GE(compared, 5u);
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const Method& method : all_methods()) names.push_back(method.info.id);
  return names;
}

std::string name_of_method(const ::testing::TestParamInfo<std::string>& parameter) { return parameter.param; }

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Quantizers);
INSTANTIATE_TEST_SUITE_P(Methods, Quantizers, ::testing::ValuesIn(method_names()), name_of_method);

}  // namespace
}  // namespace nnq::train
