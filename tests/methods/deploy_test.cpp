// From placement over calibration and a training step to the frozen graph, for every method: the executor's simulation
// and the interpreter's run of the frozen graph agree, on every value that deploys.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>

#include <algorithm>
#include <cmath>

#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "quantize/support.h"
#include "train/executor.h"
#include "train/train_testing.h"

namespace nnq::train {
namespace {

using test::Builder;
using testing::far_apart;
using testing::integer_valued;

struct Setting {
  std::string method;
  int weights, activations;
  bool adds = false;
  std::map<std::string, Attribute> parameters;
  std::string activation_method;  // empty: the same, with the same parameters
};

Builder residual_network() {
  Builder b(31);
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("x", {4, 3, 8, 8}), 3, 8), 8));
  std::string y = b.relu(b.norm("bn1", b.conv("conv1", x, 8, 8), 8));
  y = b.norm("bn2", b.conv("conv2", y, 8, 8), 8);
  x = b.max_pool(b.relu(b.graph.add("Add", {y, x}, {}, "add")));
  x = b.relu(b.norm("bn3", b.conv("conv3", x, 8, 12), 12));
  x = b.graph.add("Flatten", {b.graph.add("GlobalAveragePool", {x}, {}, "gap")}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 12, 5, false)};
  return b;
}

class Deploy : public ::testing::TestWithParam<Setting> {};

TEST_P(Deploy, FrozenGraphAgreesWithTheSimulation) {
  const Setting& s = GetParam();
  const Builder b = residual_network();
  const bool same = s.activation_method.empty() || s.activation_method == s.method;
  const QuantizerSpec activations{same ? s.method : s.activation_method, s.activations,
                                  same ? s.parameters : std::map<std::string, Attribute>{}};
  PlacementOptions options{{{"*", {s.method, s.weights, s.parameters}, activations, {}}}, s.adds};
  Executor executor(place_quantizers(b.graph, options), Executor::Options{});
  const at::Tensor batch = to_torch(b.feeds.at("x"));
  executor.calibrate({batch, batch * 0.5});
  executor.forward({{"x", batch}}, true)[0].square().mean().backward();
  {
    const at::NoGradGuard no_gradient;
    for (const Parameter& p : executor.parameters()) {
      if (!p.trainable || !p.tensor->grad().defined()) continue;
      p.tensor->sub_(p.tensor->grad() * 0.01);
      if (p.weight_quantizer != nullptr) p.weight_quantizer->after_step(*p.tensor);
    }
  }
  std::map<std::string, at::Tensor> simulated;
  const at::NoGradGuard no_gradient;
  executor.forward({{"x", batch}}, false,
                   [&](const std::string& name, const at::Tensor& t) { simulated[name] = t.clone(); });
  const Graph frozen = executor.frozen();
  std::map<std::string, Tensor> deployed;
  interpret(frozen, b.feeds, [&](const std::string& name, const Tensor& t) { deployed[name] = t; });
  // The first quantized layer has the same codes, so its output agrees to rounding; later codes may differ where a
  // value lies within rounding of a tie, which is rare.
  ASSERT_TRUE(deployed.contains("fc"));
  std::int64_t compared = 0, apart = 0;
  for (const std::string name : {"bn0", "bn1", "bn2", "bn3", "fc"}) {
    if (!deployed.contains(name)) continue;
    const at::Tensor got = to_torch(deployed.at(name)), want = simulated.at(name).contiguous();
    apart += far_apart(got, want);
    compared += got.numel();
    if (name == "bn0") {
      EXPECT_EQ(apart, 0);
    }
  }
  EXPECT_GE(compared, 20);
  EXPECT_LE(apart, compared / 50) << to_text(frozen);
  const at::Tensor again = Executor(frozen, Executor::Options{}).forward({{"x", batch}}, false)[0].contiguous();
  const at::Tensor interpreted = to_torch(deployed.at("fc"));
  if (integer_valued(frozen)) {
    EXPECT_TRUE(at::equal(again, interpreted)) << "executor and interpreter on the frozen graph";
  } else {  // sums of real levels round; a code may tip over where a value lies within rounding of a threshold
    EXPECT_LE(far_apart(again, interpreted), interpreted.numel() / 10) << "executor and interpreter";
  }
  // Every frozen graph lowers, and its program computes the same.
  const Program program = lower(frozen);
  std::vector<Tensor> outputs;
  const std::vector<Tensor> inputs{b.feeds.at("x")};
  const Status status = interpret_program(program, inputs, outputs);
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(outputs.size(), 1U);
  EXPECT_LE(far_apart(to_torch(outputs[0]), interpreted), integer_valued(frozen) ? 0 : interpreted.numel() / 10);
  // Saved with its state and loaded again, it freezes to the same.
  Executor loaded(executor.graph(), Executor::Options{});
  EXPECT_EQ(to_text(loaded.frozen()), to_text(frozen));
  EXPECT_EQ(loaded.frozen().initializers, frozen.initializers);
}

bool serves(const Method& method, Role role, int bits) {
  QuantizerContext context;
  context.role = role;
  context.bits = bits;
  try {
    method.make(context);
  } catch (const Error&) {
    return false;
  }
  return true;
}

/// Every method with both roles; one that has weights only together with uniform activations.
std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Method& method : all_methods())
    for (const int bits : {1, 2, 4, 8})
      for (const bool adds : {false, true}) {
        if (!serves(method, Role::weight, bits)) continue;
        const bool both = serves(method, Role::activation, bits);
        all.push_back({method.info.id, bits, both ? bits : 4, adds, {}, both ? method.info.id : "uniform"});
      }
  all.push_back({"uniform", 4, 4, false, {{"symmetric", std::int64_t{0}}}, {}});
  all.push_back({"uniform", 4, 4, false, {{"per_channel", std::int64_t{0}}}, {}});
  all.push_back({"uniform", 4, 4, false, {{"learn", std::int64_t{0}}}, {}});
  all.push_back({"alternating", 3, 3, false, {{"search", "greedy"}}, {}});
  all.push_back({"bnn", 1, 1, false, {{"shift_batch_norm", std::int64_t{1}}}, {}});
  for (const char* method : {"bucketed", "differentiable"})
    all.push_back({method, 4, 4, true, {{"bucket", std::int64_t{100}}}, "uniform"});
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Deploy, ::testing::ValuesIn(settings()), [](const auto& row) {
  const Setting& s = row.param;
  std::string name = s.method + "_w" + std::to_string(s.weights) + "a" + std::to_string(s.activations);
  if (s.adds) name += "_adds";
  for (const auto& [key, value] : s.parameters) name += "_" + key;
  return name;
});

}  // namespace
}  // namespace nnq::train
