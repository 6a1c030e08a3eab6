// freeze(): the frozen graph equals the simulated one, computes on integers, and keeps nothing of training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "nnq/error.h"
#include "support.h"

namespace nnq::test {
namespace {

using ::testing::HasSubstr;

QuantizerSpec uniform(int bits, bool per_channel = false) {
  QuantizerSpec spec{"uniform", bits, {}};
  if (per_channel) spec.parameters["per_channel"] = std::int64_t{1};
  return spec;
}
PlacementOptions everywhere(const QuantizerSpec& weights, const QuantizerSpec& activations) {
  return {{{"*", weights, activations, {}}}, false};
}

std::size_t count(const Graph& graph, const std::string& op) {
  return static_cast<std::size_t>(
      std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) { return node.op == op; }));
}
const Node& only(const Graph& graph, const std::string& op) {
  return *std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) { return node.op == op; });
}
std::string maker(const Graph& graph, const std::string& value) {
  const std::int64_t producer = graph.producer(value);
  return producer < 0 ? "" : graph.nodes[static_cast<std::size_t>(producer)].op;
}

/// Places, freezes, and compares with the simulation: every element equal, and sums and codes integers (unless
/// `tolerance` says that the layers stay float). Returns the frozen graph.
Graph check(const Builder& b, const PlacementOptions& options, float tolerance = 0) {
  const Graph placed = place_quantizers(b.graph, options);
  const std::vector<Tensor> expected = interpret(simulation(placed), b.feeds);
  const Graph frozen = freeze(placed, callbacks());
  EXPECT_EQ(count(frozen, "Quantizer"), 0u);
  EXPECT_EQ(frozen.metadata, b.graph.metadata);
  EXPECT_EQ(frozen.outputs, b.graph.outputs);
  const auto observe = [&](const std::string& name, const Tensor& value) {
    if (tolerance > 0) return;
    if (name.find(".sums") == std::string::npos && name.find(".codes") == std::string::npos) return;
    const std::int64_t producer = frozen.producer(name);
    if (producer >= 0 && frozen.nodes[static_cast<std::size_t>(producer)].op.find("AveragePool") != std::string::npos)
      return;
    for (const float v : value.values<float>()) ASSERT_EQ(v, std::nearbyint(v)) << name << " is not integer";
  };
  const std::vector<Tensor> got = interpret(frozen, b.feeds, observe);
  EXPECT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    EXPECT_EQ(got[i].shape(), expected[i].shape());
    const auto g = got[i].values<float>(), e = expected[i].values<float>();
    for (std::size_t k = 0; k < g.size(); ++k) {
      const bool near = std::abs(g[k] - e[k]) <= tolerance * std::max(1.0F, std::abs(e[k]));
      EXPECT_TRUE(near) << "output " << i << " element " << k << ": " << g[k] << ", not " << e[k] << "\n"
                        << to_text(frozen);
      if (!near) return frozen;
    }
  }
  return frozen;
}

Builder chain(std::uint64_t seed, bool positive_gamma = false) {
  Builder b(seed);
  b.positive_gamma = positive_gamma;
  std::string x = b.input("image", {2, 3, 8, 8});
  x = b.relu(b.norm("bn1", b.conv("conv1", x, 3, 4), 4));
  x = b.max_pool(b.relu(b.norm("bn2", b.conv("conv2", x, 4, 6, 3, true), 6)));
  x = b.relu(b.norm("bn3", b.conv("conv3", x, 6, 8), 8));
  x = b.graph.add("GlobalAveragePool", {x}, {}, "gap");
  x = b.graph.add("Flatten", {x}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 8, 5, false)};
  b.graph.metadata["nnq.note"] = "kept";
  return b;
}

TEST(Freeze, ChainEqualsItsSimulation) {
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u})
    for (const int weights : {1, 2, 4, 8})
      for (const int activations : {1, 2, 4, 8})
        for (const bool per_channel : {false, true})
          check(chain(seed), everywhere(uniform(weights, per_channel), uniform(activations)));
}

TEST(Freeze, ChainHasOneAffineALayerAndPoolsCodes) {
  const Graph frozen = check(chain(1), everywhere(uniform(4), uniform(4)));
  EXPECT_EQ(count(frozen, "BatchNormalization"), 0u);
  EXPECT_EQ(count(frozen, "BitPlanes"), 4u);
  EXPECT_EQ(count(frozen, "Quantize"), 4u);
  EXPECT_EQ(count(frozen, "Affine"), 4u);
  EXPECT_EQ(maker(frozen, only(frozen, "MaxPool").inputs[0]), "Quantize");
  for (const Node& node : frozen.nodes)
    if (node.op == "Conv" || node.op == "Gemm") {
      EXPECT_EQ(node.inputs.size(), 2u) << node.name;
    }
}

