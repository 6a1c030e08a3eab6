// Freezing activation quantizers with an offset or with thresholds and levels of their own. The simulation they must
// agree with is written in standard operators; numbers are dyadic, so every order of summation is exact.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nnq/error.h"
#include "support.h"

namespace nnq::test {
namespace {

using ::testing::HasSubstr;
using Floats = std::vector<float>;

ActivationCode levels_code(Floats thresholds, Floats levels) {
  ActivationCode code;
  code.bits = levels.size() == 2 ? 1 : levels.size() == 4 ? 2 : 3;
  code.thresholds = std::move(thresholds);
  code.levels = std::move(levels);
  return code;
}

ActivationCode offset_code(float offset, float scale, float step) {
  ActivationCode code;
  code.bits = 2;
  code.min = 0;
  code.max = 3;
  code.offset = offset;
  code.scale = scale;
  code.step = step;
  return code;
}

/// Quantize in standard operators: levels[0] + sum of (levels[i] - levels[i-1]) * (x >= t_i), or the uniform formula.
void simulate(Graph& graph, const Node& node, const ActivationCode& code) {
  const std::string stem = node.outputs[0] + "#";
  int made = 0;
  const auto constant = [&](float v) {
    return graph.add_initializer(stem + std::to_string(made++), Tensor::scalar(v));
  };
  const auto add = [&](const std::string& op, std::vector<std::string> inputs,
                       std::map<std::string, Attribute> attributes = {}) {
    return graph.add(op, std::move(inputs), std::move(attributes), stem + std::to_string(made++));
  };
  std::string y;
  if (code.thresholds.empty()) {
    const std::string shifted = add("Sub", {node.inputs[0], constant(code.offset)});
    const std::string rounded = add("Round", {add("Div", {shifted, constant(code.scale)})});
    const std::string clipped =
        add("Clip", {rounded, constant(static_cast<float>(code.min)), constant(static_cast<float>(code.max))});
    y = add("Mul", {clipped, constant(code.step)});
  } else {
    y = add("Mul", {node.inputs[0], constant(0)});
    y = add("Add", {y, constant(code.levels[0])});
    for (std::size_t i = 0; i < code.thresholds.size(); ++i) {
      const std::string reached = add("GreaterOrEqual", {node.inputs[0], constant(code.thresholds[i])});
      const std::string jump = add(
          "Mul", {add("Cast", {reached}, {{"to", std::int64_t{1}}}), constant(code.levels[i + 1] - code.levels[i])});
      y = add("Add", {y, jump});
    }
  }
  graph.nodes.push_back({node.name, "Identity", "", {y}, node.outputs, {}});
}

struct Frozen {
  Graph graph;
  int count(const std::string& op, const std::string& domain = kNnqDomain) const {
    int n = 0;
    for (const Node& node : graph.nodes) n += node.is(op.c_str(), domain.c_str()) ? 1 : 0;
    return n;
  }
};

/// Freezes with one activation code everywhere and holds the result against the simulation.
Frozen check_codes(const Builder& b, const ActivationCode& code, int weight_bits = 4) {
  const QuantizerSpec weights{"uniform", weight_bits, {}}, activations{"uniform", code.bits, {}};
  const Graph placed = place_quantizers(b.graph, {{{"*", weights, activations, {}}}, false});
  const Frozen frozen{freeze(placed, {encode_uniform, [&](const Node&) { return code; }})};
  Graph simulation = placed;
  simulation.nodes.clear();
  for (const Node& node : placed.nodes) {
    const std::string role = node.get_string("role", "");
    if (!node.is("Quantizer", kNnqDomain)) {
      simulation.nodes.push_back(node);
    } else if (role == "weight") {
      simulation.initializers[node.outputs[0]] =
          encode_uniform(node, simulation.initializers.at(node.inputs[0])).decode();
    } else {
      simulate(simulation, node, code);
    }
  }
  const std::vector<Tensor> expected = interpret(simulation, b.feeds), got = interpret(frozen.graph, b.feeds);
  EXPECT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(got[i].to_float(), expected[i].to_float());
  return frozen;
}

Builder network(std::uint64_t seed) {
  Builder b(seed);
  std::string x = b.relu(b.norm("bn1", b.conv("conv1", b.input("image", {2, 2, 6, 6}), 2, 4), 4));
  x = b.max_pool(b.relu(b.norm("bn2", b.conv("conv2", x, 4, 5), 5)));
  x = b.graph.add("Flatten", {x}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 45, 3, true)};
  return b;
}

TEST(FreezeLevels, CodesAndALookUpAboveThePool) {
  const Frozen frozen = check_codes(network(3), levels_code({0.25F, 0.5F, 1.75F}, {0, 0.375F, 1, 1.375F}));
  EXPECT_EQ(frozen.count("Bucketize"), 3);
  EXPECT_EQ(frozen.count("Levels"), 3);
  EXPECT_EQ(frozen.count("Quantize"), 0);
  // The pool and the flattening move codes.
  for (const Node& node : frozen.graph.nodes) {
    if (node.op == "MaxPool" || node.op == "Flatten") {
      EXPECT_THAT(node.inputs[0], HasSubstr(".codes"));
    }
  }
}

TEST(FreezeLevels, PaddingPadsTheRealValueZeroWhateverTheLowestLevel) {
  check_codes(network(4), levels_code({-0.5F, 0.25F, 1}, {-1.5F, -0.25F, 0.5F, 3}));
}

TEST(FreezeLevels, EqualThresholdsSkipALevel) {
  check_codes(network(5), levels_code({0.25F, 0.25F, 1}, {0, 0.5F, 0.75F, 2}));
}

TEST(FreezeLevels, MultiplesOfOneStepStayIntegers) {
  const Frozen frozen = check_codes(network(6), levels_code({0.25F, 1, 1.5F}, {0, 0.5F, 1, 1.5F}));
  EXPECT_EQ(frozen.count("Bucketize"), 3);
  EXPECT_EQ(frozen.count("Levels"), 0);
}

TEST(FreezeLevels, TwoSymmetricLevelsAboutZeroAreSigns) {
  const Frozen frozen = check_codes(network(7), levels_code({0}, {-0.75F, 0.75F}));
  EXPECT_EQ(frozen.count("Sign"), 3);
  EXPECT_EQ(frozen.count("Levels") + frozen.count("Bucketize"), 0);
  // About another threshold they are not.
  EXPECT_EQ(check_codes(network(7), levels_code({0.25F}, {-0.75F, 0.75F})).count("Levels"), 3);
}

TEST(FreezeLevels, AnOffsetIsSubtractedInThePendingAffine) {
  for (const float offset : {0.5F, -0.25F}) {
    const Frozen frozen = check_codes(network(8), offset_code(offset, 0.25F, 0.5F));
    EXPECT_EQ(frozen.count("Quantize"), 3);
    EXPECT_EQ(frozen.count("Levels"), 0);
  }
  // Without a Relu the quantizer's Affine is the layer's: one a layer, and one for the graph's input.
  Builder b(9);
  b.graph.outputs = {b.conv("conv2", b.norm("bn", b.conv("conv1", b.input("image", {1, 2, 5, 5}), 2, 3), 3), 3, 2)};
  EXPECT_EQ(check_codes(b, offset_code(0.5F, 0.25F, 0.5F)).count("Affine"), 3);
}

TEST(FreezeLevels, AValueReadTwiceKeepsItsUnshiftedForm) {
  Builder b(10);
  const std::string x = b.norm("bn", b.conv("conv1", b.input("image", {1, 2, 5, 5}), 2, 3), 3);
  b.graph.outputs = {b.conv("conv2", x, 3, 3), x};
  check_codes(b, offset_code(0.5F, 0.25F, 0.5F));
  check_codes(b, levels_code({0.25F, 0.5F, 1.75F}, {0, 0.375F, 1, 1.375F}));
}

TEST(FreezeLevels, AConstantPadBecomesTheQuantizedValue) {
  Builder b(11);
  const std::string pads =
      b.graph.add_initializer("pads", Tensor::of<std::int64_t>({8}, std::vector<std::int64_t>{0, 0, 1, 1, 0, 0, 1, 1}));
  const std::string border = b.graph.add_initializer("border", Tensor::scalar(1.0F));
  const std::string x = b.relu(b.conv("conv1", b.input("image", {1, 2, 5, 5}), 2, 3));
  b.graph.outputs = {b.conv("conv2", b.graph.add("Pad", {x, pads, border}, {}, "padded"), 3, 2)};
  check_codes(b, levels_code({0.25F, 0.5F, 1.75F}, {0.125F, 0.375F, 1, 1.375F}));
  check_codes(b, offset_code(0.25F, 0.25F, 0.5F));
}

TEST(FreezeLevels, ImpossibleCodesAreRefused) {
  const float nan = std::nanf("");
  const auto refused = [](ActivationCode code) {
    const Builder b = network(1);
    const QuantizerSpec spec{"uniform", 2, {}};
    const Graph placed = place_quantizers(b.graph, {{{"*", spec, spec, {}}}, false});
    EXPECT_THROW(freeze(placed, {encode_uniform, [&](const Node&) { return code; }}), Error);
  };
  refused(levels_code({0, 1}, {0, 1, 2, 3}));        // a threshold is missing
  refused(levels_code({0, 1, 0.5F}, {0, 1, 2, 3}));  // not ascending
  refused(levels_code({0, 1, 2}, {0, 2, 1, 3}));
  refused(levels_code({0, 1, nan}, {0, 1, 2, 3}));
  refused(levels_code({0, 1, 2}, {0, 1, 2, nan}));
  refused(levels_code({0, 1, 2}, {}));
  refused(offset_code(nan, 1, 1));
}

}  // namespace
}  // namespace nnq::test
