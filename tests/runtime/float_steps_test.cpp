// Float operators with a step of their own, against the reference evaluation: windows of every kind, NaN, groups.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/random.h"
#include "nnq/program.h"
#include "nnq/runtime.h"

namespace nnq::test {
namespace {

using List = std::vector<std::int64_t>;

Tensor random_tensor(Random& random, const Shape& shape) {
  Tensor t(DType::f32, shape);
  for (float& v : t.mutable_values<float>()) v = static_cast<float>(random.normal());
  return t;
}

/// One float operator on inputs; those after the first are constants when `constants` is set.
Program single(Node node, const std::vector<Tensor>& inputs, bool constants) {
  Program p;
  Step step;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = "x" + std::to_string(i);
    const std::int32_t v =
        p.add_value({name, ValueKind::tensor, ValueType::of(inputs[i].dtype(), inputs[i].shape()), {}});
    node.inputs.push_back(name);
    step.inputs.push_back(v);
    if (i > 0 && constants)
      p.constants[v] = inputs[i];
    else
      p.inputs.push_back(v);
  }
  ValueType any;
  any.dtype = DType::f32;
  p.outputs = {p.add_value({"y", ValueKind::tensor, any, {}})};
  node.outputs = {"y"};
  node.name = step.name = "step";
  step.outputs = p.outputs;
  step.node = std::move(node);
  p.steps = {step};
  return p;
}

/// Runs on one and on three threads. exact: the reference's bits; otherwise equal up to rounding of sums.
void expect_reference(Node node, const std::vector<Tensor>& tensors, bool constants, bool exact,
                      const std::string& kernel) {
  const Program program = single(std::move(node), tensors, constants);
  const std::vector<Tensor> inputs(tensors.begin(), constants ? tensors.begin() + 1 : tensors.end());
  std::vector<Tensor> expected;
  const Status wanted = interpret_program(program, inputs, expected);
  std::shared_ptr<const Model> model;
  const Status made = Model::from_program(program, model);
  ASSERT_TRUE(made.ok()) << made.message();
  for (const int threads : {1, 3}) {
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
    std::vector<Tensor> outputs;
    const Status status = session->run(inputs, outputs);
    ASSERT_EQ(status.ok(), wanted.ok()) << status.message() << wanted.message();
    if (!wanted.ok()) return;
    EXPECT_EQ(session->steps()[0].kernel.substr(0, kernel.size()), kernel);
    ASSERT_EQ(outputs[0].shape(), expected[0].shape());
    for (std::int64_t i = 0; i < outputs[0].count(); ++i) {
      const float got = outputs[0].as<float>()[i], want = expected[0].as<float>()[i];
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got)) << i;
      } else if (exact) {
        ASSERT_EQ(std::memcmp(&got, &want, sizeof(got)), 0) << i << ": " << got << ", not " << want;
      } else {
        ASSERT_NEAR(got, want, 1e-4F * (1 + std::abs(want))) << i;
      }
    }
  }
}

Node node_of(const std::string& op, std::map<std::string, Attribute> attributes, const std::string& domain = "") {
  return Node{.name = "", .op = op, .domain = domain, .inputs = {}, .outputs = {}, .attributes = std::move(attributes)};
}

TEST(FloatSteps, PoolsOfEveryWindow) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    const auto draw = [&](std::int64_t low, std::int64_t high) {
      return low + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
    };
    const bool average = round % 2 != 0;
    const List kernel{draw(1, 4), draw(1, 4)}, dilations{draw(1, 2), draw(1, 2)};
    List pads;
    for (std::size_t i = 0; i < 4; ++i) pads.push_back(draw(0, kernel[i % 2] - 1));
    Tensor x = random_tensor(random, {draw(1, 2), draw(1, 5), draw(5, 12), draw(5, 12)});
    if (round % 8 == 0) x.mutable_values<float>()[x.values<float>().size() / 2] = std::nanf("");
    if (round % 8 == 2) x.mutable_values<float>()[0] = -0.0F;
    std::map<std::string, Attribute> attributes = {
        {"kernel_shape", kernel}, {"strides", List{draw(1, 3), draw(1, 3)}}, {"ceil_mode", draw(0, 1)}};
    if (!average) attributes["dilations"] = dilations;
    if (average) attributes["count_include_pad"] = draw(0, 1);
    if (round % 7 == 0)
      attributes["auto_pad"] = std::string("SAME_UPPER");
    else
      attributes["pads"] = pads;
    SCOPED_TRACE(round);
    expect_reference(node_of(average ? "AveragePool" : "MaxPool", attributes), {x}, false, true,
                     average ? "average_pool_float" : "max_pool_float");
  }
}

TEST(FloatSteps, GlobalAverages) {
  Random random(4);
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 11, 7, 7}, Shape{1, 8, 5}, Shape{3, 17, 2, 3, 4}})
    expect_reference(node_of("GlobalAveragePool", {}), {random_tensor(random, shape)}, false, true,
                     "global_average_float");
}

TEST(FloatSteps, AffineAndAdd) {
  Random random(5);
  const Tensor x = random_tensor(random, {2, 5, 3, 7}), y = random_tensor(random, {2, 5, 3, 7});
  for (const std::int64_t count : {1, 5}) {
    expect_reference(node_of("Affine", {}, kNnqDomain),
                     {x, random_tensor(random, {count}), random_tensor(random, {count})}, true, true, "affine_float");
  }
  expect_reference(node_of("Affine", {{"axis", std::int64_t{-1}}}, kNnqDomain),
                   {x, random_tensor(random, {7}), random_tensor(random, {1})}, true, true, "affine_float");
  expect_reference(node_of("Add", {}), {x, y}, false, true, "add_float");
  expect_reference(node_of("Add", {}), {x, random_tensor(random, {5, 1, 1})}, false, true, "reference");
}

TEST(FloatSteps, ConvolutionsOfGroups) {
  Random random(6);
  struct Case {
    std::int64_t in, out, groups, kernel, stride, dilation;
    const char* runs;
  };
  for (const Case& c : {Case{6, 6, 6, 3, 1, 1, "depthwise"}, Case{6, 12, 6, 3, 2, 1, "depthwise"},
                        Case{5, 5, 5, 5, 3, 2, "depthwise"}, Case{6, 9, 3, 3, 1, 1, "conv_float"},
                        Case{8, 4, 2, 1, 2, 1, "conv_float"}, Case{4, 7, 1, 3, 1, 2, "conv_float"}}) {
    for (const bool bias : {false, true}) {
      std::vector<Tensor> inputs = {random_tensor(random, {2, c.in, 9, 11}),
                                    random_tensor(random, {c.out, c.in / c.groups, c.kernel, c.kernel})};
      if (bias) inputs.push_back(random_tensor(random, {c.out}));
      SCOPED_TRACE(c.in * 1000 + c.out * 10 + c.kernel);
      expect_reference(node_of("Conv", {{"group", c.groups},
                                        {"strides", List{c.stride, c.stride}},
                                        {"dilations", List{c.dilation, c.dilation}},
                                        {"auto_pad", std::string("SAME_LOWER")}}),
                       inputs, true, false, c.runs);
      expect_reference(node_of("Conv", {{"group", c.groups},
                                        {"strides", List{c.stride, 1}},
                                        {"dilations", List{1, c.dilation}},
                                        {"pads", List{0, 2, 1, 0}}}),
                       inputs, true, false, c.runs);
    }
  }
}

}  // namespace
}  // namespace nnq::test
