// Max pools behind an integer layer pool integers, and stay where that would not be exact.
#include <gmock/gmock.h>

#include "nnq/zoo.h"
#include "support.h"

namespace nnq::test {
namespace {

using Ints = std::vector<std::int64_t>;

/// image -> codes -> conv -> Affine -> Relu -> MaxPool 3 x 3, stride 2, pad 1, and whatever a test puts behind.
struct Stem {
  explicit Stem(std::vector<float> factors, float offset = 0.25F, bool with_relu = true) : b(71) {
    const auto channels = static_cast<std::int64_t>(factors.size());
    const std::string v = code("v0", b.input("image", {2, 3, 9, 10}), 0.25F, -8, 7);
    Tensor w = dyadic(b.random, {channels, 3, 3, 3}, 7, 1);
    sums = b.graph.add("Conv", {v, b.graph.add_initializer("w1", w)}, {{"pads", Ints{1, 1, 1, 1}}}, "sums");
    Tensor shift(DType::f32, {channels});
    for (float& value : shift.mutable_values<float>()) value = offset;
    scaled = own("Affine", "scaled",
                 {sums, b.graph.add_initializer("a", Tensor::of<float>({channels}, factors)),
                  b.graph.add_initializer("b", shift)});
    real = with_relu ? b.graph.add("Relu", {scaled}, {}, "relu") : scaled;
    pooled = b.graph.add("MaxPool", {real},
                         {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}, "pooled");
  }
  std::string own(const char* op, const std::string& name, std::vector<std::string> inputs) {
    const std::string value = b.graph.add(op, std::move(inputs), {}, name);
    b.graph.nodes.back().domain = kNnqDomain;
    return value;
  }
  std::string code(const std::string& name, const std::string& x, float scale, std::int64_t min, std::int64_t max) {
    own("Quantize", name,
        {x, b.graph.add_initializer(name + ".scale", Tensor::of<float>({1}, std::vector<float>{scale}))});
    b.graph.nodes.back().attributes["min"] = min;
    b.graph.nodes.back().attributes["max"] = max;
    b.graph.nodes.back().attributes["bits"] = std::int64_t{8};
    return name;
  }
  /// A convolution that reads codes: an output of the graph.
  void reader(const std::string& codes, std::int64_t channels) {
    const Tensor w = dyadic(b.random, {2, channels, 1, 1}, 3, 1);
    b.graph.outputs.push_back(
        b.graph.add("Conv", {codes, b.graph.add_initializer(codes + ".w", w)}, {}, codes + ".read"));
  }
  Compared compared() { return compare(b.graph, b.feeds); }