TEST(Freeze, WeightsOnlyAndActivationsOnlyStayCorrect) {
  const Graph weights = check(chain(5), everywhere(uniform(4, true), {}), 1e-5F);
  EXPECT_EQ(count(weights, "Quantize"), 0u);
  EXPECT_EQ(count(weights, "BitPlanes"), 4u);
  const Graph activations = check(chain(5), everywhere({}, uniform(4)));
  EXPECT_EQ(count(activations, "BitPlanes"), 0u);
  EXPECT_EQ(count(activations, "Quantize"), 4u);
}

TEST(Freeze, ZeroPointsOfWeights) {
  QuantizerSpec weights = uniform(3, true);
  weights.parameters["zero_point"] = std::int64_t{1};
  check(chain(6), everywhere(weights, uniform(4)));
}

TEST(Freeze, FirstAndLastLayerMayStayFloat) {
  PlacementOptions options = everywhere(uniform(2), uniform(2));
  options.rules.push_back({"first", {}, {}, {}});
  options.rules.push_back({"last", {}, {}, {}});
  const Graph frozen = check(chain(7), options);
  EXPECT_EQ(count(frozen, "BitPlanes"), 2u);
}

Builder residual() {
  Builder b(11);
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("x", {1, 3, 6, 6}), 3, 4), 4));
  std::string y = b.relu(b.norm("bn1", b.conv("conv1", x, 4, 4), 4));
  y = b.norm("bn2", b.conv("conv2", y, 4, 4), 4);
  x = b.relu(b.graph.add("Add", {y, x}, {}, "add1"));
  y = b.norm("bn3", b.conv("conv3", x, 4, 6), 6);
  const std::string shortcut = b.norm("bn4", b.conv("down", x, 4, 6, 1), 6);
  x = b.relu(b.graph.add("Add", {y, shortcut}, {}, "add2"));
  b.graph.outputs = {b.conv("conv4", x, 6, 3)};
  return b;
}

TEST(Freeze, ResidualAddsInFloat) {
  const Graph frozen = check(residual(), everywhere(uniform(4), uniform(4)));
  for (const Node& node : frozen.nodes)
    if (node.op == "Add") {
      EXPECT_EQ(maker(frozen, node.inputs[0]), "Affine");
    }
}

TEST(Freeze, ResidualAddsOnCodesOfOneEncoding) {
  PlacementOptions options = everywhere(uniform(4), uniform(4));
  options.quantize_adds = true;
  const Graph frozen = check(residual(), options);
  EXPECT_EQ(count(frozen, "Add"), 2u);
  for (const Node& node : frozen.nodes) {
    if (node.op != "Add") continue;
    EXPECT_EQ(maker(frozen, node.inputs[0]), "Quantize");
    EXPECT_EQ(maker(frozen, node.inputs[1]), "Quantize");
  }
}

TEST(Freeze, ConcatIsQuantizedWithOneEncodingBeforeIt) {
  Builder b(12);
  const std::string x = b.input("x", {1, 3, 6, 6});
  const std::string left = b.relu(b.conv("a", x, 3, 4)), right = b.max_pool(b.relu(b.conv("b", x, 3, 5)));
  const std::string small = b.max_pool(left);
  const std::string joined = b.graph.add("Concat", {small, right, small}, {{"axis", std::int64_t{1}}}, "join");
  b.graph.outputs = {b.conv("c", joined, 13, 4), left};
  const Graph frozen = check(b, everywhere(uniform(4), uniform(3)));
  for (const std::string& input : only(frozen, "Concat").inputs) {
    EXPECT_EQ(maker(frozen, input), "MaxPool");
  }
}

