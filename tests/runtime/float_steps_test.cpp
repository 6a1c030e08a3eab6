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

/// One float operator on inputs (undefined: left out); those after the first are constants when `constants` is set.
Program single(Node node, const std::vector<Tensor>& inputs, bool constants, std::int64_t opset) {
  Program p;
  Step step;
  step.opset = opset;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) {
      node.inputs.emplace_back();
      step.inputs.push_back(-1);
      continue;
    }
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

/// A Relu of what `p` gives; `kept`: that stays an output.
void add_relu(Program& p, bool kept = false) {
  ValueType any;
  any.dtype = DType::f32;
  const std::int32_t y = p.outputs[0], z = p.add_value({"z", ValueKind::tensor, any, {}});
  Step relu;
  relu.name = "relu";
  relu.inputs = {y};
  relu.outputs = {z};
  relu.node = Node{.name = "relu", .op = "Relu", .domain = "", .inputs = {"y"}, .outputs = {"z"}, .attributes = {}};
  relu.opset = kOnnxOpset;
  p.steps.push_back(relu);
  p.outputs = {z};
  if (kept) p.outputs.push_back(y);
}

/// Runs on one and on three threads. exact: the reference's bits, or as near as `slack`; otherwise equal up to rounding
/// of sums.
void expect_reference(const Program& program, const std::vector<Tensor>& inputs, bool exact, const std::string& kernel,
                      std::size_t steps = 1, float slack = 0) {
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
    EXPECT_EQ(session->steps().size(), steps);
    ASSERT_EQ(outputs.size(), expected.size());
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      ASSERT_EQ(outputs[o].shape(), expected[o].shape());
      for (std::int64_t i = 0; i < outputs[o].count(); ++i) {
        const float got = outputs[o].as<float>()[i], want = expected[o].as<float>()[i];
        if (std::isnan(want)) {
          EXPECT_TRUE(std::isnan(got)) << i;
        } else if (exact && (slack == 0 || std::abs(got - want) > slack)) {
          ASSERT_EQ(std::memcmp(&got, &want, sizeof(got)), 0) << i << ": " << got << ", not " << want;
        } else if (!exact) {
          ASSERT_NEAR(got, want, 1e-4F * (1 + std::abs(want))) << i;
        }
      }
    }
  }
}

