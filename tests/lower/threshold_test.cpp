// Float chains that become thresholds: rising, falling and constant channels, with and without a pool between.
#include <gmock/gmock.h>

#include <limits>

#include "nnq/error.h"
#include "support.h"

namespace nnq::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr std::int32_t never_up = std::numeric_limits<std::int32_t>::max(),
                       never_down = std::numeric_limits<std::int32_t>::min();

/// conv -> norm -> relu -> quantizer -> conv, or with signs; the gamma of the norm is given.
Builder two_layers(const std::vector<float>& gamma, bool with_relu, bool pool) {
  const auto channels = static_cast<std::int64_t>(gamma.size());
  Builder b(21);
  std::string x = b.conv("conv1", b.input("image", {2, 3, 8, 6}), 3, channels);
  if (pool) x = b.max_pool(x);
  x = b.norm("bn", x, channels);
  b.graph.initializers.at(b.graph.nodes.back().inputs[1]) = Tensor::of<float>({channels}, gamma);
  if (with_relu) x = b.relu(x);
  b.graph.outputs = {b.conv("conv2", x, channels, 4)};
  return b;
}

const std::vector<float> mixed = {1, -1, 0, 0.25F, -0.5F, -0.0F, 2};

/// Every sum in the proven range goes through the thresholds and through the float chain of the graph.
void expect_thresholds_are_the_chain(const Graph& graph, const Step& step, const CodeType& code, float scale,
                                     bool relu) {
  const Epilogue& e = step.epilogue;
  ASSERT_EQ(e.kind, Epilogue::Kind::thresholds);
  const auto affine =
      std::find_if(graph.nodes.begin(), graph.nodes.end(), [](const Node& n) { return n.is("Affine", kNnqDomain); });
  ASSERT_NE(affine, graph.nodes.end());
  const std::vector<float> a = graph.initializer(affine->inputs[1])->to_float(),
                           b = graph.initializer(affine->inputs[2])->to_float();
  for (std::int64_t c = 0; c < step.out_channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    const bool rising = e.direction[at] > 0;
    for (std::int32_t s = step.accumulator_min; s <= step.accumulator_max; ++s) {
      const float product = static_cast<float>(s) * a[a.size() == 1 ? 0 : at];
      float y = product + b[b.size() == 1 ? 0 : at];
      if (relu) y = std::max(y, 0.0F);
      const std::int32_t expected = code.sign
                                        ? (y >= 0 ? 1 : -1)
                                        : static_cast<std::int32_t>(std::min(
                                              std::max(std::nearbyint(y / scale), float(code.min)), float(code.max)));
      std::int32_t passed = 0;
      for (std::int32_t level = 0; level < e.levels; ++level) {
        const std::int32_t t = e.thresholds[at * static_cast<std::size_t>(e.levels) + static_cast<std::size_t>(level)];
        if (rising ? t != never_up && s >= t : t != never_down && s <= t) ++passed;
      }
      ASSERT_EQ(e.first + e.step * passed, expected) << "channel " << c << " sum " << s;
    }
  }
}

TEST(Thresholds, RiseFallOrStandStillAsTheScalesDo) {
  for (const int activations : {1, 2, 3, 4}) {
    for (const bool with_relu : {false, true}) {
      if (activations == 1 && with_relu) continue;
      SCOPED_TRACE(std::to_string(activations) + (with_relu ? " bits, relu" : " bits"));
      const Builder b = two_layers(mixed, with_relu, false);
      PlacementOptions options = bits(2, activations);
      options.rules.push_back({"first", {"uniform", 2, {}}, {"uniform", 8, {}}, {}});
      const Graph graph = frozen(b, options);
      const Compared got = compare(graph, b.feeds);
      const Step& step = step_named(got.program, "conv1");
      EXPECT_EQ(step.epilogue.direction, (std::vector<std::int8_t>{1, -1, 1, 1, -1, 1, 1}));
      EXPECT_THAT(step.note, HasSubstr("thresholds"));
      const CodeType code = got.program.values[static_cast<std::size_t>(step.outputs[0])].code;
      EXPECT_EQ(code.sign, activations == 1);
      expect_thresholds_are_the_chain(graph, step, code, 0.25F, with_relu);
      // A channel of scale 0 does not depend on its sums.
      for (const std::size_t c : {std::size_t{2}, std::size_t{5}}) {
        for (std::int32_t level = 0; level < step.epilogue.levels; ++level) {
          const std::int32_t t =
              step.epilogue
                  .thresholds[c * static_cast<std::size_t>(step.epilogue.levels) + static_cast<std::size_t>(level)];
          EXPECT_TRUE(t == never_up || t <= step.accumulator_min) << t;
        }
      }
    }
  }
}

TEST(Thresholds, AreOrderedInTheirDirection) {
  const Builder b = two_layers(mixed, false, false);
  const Compared got = compare(b, bits(4, 4));
  const Epilogue& e = step_named(got.program, "conv1").epilogue;
  ASSERT_EQ(e.levels, 15);
  for (std::size_t c = 0; c < e.direction.size(); ++c) {
    for (std::size_t i = 1; i < 15; ++i) {
      const std::int32_t t = e.thresholds[c * 15 + i], before = e.thresholds[c * 15 + i - 1];
      EXPECT_TRUE(e.direction[c] > 0 ? t >= before : t <= before) << c << " " << i;
    }
  }
}

