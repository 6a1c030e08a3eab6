// Residual paths, branches and Concat of codes stay integers end to end; graph, interpreter and session agree to the
// bit.
#include <gmock/gmock.h>

#include <iostream>

#include "nnq/dataset.h"
#include "nnq/error.h"
#include "nnq/runtime.h"
#include "nnq/zoo.h"
#include "support.h"

namespace nnq::test {
namespace {

using Ints = std::vector<std::int64_t>;

/// Weights spread over their whole range, whatever their size.
Encoding spread_uniform(const Node& node, const Tensor& w) {
  float most = 0;
  for (const float v : w.values<float>()) most = std::max(most, std::abs(v));
  Tensor scaled = w;
  const int bits = static_cast<int>(node.get_int("bits", 4));
  const float step = most / static_cast<float>((1 << (bits - 1)) - 1);
  for (float& v : scaled.mutable_values<float>()) v *= 0.25F / step;
  Encoding e = encode_uniform(node, scaled);
  if (bits > 1) e.scale.assign(e.scale.size(), step);
  return e;
}

PlacementOptions placed(int weights, int activations) {
  PlacementOptions options = bits(weights, activations, true);
  const QuantizerSpec eight{"uniform", 8, {}};
  options.rules.push_back({"first", eight, eight, {}});
  options.rules.push_back({"last", eight, eight, {}});
  return options;
}

/// Steps of floats between the first integer layer and the last; the sums' mean over the plane is not counted.
std::vector<std::string> float_steps_inside(const Program& program) {
  const auto layer = [](const Step& s) { return s.kind == StepKind::convolution; };
  const auto first = std::find_if(program.steps.begin(), program.steps.end(), layer);
  const auto last = std::find_if(program.steps.rbegin(), program.steps.rend(), layer).base();
  std::vector<std::string> found;
  for (auto step = first; step < last; ++step) {
    if (step->kind == StepKind::float_op || step->kind == StepKind::quantize || step->kind == StepKind::dequantize)
      found.push_back(step->name + " (" + name_of(step->kind) + ")");
  }
  return found;
}

void expect_session_is_interpreter(const Program& program, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> expected, outputs;
  ASSERT_TRUE(interpret_program(program, inputs, expected).ok());
  std::shared_ptr<const Model> model;
  const Status loaded = Model::from_bytes(serialize_program(program), model);
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  for (const int threads : {1, 3}) {
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
    const Status status = session->run(inputs, outputs);
    ASSERT_TRUE(status.ok()) << status.message();
    ASSERT_EQ(outputs.size(), expected.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) EXPECT_EQ(outputs[i], expected[i]) << "output " << i;
  }
}

void expect_session_is_interpreter(const Program& program, const std::map<std::string, Tensor>& feeds) {
  std::vector<Tensor> inputs;
  for (const std::int32_t v : program.inputs)
    inputs.push_back(feeds.at(program.values[static_cast<std::size_t>(v)].name));
  expect_session_is_interpreter(program, inputs);
}

Graph resnet(const std::string& name, int weights, int activations) {
  const FreezeCallbacks callbacks{spread_uniform, activation_of};
  return freeze(place_quantizers(build_zoo(name), placed(weights, activations)), callbacks);
}

TEST(IntegerResidual, ResNetsAreIntegerEndToEnd) {
  for (const auto& [name, activations] :
       std::vector<std::pair<std::string, int>>{{"resnet8", 2}, {"resnet8", 4}, {"resnet8", 8}, {"resnet20", 4}}) {
    SCOPED_TRACE(name + " A" + std::to_string(activations));
    const Graph graph = resnet(name, 4, activations);
    Random random(11);
    Tensor image = dyadic(random, {1, 3, 32, 32}, 64, 1.0F / 32);
    const std::map<std::string, Tensor> feeds = {{graph.inputs[0].name, image}};
    const Compared got = compare(graph, feeds);
    EXPECT_THAT(float_steps_inside(got.program), ::testing::IsEmpty());
    EXPECT_EQ(steps_of(got.program, StepKind::add).size(), name == "resnet8" ? 3u : 9u);
    EXPECT_EQ(steps_of(got.program, StepKind::sum_pool).size(), 1u);
    // The codes are no constants: the network says something.
    expect_session_is_interpreter(got.program, feeds);
  }
}

TEST(IntegerResidual, CifarImagesGiveTheGraphsBits) {
  Samples samples;
  try {
    samples = load_dataset("cifar10", Split::test);
  } catch (const Error& e) {
    GTEST_SKIP() << "CIFAR-10 is not here: " << e.what();
  }
  const Graph graph = resnet("resnet20", 4, 4);
  const Program program = lower(graph);
  const std::vector<std::int64_t> some = {0, samples.images.shape()[0] - 1};
  const Preprocessing normal{.mean = {0.4914F, 0.4822F, 0.4465F}, .std = {0.247F, 0.243F, 0.261F}, .size = {}};
  const Tensor images = normal.apply(samples, some);
  std::vector<Tensor> outputs;
  ASSERT_TRUE(interpret_program(program, std::vector<Tensor>{images}, outputs).ok());
  const std::vector<Tensor> expected = interpret(graph, {{graph.inputs[0].name, images}});
  EXPECT_TRUE(same_numbers(expected.at(0), outputs.at(0)));
  expect_session_is_interpreter(program, std::vector<Tensor>{images});
}

/// x -> conv -> norm, read by a quantizer of 4 bits and by the shortcut's of 8.
Builder branches(bool slice) {
  Builder b(61);
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("image", {2, 3, 6, 6}), 3, 4), 4));
  x = b.relu(b.graph.add("Add", {b.norm("bn1", b.conv("conv1", x, 4, 4), 4), x}, {}, "add1"));
  std::string shortcut = x;
  if (slice) {
    const auto ints = [&](const char* name, Ints v) {
      return b.graph.add_initializer(name, Tensor::of<std::int64_t>({static_cast<std::int64_t>(v.size())}, v));
    };
    shortcut = b.graph.add("Slice",
                           {shortcut, ints("starts", {0, 0}), ints("ends", {1 << 30, 1 << 30}), ints("axes", {2, 3}),
                            ints("steps", {2, 2})},
                           {}, "slice");
    const std::string pads = ints("pads", {0, 1, 0, 0, 0, 1, 0, 0});
    shortcut = b.graph.add("Pad", {shortcut, pads}, {}, "pad");
  }
  const std::int64_t out = slice ? 6 : 4;
  std::string y = b.conv("conv2", x, 4, out);
  if (slice) b.graph.nodes.back().attributes["strides"] = Ints{2, 2};
  y = b.norm("bn2", y, out);
  x = b.relu(b.graph.add("Add", {y, shortcut}, {}, "add2"));
  b.graph.outputs = {b.conv("conv3", x, out, 3)};
  return b;
}