void expect_reference(Node node, const std::vector<Tensor>& tensors, bool constants, bool exact,
                      const std::string& kernel, std::int64_t opset = kOnnxOpset, float slack = 0) {
  const Program program = single(std::move(node), tensors, constants, opset);
  const std::vector<Tensor> inputs(tensors.begin(), constants ? tensors.begin() + 1 : tensors.end());
  expect_reference(program, inputs, exact, kernel, 1, slack);
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

/// Windows that hang over every edge, miss the image, or are larger than it; more inputs than are gathered at a time;
/// rows shorter and longer than a panel.
TEST(FloatSteps, ConvolutionsOfRandomGeometry) {
  Random random(16);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  for (int round = 0; round < 250; ++round) {
    const bool depthwise = round % 3 == 0;
    // One stride in sixteen is longer than any image.
    const List kernel{draw(1, 5), draw(1, 5)}, strides{draw(1, 3), random.below(16) == 0 ? 1 << 30 : draw(1, 6)},
        dilations{draw(1, 3), draw(1, 2)};
    const List pads{draw(0, 5), draw(0, 5), draw(0, 5), draw(0, 5)};
    const std::int64_t groups = depthwise ? draw(2, 5) : draw(1, 2), each = depthwise ? 1 : draw(1, 40);
    const Shape x{draw(1, 2), groups * each, draw(1, 24), draw(1, 40)};
    const auto reaches = [&](std::size_t d) {
      return x[d + 2] + pads[d] + pads[d + 2] >= (kernel[d] - 1) * dilations[d] + 1;
    };
    if (!reaches(0) || !reaches(1)) continue;
    std::vector<Tensor> inputs = {random_tensor(random, x), random_tensor(random, {groups * draw(1, depthwise ? 2 : 9),
                                                                                   each, kernel[0], kernel[1]})};
    if (round % 2 == 0) inputs.push_back(random_tensor(random, {inputs[1].shape()[0]}));
    SCOPED_TRACE(round);
    expect_reference(
        node_of("Conv", {{"group", groups}, {"strides", strides}, {"dilations", dilations}, {"pads", pads}}), inputs,
        true, false, each == 1 && groups > 1 && strides[1] <= 6 ? "depthwise" : "conv_float");
    if (HasFailure()) return;
  }
}

/// One tap, three by three, and a channel at a time: with the Relu behind them, which then is no step. NaN stays.
TEST(FloatSteps, ConvolutionsDoTheReluBehindThem) {
  Random random(8);
  struct Case {
    std::int64_t channels, outputs, group, size, stride, dilation;
    const char* kernel;
  };
  for (const Case& c :
       {Case{5, 13, 1, 1, 1, 1, "conv_float"}, Case{300, 6, 1, 1, 1, 1, "conv_float"},
        Case{3, 7, 1, 3, 2, 1, "conv_float"}, Case{6, 6, 6, 3, 1, 1, "depthwise_float_relu"},
        Case{3, 3, 3, 3, 1, 24, "depthwise_float_relu"}, Case{4, 4, 4, 3, 2, 1, "depthwise_float_relu"}}) {
    // Wider than a panel, no multiple of one; more rows than a strip of one channel has.
    Tensor x = random_tensor(random, {2, c.channels, c.channels < 10 ? 151 : 20, 37});
    x.mutable_values<float>()[77] = std::nanf("");
    const Tensor w = random_tensor(random, {c.outputs, c.channels / c.group, c.size, c.size}),
                 bias = random_tensor(random, {c.outputs});
    const std::int64_t pad = c.size / 2 * c.dilation;
    Program p = single(node_of("Conv", {{"kernel_shape", List{c.size, c.size}},
                                        {"strides", List{c.stride, c.stride}},
                                        {"dilations", List{c.dilation, c.dilation}},
                                        {"pads", List{pad, pad, pad, pad}},
                                        {"group", c.group}}),
                       {x, w, bias}, true, kOnnxOpset);
    Program both = p;
    add_relu(p);
    SCOPED_TRACE(c.channels);
    expect_reference(p, {x}, false, c.kernel);
    // What is before the Relu is asked for, too.
    add_relu(both, true);
    expect_reference(both, {x}, false, std::string(c.kernel).substr(0, 10), 2);
  }
}

/// A step of one more operator on value `x`, a Conv when it has weights.
std::int32_t add_step(Program& p, const std::string& op, std::int32_t x, const Tensor& weights = {}) {
  ValueType any;
  any.dtype = DType::f32;
  const std::string name = op + std::to_string(p.steps.size());
  Step step;
  step.name = name;
  step.opset = kOnnxOpset;
  step.inputs = {x};
  step.node = Node{.name = name,
                   .op = op,
                   .domain = "",
                   .inputs = {p.values[static_cast<std::size_t>(x)].name},
                   .outputs = {name},
                   .attributes = {}};
  if (weights.defined()) {
    const std::int32_t w =
        p.add_value({"w" + name, ValueKind::tensor, ValueType::of(weights.dtype(), weights.shape()), {}});
    p.constants[w] = weights;
    step.inputs.push_back(w);
    step.node.inputs.push_back("w" + name);
  }
  step.outputs = {p.add_value({name, ValueKind::tensor, any, {}})};
  p.steps.push_back(step);
  return step.outputs[0];
}

/// Results in the arena, a value that a Relu and a Conv read, a Relu whose result nobody wants.
TEST(FloatSteps, RelusBetweenConvolutions) {
  Random random(9);
  const Tensor x = random_tensor(random, {1, 5, 9, 11}), w = random_tensor(random, {7, 5, 3, 3}),
               next = random_tensor(random, {4, 7, 1, 1});
  const Program first = single(node_of("Conv", {}), {x, w}, true, kOnnxOpset);
  Program chain = first;
  std::int32_t v = chain.outputs[0];
  for (int i = 0; i < 3; ++i)
    v = add_step(chain, "Conv", add_step(chain, "Relu", v), i == 1 ? random_tensor(random, {7, 4, 2, 2}) : next);
  chain.outputs = {v};
  expect_reference(chain, {x}, false, "conv_float", 4);
  Program shared = first;
  v = shared.outputs[0];
  shared.outputs = {add_step(shared, "Relu", v), add_step(shared, "Conv", v, next)};
  expect_reference(shared, {x}, false, "conv_float", 3);
  Program unwanted = first;
  v = unwanted.outputs[0];
  add_step(unwanted, "Relu", v);
  unwanted.steps.back().outputs = {-1};
  unwanted.outputs = {add_step(unwanted, "Relu", unwanted.inputs[0])};
  expect_reference(unwanted, {x}, true, "conv_float", 2);
}

TEST(FloatSteps, ConvolutionsOfNoChannelsGiveTheirBias) {
  Random random(17);
  expect_reference(node_of("Conv", {{"pads", List{1, 1, 1, 1}}}),
                   {Tensor(DType::f32, {1, 0, 5, 5}), Tensor(DType::f32, {3, 0, 3, 3}), random_tensor(random, {3})},
                   true, true, "reference");
}

TEST(FloatSteps, Concats) {
  Random random(7);
  for (const std::int64_t axis : {0, 1, 2, 3, -1, -3}) {
    std::vector<Tensor> parts;
    for (const std::int64_t extent : {3, 1, 40}) {
      Shape shape{2, 5, 4, 3};
      shape[static_cast<std::size_t>(axis < 0 ? axis + 4 : axis)] = extent;
      parts.push_back(random_tensor(random, shape));
    }
    parts[1].mutable_values<float>()[0] = -0.0F;
    expect_reference(node_of("Concat", {{"axis", axis}}), parts, false, true, "concat_float");
    expect_reference(node_of("Concat", {{"axis", axis}}), parts, true, true, "concat_float");
  }
  // One row alone is dealt to threads in pieces.
  const std::vector<Tensor> large{random_tensor(random, {70001}), random_tensor(random, {13})};
  expect_reference(node_of("Concat", {{"axis", std::int64_t{0}}}), large, false, true, "concat_float");
}

/// In double, as the reference: a float's last bit is another one time in 10^8, not in these. A logarithm near 0 is the
/// difference of numbers near 1.
TEST(FloatSteps, Softmaxes) {
  Random random(8);
  for (const std::string op : {"Softmax", "LogSoftmax"}) {
    const std::string kernel = op == "Softmax" ? "softmax_float" : "log_softmax_float";
    const float slack = op == "Softmax" ? 0 : 1e-15F;
    for (const std::int64_t opset : {11, 13}) {
      for (const Shape& shape : {Shape{1, 1000}, Shape{3, 7}, Shape{2, 21, 5, 6}, Shape{4, 1, 3}}) {
        for (const std::int64_t axis : {0, 1, -1}) {
          Tensor x = random_tensor(random, shape);
          for (float& v : x.mutable_values<float>()) v *= 20;
          expect_reference(node_of(op, {{"axis", axis}}), {x}, false, true, kernel, opset, slack);
        }
      }
    }
    const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
    for (const std::vector<float>& row : {std::vector<float>{0, 1e30F, -1e30F},
                                          {-inf, 0, -inf},
                                          {-inf, -inf, -inf},
                                          {inf, 0, 1},
                                          {0, nan, 1},
                                          {nan, 0, 1},
                                          {-3e38F, 3e38F, 0},
                                          {-90, -100, 3}})
      expect_reference(node_of(op, {}), {Tensor::of<float>({1, 3}, row)}, false, true, kernel, kOnnxOpset, slack);
  }
}

TEST(FloatSteps, Resizes) {
  Random random(9);
  const auto one_of = [&](const std::vector<std::string>& words) {
    return words[static_cast<std::size_t>(random.below(words.size()))];
  };
  const auto any = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  for (int round = 0; round < 300; ++round) {
    Shape shape{any(2, 9), any(2, 9)};
    for (std::int64_t rank = any(2, 5); static_cast<std::int64_t>(shape.size()) < rank;)
      shape.insert(shape.begin(), any(1, 3));
    const std::size_t rank = shape.size();
    Tensor x = random_tensor(random, shape), scales, sizes;
    if (round % 5 == 0) x.mutable_values<float>()[0] = -std::numeric_limits<float>::infinity();
    if (round % 5 == 1) x.mutable_values<float>()[1] = -0.0F;
    std::vector<float> factors(rank, 1);
    List extents(shape.begin(), shape.end());
    for (std::size_t d = rank - 2; d < rank; ++d) {
      factors[d] = random.uniform(0.5F, 2.5F);
      extents[d] = any(1, 20);
    }
    if (round % 7 == 0) factors[rank - 1] = 1, extents[rank - 1] = shape[rank - 1];
    if (round % 7 == 1) factors[rank - 2] = 1, extents[rank - 2] = shape[rank - 2];
    const auto count = static_cast<std::int64_t>(rank);
    if (round % 2 == 0)
      scales = Tensor::of<float>({count}, factors);
    else
      sizes = Tensor::of<std::int64_t>({count}, extents);
    const std::string mode = one_of({"nearest", "linear", "cubic"});
    const std::map<std::string, Attribute> attributes = {
        {"mode", mode},
        {"coordinate_transformation_mode",
         one_of({"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"})},
        {"nearest_mode", one_of({"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"})},
        {"antialias", any(0, 1)},
        {"exclude_outside", any(0, 1)}};
    SCOPED_TRACE(round);
    const bool same = round % 2 != 0 && extents == List(shape.begin(), shape.end());
    expect_reference(node_of("Resize", attributes), {x, Tensor(), scales, sizes}, true, true,
                     same                ? "reference"
                     : mode == "nearest" ? "resize_nearest_float"
                                         : "resize_float");
  }
  // Other axes stay with the reference.
  const Tensor x = random_tensor(random, {2, 3, 4, 5});
  expect_reference(node_of("Resize", {{"mode", std::string("linear")}}),
                   {x, Tensor(), Tensor::of<float>({4}, std::vector<float>{1, 2, 2, 1})}, true, true, "reference");
}

}  // namespace
}  // namespace nnq::test