TEST(Thresholds, EqualChannelsHaveEqualThresholds) {
  Builder b = two_layers({1, 1, -1, -1}, false, false);
  Tensor& w = b.graph.initializers.at("conv1.weight");
  for (auto& [name, tensor] : b.graph.initializers) {
    if (name.starts_with("bn.") && !name.starts_with("bn.gamma"))
      for (float& v : tensor.mutable_values<float>()) v = 1;
  }
  const std::int64_t each = w.count() / 4;
  for (std::int64_t i = each; i < w.count(); ++i) w.mutable_as<float>()[i] = w.as<float>()[i % each];
  const Compared got = compare(b, bits(3, 2));
  const Epilogue& e = step_named(got.program, "conv1").epilogue;
  ASSERT_EQ(e.levels, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(e.thresholds[i], e.thresholds[3 + i]);
    EXPECT_EQ(e.thresholds[6 + i], e.thresholds[9 + i]);
  }
}

TEST(Thresholds, ALayerOfEqualWeightsTakesOnePlane) {
  for (const float value : {0.0F, 0.5F, -0.25F}) {
    Builder b = two_layers(mixed, true, false);
    for (float& v : b.graph.initializers.at("conv1.weight").mutable_values<float>()) v = value;
    const Compared got = compare(b, bits(4, 4));
    const Step& step = step_named(got.program, "conv1");
    EXPECT_EQ(step.weights.bits, 1);
    for (const std::int8_t v : step.weights.unpack()) EXPECT_EQ(v, static_cast<std::int8_t>(value * 4));
  }
}

TEST(Thresholds, APoolBetweenSumsAndNormMovesBehindTheCodes) {
  for (const int activations : {1, 2, 4}) {
    SCOPED_TRACE(activations);
    const Builder b = two_layers(mixed, false, true);
    const Compared got = compare(b, bits(activations == 1 ? 1 : 3, activations));
    const auto pools = steps_of(got.program, StepKind::max_pool);
    ASSERT_EQ(pools.size(), 1u);
    EXPECT_THAT(pools[0]->note, HasSubstr("moved in front"));
    // Falling channels take the minimum of their codes.
    EXPECT_EQ(pools[0]->min_channels, (std::vector<std::uint8_t>{0, 1, 0, 0, 1, 0, 0}));
    const ProgramValue& pooled = got.program.values[static_cast<std::size_t>(pools[0]->inputs[0])];
    EXPECT_EQ(pooled.kind, ValueKind::codes);
  }
}

TEST(Thresholds, APaddedPoolMovesToo) {
  Builder b(22);
  std::string x = b.conv("conv1", b.input("image", {1, 2, 7, 9}), 2, 7);
  x = b.graph.add("MaxPool", {x},
                  {{"kernel_shape", std::vector<std::int64_t>{3, 3}},
                   {"strides", std::vector<std::int64_t>{2, 2}},
                   {"pads", std::vector<std::int64_t>{1, 1, 1, 1}}},
                  "pool");
  x = b.norm("bn", x, 7);
  b.graph.initializers.at(b.graph.nodes.back().inputs[1]) = Tensor::of<float>({7}, mixed);
  b.graph.outputs = {b.conv("conv2", x, 7, 3)};
  for (const int activations : {1, 3}) {
    const Compared got = compare(b, bits(2, activations));
    EXPECT_EQ(steps_of(got.program, StepKind::max_pool).size(), 1u);
  }
}

TEST(Thresholds, APoolOfCodesStaysWhereItIs) {
  Builder b(23);
  std::string x = b.relu(b.norm("bn", b.conv("conv1", b.input("image", {1, 2, 8, 8}), 2, 5), 5));
  b.graph.outputs = {b.conv("conv2", b.max_pool(x), 5, 3)};
  const Compared got = compare(b, bits(3, 3));
  const auto pools = steps_of(got.program, StepKind::max_pool);
  ASSERT_EQ(pools.size(), 1u);
  EXPECT_TRUE(pools[0]->min_channels.empty());
}

TEST(Thresholds, ManyLevelsAreRequantizedInstead) {
  for (const int activations : {4, 5, 8}) {
    const Builder b = two_layers(mixed, true, false);
    const Compared got = compare(b, bits(4, activations));
    const Epilogue& e = step_named(got.program, "conv1").epilogue;
    EXPECT_EQ(e.kind, activations == 4 ? Epilogue::Kind::thresholds : Epilogue::Kind::requantize);
  }
}

TEST(Thresholds, NoNumberOfAProgramIsNanOrInfinite) {
  for (const int activations : {1, 4, 8}) {
    const Compared got = compare(two_layers(mixed, activations != 1, false), bits(4, activations));
    for (const Step& step : got.program.steps) {
      for (const auto* list :
           {&step.epilogue.a, &step.epilogue.b, &step.epilogue.residual_a, &step.epilogue.residual_b}) {
        for (const float v : *list) EXPECT_TRUE(std::isfinite(v)) << step.name;
      }
      EXPECT_TRUE(std::isfinite(step.scale) && std::isfinite(step.epilogue.scale)) << step.name;
    }
  }
}

TEST(Thresholds, ASumReadTwiceStaysASum) {
  Builder b(24);
  const std::string sums = b.conv("conv1", b.input("image", {1, 2, 6, 6}), 2, 4);
  const std::string x = b.conv("conv2", b.relu(b.norm("bn", sums, 4)), 4, 3);
  b.graph.outputs = {x, sums};
  compare(b, bits(3, 3));
}

}  // namespace
}  // namespace nnq::test