  Builder b;
  std::string sums, scaled, real, pooled;
};

const std::vector<float> rising_and_falling = {0.125F, -0.25F, 0, 0.5F, -0.0F};

std::vector<std::string> float_steps(const Program& program) {
  std::vector<std::string> found;
  for (const Step& step : program.steps) {
    if (step.kind == StepKind::float_op) found.push_back(step.node.op);
  }
  return found;
}

TEST(PoolIntegers, SeveralQuantizersBehindAPoolShareItsSums) {
  for (const bool relu : {true, false}) {
    Stem stem(rising_and_falling, 0.25F, relu);
    stem.reader(stem.code("q1", stem.pooled, 0.125F, 0, 255), 5);
    stem.reader(stem.code("q2", stem.pooled, 0.5F, -8, 7), 5);
    const Compared got = stem.compared();
    EXPECT_THAT(float_steps(got.program), ::testing::IsEmpty());
    const auto pools = steps_of(got.program, StepKind::max_pool);
    ASSERT_EQ(pools.size(), 1U);
    // The largest value of a falling channel is that of its smallest sum.
    EXPECT_EQ(pools[0]->min_channels, (std::vector<std::uint8_t>{0, 1, 0, 0, 0}));
    EXPECT_EQ(got.program.values[static_cast<std::size_t>(pools[0]->inputs[0])].kind, ValueKind::accumulator);
    EXPECT_EQ(steps_of(got.program, StepKind::threshold).size(), 2U);
  }
}

TEST(PoolIntegers, OneQuantizerMovesIntoTheLayer) {
  for (const int top : {3, 255}) {  // thresholds, falling in some channels, and requantization
    Stem stem(rising_and_falling);
    stem.reader(stem.code("q1", stem.pooled, 0.25F, 0, top), 5);
    const Compared got = stem.compared();
    EXPECT_THAT(float_steps(got.program), ::testing::IsEmpty());
    const auto pools = steps_of(got.program, StepKind::max_pool);
    ASSERT_EQ(pools.size(), 1U);
    EXPECT_TRUE(pools[0]->min_channels.empty()) << "codes rise with the value, whatever the sums do";
    EXPECT_EQ(got.program.values[static_cast<std::size_t>(pools[0]->inputs[0])].kind, ValueKind::codes);
    EXPECT_THAT(steps_of(got.program, StepKind::threshold), ::testing::IsEmpty());
  }
}

/// Two quantizers of one value with a pool behind each, as freezing leaves a binary network's stem with an 8-bit
/// shortcut: the second reads past a Relu.
struct Branches : Stem {
  explicit Branches(Ints second_strides = {2, 2}) : Stem(rising_and_falling) {
    b.graph.nodes.pop_back();  // the pool
    const auto pool = [&](const std::string& codes, const Ints& strides) {
      return b.graph.add("MaxPool", {codes},
                         {{"kernel_shape", Ints{3, 3}}, {"strides", strides}, {"pads", Ints{1, 1, 1, 1}}},
                         codes + ".pool");
    };
    reader(pool(code("q1", scaled, 0.5F, -8, 7), {2, 2}), 5);
    reader(pool(code("q2", real, 0.125F, 0, 255), second_strides), 5);
  }
};

TEST(PoolIntegers, BranchesWithAPoolEachShareOneOfTheSums) {
  Branches branches;
  const Compared got = branches.compared();
  EXPECT_THAT(float_steps(got.program), ::testing::IsEmpty());
  const auto pools = steps_of(got.program, StepKind::max_pool);
  ASSERT_EQ(pools.size(), 1U);
  EXPECT_EQ(pools[0]->min_channels, (std::vector<std::uint8_t>{0, 1, 0, 0, 0}));
  EXPECT_EQ(got.program.values[static_cast<std::size_t>(pools[0]->inputs[0])].kind, ValueKind::accumulator);
}

TEST(PoolIntegers, BranchesWithOtherPoolsKeepThem) {
  Branches strides({1, 1});
  EXPECT_EQ(steps_of(strides.compared().program, StepKind::max_pool).size(), 2U);

  Branches output;
  output.b.graph.outputs.push_back("q1");
  EXPECT_EQ(steps_of(output.compared().program, StepKind::max_pool).size(), 2U) << "codes are an output";

  Branches third;
  third.reader(third.code("q3", third.scaled, 0.5F, -8, 7), 5);
  EXPECT_EQ(steps_of(third.compared().program, StepKind::max_pool).size(), 2U) << "a reader without a pool";

  Branches falling;
  falling.b.graph.initializers.at("q1.scale") = Tensor::of<float>({1}, std::vector<float>{-0.5F});
  const Program program = falling.compared().program;
  EXPECT_EQ(steps_of(program, StepKind::max_pool).size(), 1U) << "codes fall with the value";
  EXPECT_THAT(float_steps(program), ::testing::Contains("MaxPool"));
}

/// Relu -> pool -> a residual path in float, and a sign of the same value with a pool of its own: a binary ResNet-18's
/// stem.
struct ResidualStem : Stem {
  explicit ResidualStem(float offset = 0.25F, bool with_relu = true)
      : Stem({0.125F, -0.25F, 0, 0.5F, -0.0F, -0.125F, 0.25F}, offset, with_relu) {
    own("Sign", "sign", {scaled});
    const std::string signs =
        b.graph.add("MaxPool", {"sign"},
                    {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}, "sign.pool");
    reader(signs, 7);
    b.graph.outputs.push_back(pooled);
    b.graph.outputs.push_back(b.graph.add("Neg", {pooled}, {}, "neg"));
  }
  Program one_pool_of_sums() {
    const Compared got = compared();
    EXPECT_THAT(float_steps(got.program), ::testing::Not(::testing::Contains("MaxPool")));
    const auto pools = steps_of(got.program, StepKind::max_pool);
    EXPECT_EQ(pools.size(), 1U);
    EXPECT_EQ(pools.at(0)->min_channels, (std::vector<std::uint8_t>{0, 1, 0, 0, 0, 1, 0}));
    EXPECT_EQ(got.program.values[static_cast<std::size_t>(pools.at(0)->inputs[0])].kind, ValueKind::accumulator);
    return got.program;
  }
};

TEST(PoolIntegers, AFloatResidualPathAndSignsShareOnePoolOfTheSums) {
  for (const float offset : {0.25F, -0.25F, 0.0F}) {
    ResidualStem stem(offset);
    const Program program = stem.one_pool_of_sums();
    // Floats and signs are made of what the pool leaves.
    const std::int32_t pooled_sums = steps_of(program, StepKind::max_pool).at(0)->outputs[0];
    for (const StepKind kind : {StepKind::dequantize, StepKind::threshold}) {
      const auto steps = steps_of(program, kind);
      EXPECT_EQ(std::count_if(steps.begin(), steps.end(), [&](const Step* s) { return s->inputs[0] == pooled_sums; }),
                1);
    }
  }
  ResidualStem bare(0.25F, /*with_relu=*/false);
  EXPECT_THAT(float_steps(bare.one_pool_of_sums()), ::testing::ElementsAre("Neg"));
}

/// Of zeros with different signs a MaxPool may take either; only with an offset of -0 is there a -0 at all.
TEST(PoolIntegers, ANegativeZeroAsOffsetStays) {
  ResidualStem stem(-0.0F);
  EXPECT_THAT(float_steps(stem.compared().program), ::testing::Contains("MaxPool"));
}

/// All values are far below 0: a border that counted as 0, or as the middle of the codes, would win everywhere.
TEST(PoolIntegers, TheBorderNeverWins) {
  for (const bool several : {false, true}) {
    Stem stem({0.001953125F, -0.001953125F}, -3.0F, false);
    stem.reader(stem.code("q1", stem.pooled, 0.0625F, -100, 100), 2);
    if (several) stem.reader(stem.code("q2", stem.pooled, 0.03125F, -128, 127), 2);
    const Compared got = stem.compared();
    EXPECT_THAT(float_steps(got.program), ::testing::IsEmpty());
    const std::map<std::string, Tensor> feeds = stem.b.feeds;
    std::map<std::string, Tensor> values;
    interpret(stem.b.graph, feeds, [&](const std::string& name, const Tensor& value) { values[name] = value; });
    const std::vector<float> codes = values.at("q1").to_float();
    EXPECT_LT(*std::max_element(codes.begin(), codes.end()), 0) << "the test wants negative codes only";
    EXPECT_GT(*std::min_element(codes.begin(), codes.end()), -100) << "and not the lowest one";
  }
}

void expect_float_pool(Stem& stem, const char* why) {
  const Compared got = stem.compared();
  EXPECT_THAT(float_steps(got.program), ::testing::Contains("MaxPool")) << why;
}

TEST(PoolIntegers, StaysWhereOthersReadTheValue) {
  Stem input(rising_and_falling);
  input.reader(input.code("q1", input.pooled, 0.25F, 0, 255), 5);
  input.b.graph.outputs.push_back(input.b.graph.add("Neg", {input.real}, {}, "neg"));
  expect_float_pool(input, "the pool's input has another reader");

  Stem chain(rising_and_falling);
  chain.reader(chain.code("q1", chain.pooled, 0.25F, 0, 255), 5);
  chain.b.graph.outputs.push_back(chain.sums);
  expect_float_pool(chain, "the sums are an output");
}

void expect_pooled_sums(Stem& stem, const char* why) {
  const Compared got = stem.compared();
  EXPECT_THAT(float_steps(got.program), ::testing::Not(::testing::Contains("MaxPool"))) << why;
  const auto pools = steps_of(got.program, StepKind::max_pool);
  ASSERT_EQ(pools.size(), 1U) << why;
  EXPECT_EQ(got.program.values[static_cast<std::size_t>(pools[0]->inputs[0])].kind, ValueKind::accumulator) << why;
}

TEST(PoolIntegers, WhoeverReadsWhatIsPooled) {
  Stem output(rising_and_falling);
  output.reader(output.code("q1", output.pooled, 0.25F, 0, 255), 5);
  output.b.graph.outputs.push_back(output.pooled);
  expect_pooled_sums(output, "the pool's output is an output");

  Stem reader(rising_and_falling);
  reader.reader(reader.code("q1", reader.pooled, 0.25F, 0, 255), 5);
  reader.b.graph.outputs.push_back(reader.b.graph.add("Neg", {reader.pooled}, {}, "neg"));
  expect_pooled_sums(reader, "what is pooled has another reader");

  Stem one(rising_and_falling);
  one.reader(one.code("q1", one.pooled, -0.25F, -8, 7), 5);
  expect_pooled_sums(one, "a negative scale: codes fall with the value");

  Stem two(rising_and_falling);
  two.reader(two.code("q1", two.pooled, 0.25F, 0, 255), 5);
  two.reader(two.code("q2", two.pooled, -0.25F, -8, 7), 5);
  expect_pooled_sums(two, "a negative scale beside a positive one");
}

TEST(PoolIntegers, StaysWhereAWindowMayCoverNothing) {
  Stem stem(rising_and_falling);
  stem.b.graph.nodes.back().attributes["dilations"] = Ints{5, 5};
  stem.b.graph.nodes.back().attributes["pads"] = Ints{2, 2, 2, 2};
  stem.reader(stem.code("q1", stem.pooled, 0.25F, 0, 255), 5);
  expect_float_pool(stem, "a dilated window with a border");
}

TEST(PoolIntegers, StaysBehindFloatLayers) {
  Stem stem(rising_and_falling);
  stem.b.graph.initializers.at("w1").mutable_values<float>()[0] = 0.5F;
  stem.reader(stem.code("q1", stem.pooled, 0.25F, 0, 255), 5);
  expect_float_pool(stem, "a float layer may make a NaN, which wins in a pool and is the lowest code");
}

/// 8 bits; and signs, whose residual path is float.
TEST(PoolIntegers, ResNet18PoolsNoFloats) {
  const QuantizerSpec eight{"uniform", 8, {}}, sign{"bnn", 1, {}};
  const Graph network = build_zoo("resnet18", {{"size", "32"}, {"classes", "10"}});
  for (const PlacementOptions& options :
       {PlacementOptions{{{"*", eight, eight, {}}}, true}, PlacementOptions{{{"*", sign, sign, {}}}, false}}) {
    const Program program = lower(freeze(place_quantizers(network, options), callbacks()));
    EXPECT_THAT(float_steps(program), ::testing::Not(::testing::Contains("MaxPool")));
    ASSERT_EQ(steps_of(program, StepKind::max_pool).size(), 1U);
    if (options.quantize_adds) {
      EXPECT_THAT(float_steps(program), ::testing::Not(::testing::Contains("Relu")));
    }
  }
}

}  // namespace
}  // namespace nnq::test