TEST(Freeze, GroupedDepthwiseAndTransposedConvolutions) {
  Builder b(13);
  std::string x = b.input("x", {2, 4, 6, 6});
  x = b.relu(b.norm("n1", b.conv("depthwise", x, 4, 8, 3, false, 4), 8));
  x = b.relu(b.conv("grouped", x, 8, 6, 1, true, 2));
  x = b.graph.add("ConvTranspose",
                  {x, b.graph.add_initializer("up.weight", dyadic(b.random, {6, 2, 2, 2}, 12, 0.0625F))},
                  {{"strides", std::vector<std::int64_t>{2, 2}}, {"group", std::int64_t{2}}}, "up");
  b.graph.outputs = {b.norm("n2", x, 4)};
  check(b, everywhere(uniform(4), uniform(4)));
  // Per channel along the input channels of a transposed convolution: stays correct, in float.
  check(b, everywhere(uniform(4, true), uniform(4)));
}

TEST(Freeze, BinaryNetworkInItsOwnOrder) {
  Builder b(14);
  std::string x = b.input("x", {2, 3, 8, 8});
  x = b.norm("bn1", b.conv("conv1", x, 3, 4), 4);
  x = b.norm("bn2", b.max_pool(b.conv("conv2", x, 4, 6, 3, true)), 6);
  x = b.graph.add("Flatten", {x}, {}, "flat");
  x = b.norm("bn3", b.gemm("fc1", x, 96, 7, true), 7);
  b.graph.outputs = {b.norm("bn4", b.gemm("fc2", x, 7, 3, true), 3)};
  QuantizerSpec one{"bnn", 1, {}};
  const Graph frozen = check(b, everywhere(one, one));
  EXPECT_EQ(count(frozen, "Sign"), 3u);
  EXPECT_EQ(count(frozen, "Affine"), 4u);
  // The scale of the sums goes below the pool and into the normalisation.
  EXPECT_EQ(maker(frozen, only(frozen, "MaxPool").inputs[0]), "Conv");
}

TEST(Freeze, ShiftBatchNormalizationFoldsWithItsPowersOfTwo) {
  Builder b(15);
  std::string x = b.norm("bn1", b.conv("conv1", b.input("x", {1, 2, 5, 5}), 2, 4), 4);
  b.graph.outputs = {b.norm("bn2", b.conv("conv2", x, 4, 3), 3)};
  QuantizerSpec one{"bnn", 1, {}};
  one.parameters["shift_batch_norm"] = std::int64_t{1};
  const Graph placed = place_quantizers(b.graph, everywhere(one, one));
  EXPECT_EQ(count(placed, "ShiftBatchNormalization"), 2u);
  EXPECT_EQ(count(placed, "BatchNormalization"), 0u);
  const Graph frozen = check(b, everywhere(one, one));
  EXPECT_EQ(count(frozen, "ShiftBatchNormalization"), 0u);
}

TEST(Freeze, SignedBordersStayCodes) {
  for (const float border : {-1.0F, 1.0F, 0.0F}) {
    Builder b(16);
    std::string x = b.norm("bn1", b.conv("conv1", b.input("x", {1, 2, 4, 4}), 2, 4), 4);
    const std::string pads = b.graph.add_initializer(
        "pads", Tensor::of<std::int64_t>({8}, std::vector<std::int64_t>{0, 0, 1, 1, 0, 0, 1, 1}));
    const std::string value = b.graph.add_initializer("border", Tensor::scalar(border));
    x = b.graph.add("Pad", {x, pads, value}, {}, "pad");
    b.graph.outputs = {b.conv("conv2", x, 4, 3, 1)};
    QuantizerSpec one{"bnn", 1, {}};
    const Graph frozen = check(b, everywhere(one, one));
    const Node& pad = only(frozen, "Pad");
    EXPECT_EQ(maker(frozen, pad.inputs[0]), "Sign");
    ASSERT_EQ(pad.inputs.size(), 3u);
    EXPECT_EQ(frozen.initializer(pad.inputs[2])->as<float>()[0], border >= 0 ? 1.0F : -1.0F);  // sign(0) = +1
  }
}

TEST(Freeze, MatMulWithBiasOfAnyRank) {
  Builder b(17);
  const std::string x = b.input("x", {2, 3, 8});
  const std::string w = b.graph.add_initializer("w", dyadic(b.random, {8, 5}, 12, 0.0625F));
  std::string y = b.graph.add("MatMul", {x, w}, {}, "matmul");
  y = b.graph.add("Add", {y, b.graph.add_initializer("bias", dyadic(b.random, {5}, 8, 0.125F))}, {}, "plus");
  b.graph.outputs = {b.graph.add("Transpose", {y}, {{"perm", std::vector<std::int64_t>{2, 0, 1}}}, "turned")};
  const Graph frozen = check(b, everywhere(uniform(4), uniform(4)));
  EXPECT_EQ(count(frozen, "Affine"), 1u);  // step and bias in one, behind the Transpose
  EXPECT_EQ(only(frozen, "Affine").get_int("axis", -1), 0);
}