TEST(IntegerResidual, BranchesOfSumsAndOptionAShortcuts) {
  for (const bool slice : {false, true}) {
    for (const int activations : {1, 2, 4, 8}) {
      SCOPED_TRACE(std::to_string(activations) + (slice ? " slice" : ""));
      const Builder b = branches(slice);
      const Compared got = compare(b, bits(4, activations, true));
      EXPECT_THAT(float_steps_inside(got.program), ::testing::IsEmpty());
      EXPECT_EQ(steps_of(got.program, StepKind::add).size(), 2u);
      EXPECT_EQ(steps_of(got.program, StepKind::subsample).size(), slice ? 2u : 0u);
      for (const Step* step : steps_of(got.program, StepKind::threshold)) EXPECT_FALSE(step->note.empty());
      expect_session_is_interpreter(got.program, b.feeds);
    }
  }
}

TEST(IntegerResidual, OneNumberServesAllChannelsOfASharedScale) {
  const Compared got = compare(branches(false), bits(4, 4, true));
  int shared = 0;
  for (const Step* step : steps_of(got.program, StepKind::threshold)) {
    if (step->epilogue.kind != Epilogue::Kind::thresholds) continue;
    EXPECT_EQ(step->epilogue.thresholds.size(),
              step->epilogue.direction.size() * static_cast<std::size_t>(step->epilogue.levels));
    shared += step->epilogue.direction.size() == 1 ? 1 : 0;
  }
  EXPECT_GE(shared, 1);
}

Builder dense_block(std::int64_t left, std::int64_t right) {
  Builder b(62);
  const std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("image", {2, 3, 6, 5}), 3, 4), 4));
  const std::string y = b.norm("bn1", b.conv("conv1", x, 4, left), left),
                    z = b.norm("bn2", b.conv("conv2", x, 4, right, 1), right);
  std::string joined = b.graph.add("Concat", {y, z}, {{"axis", Ints::value_type{1}}}, "concat");
  b.graph.outputs = {b.conv("conv3", joined, left + right, 3)};
  return b;
}

TEST(IntegerConcat, QuantizersMoveInFrontAndChannelsStandSideBySide) {
  for (const int activations : {1, 3, 8}) {
    for (const auto& [left, right] : std::vector<std::pair<int, int>>{{3, 5}, {32, 7}, {33, 40}}) {
      SCOPED_TRACE(std::to_string(activations) + " bits, " + std::to_string(left) + " + " + std::to_string(right));
      const Builder b = dense_block(left, right);
      const Compared got = compare(b, bits(activations == 1 ? 1 : 4, activations));
      EXPECT_EQ(steps_of(got.program, StepKind::concat).size(), 1u);
      EXPECT_THAT(float_steps_inside(got.program), ::testing::IsEmpty());
      expect_session_is_interpreter(got.program, b.feeds);
    }
  }
}

TEST(IntegerConcat, OtherAxesStayFloatAndRight) {
  Builder b(63);
  const std::string x = b.relu(b.conv("conv0", b.input("image", {2, 3, 4, 5}), 3, 4));
  const std::string joined = b.graph.add("Concat", {x, x}, {{"axis", std::int64_t{2}}}, "concat");
  b.graph.outputs = {b.conv("conv1", joined, 4, 3)};
  EXPECT_EQ(steps_of(compare(b, bits(4, 4)).program, StepKind::concat).size(), 0u);
}

/// Relu of codes that are no sums, a mean over the plane of the sums of an Add.
TEST(IntegerResidual, MeansOfAddedCodesAreIntegerSums) {
  Builder b(64);
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("image", {2, 3, 5, 4}), 3, 4), 4));
  x = b.relu(b.graph.add("Add", {b.norm("bn1", b.conv("conv1", x, 4, 4), 4), x}, {}, "add1"));
  x = b.graph.add("Flatten", {b.graph.add("GlobalAveragePool", {x}, {}, "mean")}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 4, 3, true)};
  const Compared got = compare(b, bits(4, 4, true));
  ASSERT_EQ(steps_of(got.program, StepKind::sum_pool).size(), 1u);
  EXPECT_EQ(steps_of(got.program, StepKind::dense).size(), 1u);
  expect_session_is_interpreter(got.program, b.feeds);
}

}  // namespace
}  // namespace nnq::test