TEST(Freeze, AveragePoolOfCodes) {
  Builder b(18);
  std::string x = b.relu(b.conv("conv1", b.input("x", {1, 2, 6, 6}), 2, 4));
  QuantizerSpec eight = uniform(4);
  const std::string pooled = b.graph.add(
      "AveragePool", {x},
      {{"kernel_shape", std::vector<std::int64_t>{2, 2}}, {"strides", std::vector<std::int64_t>{2, 2}}}, "avg");
  b.graph.outputs = {b.conv("conv2", pooled, 4, 3), b.conv("conv3", x, 4, 2)};
  check(b, everywhere(uniform(4), eight));
}

TEST(Freeze, SharedWeightsSharedValuesAndSeveralInputsAndOutputs) {
  Builder b(19);
  const std::string x = b.input("x", {1, 3, 4, 4}), y = b.input("y", {1, 3, 4, 4});
  const std::string cx = b.conv("conv", x, 3, 4);
  const std::string cy =
      b.graph.add("Conv", {y, "conv.weight"}, {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}}, "tied");
  const std::string sum = b.graph.add("Add", {cx, cy}, {}, "sum");
  b.graph.outputs = {b.conv("a", sum, 4, 2), b.conv("b", sum, 4, 3), sum, cx};
  const PlacementOptions options = everywhere(uniform(4), uniform(4));
  const Graph placed = place_quantizers(b.graph, options);
  EXPECT_EQ(count(placed, "Quantizer"), 3u + 3u);  // three weights, three values
  const Graph frozen = check(b, options);
  EXPECT_EQ(count(frozen, "BitPlanes"), 3u);
}

TEST(Freeze, RepeatedIdentityDropoutReshapeSqueeze) {
  Builder b(20);
  std::string x = b.relu(b.conv("conv1", b.input("x", {2, 2, 4, 4}), 2, 4));
  x = b.graph.add("Identity", {x}, {}, "same");
  x = b.graph.add("Dropout", {x}, {}, "drop");
  x = b.graph.add(
      "Reshape", {x, b.graph.add_initializer("shape", Tensor::of<std::int64_t>({2}, std::vector<std::int64_t>{2, -1}))},
      {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 64, 3, true), b.graph.add("Identity", {x}, {}, "out")};
  check(b, everywhere(uniform(4, true), uniform(4)));
}

TEST(Freeze, GradientQuantizersVanish) {
  PlacementOptions options = everywhere(uniform(4), uniform(4));
  options.rules[0].gradients = uniform(6);
  const Graph placed = place_quantizers(chain(21).graph, options);
  EXPECT_EQ(count(placed, "Quantizer"), 12u);
  check(chain(21), options);
}

TEST(Freeze, SumsThatFloatCannotHoldAreRefused) {
  Builder b(22);
  const std::string x = b.input("x", {1, 3000});
  Tensor w(DType::f32, {1, 3000});
  for (float& v : w.mutable_values<float>()) v = 31.75F;  // code 127 of step 1/4
  const std::string name = b.graph.add_initializer("w", w);
  b.graph.outputs = {b.graph.add("Gemm", {x, name}, {{"transB", std::int64_t{1}}}, "wide")};
  b.graph.metadata["nnq.input.mean"] = "0";
  b.graph.metadata["nnq.input.std"] = "1";
  const Graph placed = place_quantizers(b.graph, everywhere(uniform(8), uniform(8)));
  try {
    freeze(placed, callbacks());
    FAIL() << "127 * 255 * 3000 > 2^24 must be refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.where(), HasSubstr("wide"));
    EXPECT_THAT(error.message(), HasSubstr("97155000"));
    EXPECT_THAT(error.hint(), HasSubstr("fewer"));
  }
}

TEST(Freeze, BoundsCountOnlySumsThatCanHappen) {  // unsigned inputs: positive and negative weights cannot add up
  const auto graph_of = [](bool alternating) {
    Builder b(24);
    Tensor w(DType::f32, {1, 600});
    for (int i = 0; i < 600; ++i) w.mutable_as<float>()[i] = alternating && i % 2 == 0 ? 31.75F : -31.75F;
    const std::string x = b.relu(b.input("x", {1, 600}));
    const std::string name = b.graph.add_initializer("w", w);
    b.graph.outputs = {b.graph.add("Gemm", {x, name}, {{"transB", std::int64_t{1}}}, "wide")};
    return place_quantizers(b.graph, everywhere(uniform(8), uniform(8)));
  };
  EXPECT_NO_THROW(freeze(graph_of(true), callbacks()));       // 300 * 127 * 255 < 2^24
  EXPECT_THROW(freeze(graph_of(false), callbacks()), Error);  // 600 * 127 * 255 > 2^24
}

TEST(Freeze, PoolsBehindFallingScalesSeeRealValues) {
  Builder b(25);  // gammas of both signs: the maximum of the sums is not the maximum of the values
  b.graph.outputs = {b.max_pool(b.norm("bn", b.conv("conv", b.input("x", {2, 3, 8, 8}), 3, 6), 6))};
  const Graph frozen = check(b, everywhere(uniform(4), uniform(4)));
  EXPECT_EQ(maker(frozen, only(frozen, "MaxPool").inputs[0]), "Affine");
}

/// A Quantizer node written by hand, with its own step.
std::string quantizer(Builder& b, const std::string& x, float step) {
  return b.graph.add("Quantizer", {x},
                     {{"method", std::string("uniform")},
                      {"role", std::string("activation")},
                      {"bits", std::int64_t{4}},
                      {"signed", std::int64_t{1}},
                      {"scale", step}},
                     x + ".q", kNnqDomain);
}

TEST(Freeze, CodesOfDifferentStepsAreNotAddedOrConcatenated) {
  Builder b(26);
  const std::string x = b.input("x", {1, 3, 4, 4}), y = b.input("y", {1, 3, 4, 4});
  const std::string qx = quantizer(b, x, 0.25F), qy = quantizer(b, y, 0.125F);
  b.graph.outputs = {b.conv("conv", b.graph.add("Add", {qx, qy}, {}, "sum"), 3, 2),
                     b.graph.add("Concat", {qx, qy}, {{"axis", std::int64_t{1}}}, "both")};
  check(b, {{{"conv", uniform(4), {}, {}}}, false}, 1e-6F);
}

TEST(Freeze, BordersAreDividedByTheStep) {
  for (const float border : {0.5F, 0.3F}) {  // code 2; not a code, so the border stays real
    Builder b(27);
    const std::string q = quantizer(b, b.input("x", {1, 2, 4, 4}), 0.25F);
    const std::string pads = b.graph.add_initializer(
        "pads", Tensor::of<std::int64_t>({8}, std::vector<std::int64_t>{0, 0, 1, 1, 0, 0, 1, 1}));
    const std::string padded =
        b.graph.add("Pad", {q, pads, b.graph.add_initializer("border", Tensor::scalar(border))}, {}, "pad");
    b.graph.outputs = {b.conv("conv", padded, 2, 3, 1)};
    const bool whole = border == 0.5F;
    const Graph frozen = check(b, {{{"conv", uniform(4), {}, {}}}, false}, whole ? 0 : 1e-6F);
    EXPECT_EQ(maker(frozen, only(frozen, "Pad").inputs[0]), whole ? "Quantize" : "Affine");
  }
}

TEST(Freeze, DoReFaPlanesBecomeOddIntegers) {
  Builder b(23);
  b.graph.outputs = {b.conv("conv", b.input("x", {1, 2, 4, 4}), 2, 3)};
  const Graph placed = place_quantizers(b.graph, everywhere(uniform(2), uniform(4)));
  FreezeCallbacks planes = callbacks();
  planes.weight = [](const Node&, const Tensor& w) {
    Encoding e;
    e.kind = EncodingKind::bit_planes;
    e.bits = 2;
    e.shape = w.shape();
    for (std::int64_t i = 0; i < w.count(); ++i) e.codes.push_back(static_cast<std::uint8_t>(i % 4));
    const float step = 1.0F / 3;
    e.offset = {-(3 * step)};
    e.plane_scale = {2 * step, 4 * step};
    return e;
  };
  const Graph frozen = freeze(placed, planes);
  bool seen = false;
  interpret(frozen, b.feeds, [&](const std::string& name, const Tensor& value) {
    if (maker(frozen, name) != "BitPlanes") return;
    seen = true;
    const float odd[4] = {-3, -1, 1, 3};
    for (std::int64_t i = 0; i < value.count(); ++i) EXPECT_EQ(value.as<float>()[i], odd[i % 4]);
  });
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace nnq::test
