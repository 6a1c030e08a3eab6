// Layers with real-valued levels, lowered to bit planes: graphs made by hand, program against graph, and bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lower/plane_form.h"
#include "nnq/encoding.h"
#include "nnq/lower.h"
#include "support.h"

namespace nnq::test {
namespace {

using ::testing::HasSubstr;
using Floats = std::vector<float>;

/// Builds frozen graphs with random real numbers.
class PlaneBuilder {
 public:
  explicit PlaneBuilder(std::uint64_t seed) : random(seed) {}

  std::string input(Shape shape) {
    graph.inputs.push_back({"image", ValueType::of(DType::f32, shape)});
    feeds["image"] = Tensor::of<float>(shape, floats(*checked_count(shape), -1, 2));
    return "image";
  }
  Floats floats(std::int64_t count, float low, float high) {
    Floats values(static_cast<std::size_t>(count));
    for (float& v : values) v = random.uniform(low, high);
    return values;
  }
  std::string list(const std::string& name, const Floats& values) {
    return graph.add_initializer(name, Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values));
  }
  std::string own(const std::string& op, std::vector<std::string> inputs, const std::string& name,
                  std::map<std::string, Attribute> attributes = {}) {
    return graph.add(op, std::move(inputs), std::move(attributes), name, kNnqDomain);
  }

  /// All sums of a subset of the basis and an offset, ascending.
  static Floats sums(const Floats& basis, float offset = 0) {
    Floats levels;
    for (unsigned code = 0; code < 1U << basis.size(); ++code) {
      float level = offset;
      for (std::size_t k = 0; k < basis.size(); ++k)
        if ((code >> k & 1U) != 0) level += basis[k];
      levels.push_back(level);
    }
    std::sort(levels.begin(), levels.end());
    return levels;
  }
  /// Bucketize at the midpoints of `levels`.
  std::string codes(const std::string& x, const std::string& name, const Floats& levels) {
    Floats thresholds;
    for (std::size_t i = 1; i < levels.size(); ++i) thresholds.push_back((levels[i - 1] + levels[i]) / 2);
    const auto bits = static_cast<std::int64_t>(std::lround(std::ceil(std::log2(static_cast<double>(levels.size())))));
    return own("Bucketize", {x, list(name + ".thresholds", thresholds)}, name + ".codes", {{"bits", bits}});
  }
  std::string levels(const std::string& codes_value, const std::string& name, const Floats& table) {
    return own("Levels", {codes_value, list(name + ".table", table)}, name);
  }
  std::string quantized(const std::string& x, const std::string& name, const Floats& table) {
    return levels(codes(x, name, table), name, table);
  }

  Tensor random_planes(int bits, std::int64_t count) {
    std::vector<std::uint8_t> values(static_cast<std::size_t>(count));
    for (std::uint8_t& v : values) v = static_cast<std::uint8_t>(random.below(std::uint64_t{1} << bits));
    return packed(values, bits);
  }
  static Tensor packed(const std::vector<std::uint8_t>& codes, int bits) {
    const std::vector<std::uint8_t> bytes = pack_planes(codes, bits);
    return Tensor::of<std::uint8_t>({bits, static_cast<std::int64_t>(bytes.size()) / bits}, bytes);
  }
  std::string shape(const std::string& name, const Shape& dims) {
    return graph.add_initializer(name + ".shape",
                                 Tensor::of<std::int64_t>({static_cast<std::int64_t>(dims.size())}, dims));
  }
  /// Sums of +-basis, a basis of its own for each output channel (LQ-Nets).
  std::string sign_planes(const std::string& name, const Shape& dims, int bits) {
    const Floats scale = floats(dims[0] * bits, 0.05F, 0.5F);
    Floats offset;
    for (std::int64_t o = 0; o < dims[0]; ++o) {
      float sum = 0;
      for (int k = 0; k < bits; ++k) sum += scale[static_cast<std::size_t>(o * bits + k)] / 2;
      offset.push_back(-sum);
    }
    const std::string scales = graph.add_initializer(name + ".scale", Tensor::of<float>({dims[0], bits}, scale));
    return own("BitPlanes",
               {graph.add_initializer(name + ".planes", random_planes(bits, *checked_count(dims))), scales,
                list(name + ".offset", offset), shape(name, dims)},
               name);
  }
  std::string bit_planes(const std::string& name, const Shape& dims, int bits, const Floats& scale,
                         const Floats& offset) {
    const auto groups = static_cast<std::int64_t>(offset.size());
    const std::string scales = graph.add_initializer(name + ".scale", Tensor::of<float>({groups, bits}, scale));
    return own("BitPlanes",
               {graph.add_initializer(name + ".planes", random_planes(bits, *checked_count(dims))), scales,
                list(name + ".offset", offset), shape(name, dims)},
               name);
  }
  std::string codebook(const std::string& name, const Shape& dims, int bits, int used, const Floats& table) {
    std::vector<std::uint8_t> values(static_cast<std::size_t>(*checked_count(dims)));
    for (std::uint8_t& v : values) v = static_cast<std::uint8_t>(random.below(static_cast<std::uint64_t>(used)));
    const std::int64_t entries = std::int64_t{1} << bits;
    const std::string tables = graph.add_initializer(
        name + ".table", Tensor::of<float>({static_cast<std::int64_t>(table.size()) / entries, entries}, table));
    return own("Codebook", {graph.add_initializer(name + ".planes", packed(values, bits)), tables, shape(name, dims)},
               name);
  }
  std::string conv(const std::string& name, const std::string& x, const std::string& weight,
                   std::vector<std::int64_t> pads = {1, 1, 1, 1}, std::vector<std::int64_t> strides = {1, 1},
                   std::int64_t group = 1) {
    return graph.add("Conv", {x, weight}, {{"pads", pads}, {"strides", strides}, {"group", group}}, name);
  }
  std::string affine(const std::string& x, const std::string& name, std::int64_t channels, float low = -0.8F) {
    return own("Affine",
               {x, list(name + ".a", floats(channels, low, 0.8F)), list(name + ".b", floats(channels, -0.5F, 0.8F))},
               name);
  }
  std::string relu(const std::string& x) { return graph.add("Relu", {x}, {}, x + ".relu"); }
  std::string pool(const std::string& x) {
    return graph.add("MaxPool", {x},
                     {{"kernel_shape", std::vector<std::int64_t>{2, 2}}, {"strides", std::vector<std::int64_t>{2, 2}}},
                     x + ".pool");
  }

  Graph graph;
  Random random;
  std::map<std::string, Tensor> feeds;
};

/// What the spec allows where levels are real: a code off by one in at most 0.05 % of places, y within 1e-5.
struct Agreement {
  std::int64_t codes = 0, by_one = 0, by_more = 0;
};

Program lowered(const PlaneBuilder& b, Agreement* agreement = nullptr) {
  std::map<std::string, Tensor> values;
  const std::vector<Tensor> expected =
      interpret(b.graph, b.feeds, [&](const std::string& name, const Tensor& value) { values[name] = value; });
  Program p = lower(b.graph);
  Agreement counted;
  std::vector<Tensor> inputs, outputs;
  for (const std::int32_t i : p.inputs) inputs.push_back(b.feeds.at(p.values[static_cast<std::size_t>(i)].name));
  std::set<std::int32_t> moved;
  for (const Step& step : p.steps)
    if (step.note.find("moved in front") != std::string::npos) moved.insert(step.inputs[0]);
  const Status status = interpret_program(p, inputs, outputs, [&](std::int32_t number, const Tensor& value) {
    const ProgramValue& v = p.values[static_cast<std::size_t>(number)];
    const auto it = values.find(v.name);
    if (it == values.end() || v.kind != ValueKind::codes || moved.contains(number)) return;
    const Floats x = it->second.to_float(), y = value.to_float();
    ASSERT_EQ(x.size(), y.size()) << v.name;
    for (std::size_t i = 0; i < x.size(); ++i) {
      ++counted.codes;
      const float difference = std::abs(x[i] - y[i]);
      counted.by_one += difference == 1 ? 1 : 0;
      counted.by_more += difference > 1 ? 1 : 0;
    }
  });
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(counted.by_more, 0);
  EXPECT_LE(static_cast<double>(counted.by_one), 0.0005 * static_cast<double>(counted.codes));
  EXPECT_EQ(outputs.size(), expected.size());
  for (std::size_t i = 0; i < std::min(outputs.size(), expected.size()); ++i) {
    EXPECT_EQ(outputs[i].shape(), expected[i].shape());
    double most = 0, apart = 0;
    const Floats x = expected[i].to_float(), y = outputs[i].to_float();
    for (std::size_t k = 0; k < x.size(); ++k) {
      most = std::max(most, std::abs(static_cast<double>(x[k])));
      apart = std::max(apart, std::abs(static_cast<double>(x[k]) - static_cast<double>(y[k])));
    }
    if (counted.by_one == 0) {
      EXPECT_LE(apart, 1e-5 * most) << "output " << i;
    }
  }
  if (agreement != nullptr) *agreement = counted;
  return p;
}

/// A copy, so that it outlives the program.
Step only(const Program& program, StepKind kind) {
  const std::vector<const Step*> found = steps_of(program, kind);
  EXPECT_EQ(found.size(), 1U) << name_of(kind);
  return found.empty() ? Step{} : *found[0];
}

bool has_float_layer(const Program& program) {
  for (const Step* step : steps_of(program, StepKind::float_op)) {
    if (step->node.op == "Conv" || step->node.op == "Gemm" || step->node.op == "MatMul") return true;
  }
  return false;
}

const Floats two_bits = {0, 0.41F, 0.77F, 1.18F}, three_bits = PlaneBuilder::sums({0.21F, 0.33F, 0.9F});

TEST(LowerPlanes, AnLqNetOfTwoLayersWithAPoolAndADenseLayer) {
  PlaneBuilder b(1);
  std::string x = b.quantized(b.input({4, 3, 8, 8}), "q1", two_bits);
  x = b.relu(b.affine(b.pool(b.conv("conv1", x, b.sign_planes("w1", {13, 3, 3, 3}, 2))), "bn1", 13));
  x = b.quantized(x, "q2", three_bits);
  x = b.relu(b.affine(b.conv("conv2", x, b.sign_planes("w2", {9, 13, 3, 3}, 3)), "bn2", 9));
  x = b.graph.add("Flatten", {b.pool(b.codes(x, "q3", two_bits))}, {}, "flat");
  x = b.levels(x, "q3", two_bits);
  b.graph.outputs = {b.affine(
      b.graph.add("Gemm", {x, b.sign_planes("w3", {5, 36, 1, 1}, 2)}, {{"transB", std::int64_t{1}}}, "fc"), "end", 5)};
  b.graph.initializers.at("w3.shape") = Tensor::of<std::int64_t>({2}, std::vector<std::int64_t>{5, 36});
  Agreement agreement;
  const Program p = lowered(b, &agreement);
  EXPECT_EQ(steps_of(p, StepKind::plane_convolution).size(), 2U);
  EXPECT_EQ(steps_of(p, StepKind::plane_dense).size(), 1U);
  EXPECT_EQ(steps_of(p, StepKind::bucketize).size(), 1U);  // of the input; the others are thresholds of their layers
  EXPECT_EQ(steps_of(p, StepKind::max_pool).size(), 2U);
  EXPECT_TRUE(steps_of(p, StepKind::float_op).empty());
  EXPECT_GT(agreement.codes, 2000);
  const Step& conv = step_named(p, "conv1");
  EXPECT_TRUE(conv.planes.weight_signs);  // 32 bits a plane and channel, no offset
  EXPECT_TRUE(conv.planes.weight_offset.empty());
  EXPECT_EQ(conv.planes.code_offset, 0);
  EXPECT_FALSE(conv.planes.code_signs);
  EXPECT_THAT(conv.note, HasSubstr("2 of weights x 2 of codes"));
}

/// The sheet's arithmetic: 9 C_in K bits a filter and 32 K bits of scales, 2.11 bits a weight for C_in = 64, K = 2.
TEST(LowerPlanes, BytesAreThePlanesAndTheScales) {
  PlaneBuilder b(2);
  const std::string x = b.quantized(b.input({1, 64, 4, 4}), "q", two_bits);
  b.graph.outputs = {b.conv("conv", x, b.sign_planes("w", {64, 64, 3, 3}, 2))};
  const Program p = lowered(b);
  const Step step = only(p, StepKind::plane_convolution);
  const double weights = 64 * 64 * 9;
  const auto bytes = static_cast<double>(step.weights.plane_bytes() * static_cast<std::size_t>(step.weights.bits) +
                                         4 * (step.planes.weight_scale.size() + step.planes.weight_offset.size()));
  EXPECT_NEAR(8 * bytes / weights, 2.11, 0.005);
  // The whole file: 2 % and what headers take.
  EXPECT_LT(static_cast<double>(serialize_program(p).size()), 1.02 * bytes + 2048);
}

TEST(LowerPlanes, TernaryWeightsTakeTwoPlanes) {
  for (const bool per_channel : {false, true}) {
    PlaneBuilder b(3);
    const std::string x = b.quantized(b.input({2, 5, 6, 6}), "q", two_bits);
    Floats table;
    for (int g = 0; g < (per_channel ? 7 : 1); ++g) {
      const float step = 1 + 0.1F * static_cast<float>(g);
      table.insert(table.end(), {-0.31F * step, 0, 0.44F * step, 0});
    }
    b.graph.outputs = {b.conv("conv", x, b.codebook("w", {7, 5, 3, 3}, 2, 3, table))};
    const Program p = lowered(b);
    const Step step = only(p, StepKind::plane_convolution);
    EXPECT_EQ(step.weights.bits, 2);
    EXPECT_TRUE(step.planes.weight_offset.empty());
    EXPECT_EQ(step.planes.weight_scale[0], -0.31F);
    EXPECT_EQ(step.planes.weight_scale[1], 0.44F);
  }
}

TEST(LowerPlanes, IntegerWeightsWithRealLevels) {
  PlaneBuilder b(4);
  const std::string x = b.quantized(b.input({2, 5, 6, 6}), "q", three_bits);
  const std::string w = b.bit_planes("w", {7, 5, 3, 3}, 4, {1, 2, 4, 8}, {-8});
  b.graph.outputs = {b.affine(b.conv("conv", x, w), "bn", 7)};
  const Step step = only(lowered(b), StepKind::plane_convolution);
  EXPECT_EQ(step.weights.bits, 4);
  EXPECT_TRUE(step.planes.weight_offset.empty());  // -8 is the fourth plane turned round: two's complement
  EXPECT_EQ(Floats(step.planes.weight_scale.begin(), step.planes.weight_scale.begin() + 4), (Floats{1, 2, 4, -8}));
}

TEST(LowerPlanes, RealWeightsWithIntegerCodes) {
  for (const int kind : {0, 1, 2, 3}) {
    PlaneBuilder b(5);
    std::string x = b.input({2, 6, 6, 6});
    if (kind == 2) {
      x = b.own("Sign", {x}, "codes");
    } else {
      const std::int64_t low = kind == 1 ? -4 : 0, high = kind == 1 ? 3 : 5;
      x = b.own("Quantize", {x, b.list("scale", {0.3F})}, "codes",
                {{"min", low}, {"max", high}, {"bits", std::int64_t{3}}});
    }
    if (kind == 3) x = b.own("Affine", {x, b.list("a", {0.3F}), b.list("b", {-0.2F})}, "levels");
    b.graph.outputs = {b.affine(b.conv("conv", x, b.sign_planes("w", {7, 6, 3, 3}, 2)), "bn", 7)};
    const Step step = only(lowered(b), StepKind::plane_convolution);
    EXPECT_EQ(step.planes.code_planes(), kind == 2 ? 1 : 3);
    EXPECT_EQ(step.planes.code_signs, kind == 2);
    EXPECT_EQ(step.planes.code_offset != 0, kind == 3);
  }
}

TEST(LowerPlanes, PaddingStridesAndLevelsBelowZero) {
  for (const Floats& levels : {Floats{-0.7F, -0.2F, 0.3F, 0.8F}, Floats{-1, -0.25F, 0.25F, 1}, Floats{0.2F, 0.4F},
                               PlaneBuilder::sums({0.21F, 0.33F, 0.9F}, -0.33F)}) {
    PlaneBuilder b(6);
    const std::string x = b.quantized(b.input({2, 5, 7, 9}), "q", levels);
    b.graph.outputs = {b.conv("conv", x, b.sign_planes("w", {7, 5, 3, 3}, 2), {2, 1, 0, 2}, {2, 1})};
    EXPECT_FALSE(has_float_layer(lowered(b)));
  }
}

TEST(LowerPlanes, Groups) {
  PlaneBuilder b(7);
  const std::string x = b.quantized(b.input({2, 6, 7, 9}), "q", two_bits);
  b.graph.outputs = {b.conv("grouped", x, b.sign_planes("w", {9, 2, 3, 3}, 2), {1, 1, 1, 1}, {1, 1}, 3),
                     b.conv("depthwise", x, b.sign_planes("d", {6, 1, 3, 3}, 1), {1, 1, 1, 1}, {1, 1}, 6)};
  EXPECT_EQ(steps_of(lowered(b), StepKind::plane_convolution).size(), 2U);
}

TEST(LowerPlanes, AResidualOfLevelsAndOneOfFloats) {
  PlaneBuilder b(8);
  const std::string x = b.quantized(b.input({2, 6, 7, 7}), "q1", two_bits);
  std::string y = b.affine(b.conv("conv1", x, b.sign_planes("w1", {6, 6, 3, 3}, 2)), "bn1", 6);
  y = b.relu(b.graph.add("Add", {y, x}, {}, "add1"));  // read by a quantizer and by the next residual
  std::string z = b.quantized(y, "q2", three_bits);
  z = b.affine(b.conv("conv2", z, b.sign_planes("w2", {6, 6, 3, 3}, 2)), "bn2", 6);
  z = b.quantized(b.relu(b.graph.add("Add", {y, z}, {}, "add2")), "q3", two_bits);
  b.graph.outputs = {b.conv("conv3", z, b.sign_planes("w3", {3, 6, 1, 1}, 2), {0, 0, 0, 0})};
  const Program p = lowered(b);
  EXPECT_EQ(steps_of(p, StepKind::plane_convolution).size(), 3U);
  EXPECT_TRUE(steps_of(p, StepKind::float_op).empty());  // both additions are tails
  EXPECT_EQ(steps_of(p, StepKind::bucketize).size(), 2U);
  EXPECT_EQ(step_named(p, "conv2").inputs.size(), 2U);
}

TEST(LowerPlanes, ChannelsThatFallAreMinimaBehindThePool) {
  PlaneBuilder b(9);
  std::string x = b.quantized(b.input({2, 4, 8, 8}), "q1", two_bits);
  x = b.affine(b.pool(b.conv("conv1", x, b.sign_planes("w1", {16, 4, 3, 3}, 2))), "bn1", 16);
  x = b.quantized(x, "q2", three_bits);
  b.graph.outputs = {b.conv("conv2", x, b.sign_planes("w2", {3, 16, 3, 3}, 2))};
  const Program p = lowered(b);
  const Step pool = only(p, StepKind::max_pool);
  const Floats a = b.graph.initializers.at("bn1.a").to_float();
  ASSERT_EQ(pool.min_channels.size(), a.size());
  for (std::size_t c = 0; c < a.size(); ++c) EXPECT_EQ(pool.min_channels[c] != 0, a[c] < 0);
}

TEST(LowerPlanes, APoolThatNoQuantizerFollowsStaysFloat) {
  PlaneBuilder b(10);
  const std::string x = b.quantized(b.input({2, 4, 8, 8}), "q1", two_bits);
  b.graph.outputs = {b.affine(b.pool(b.conv("conv1", x, b.sign_planes("w1", {5, 4, 3, 3}, 2))), "bn1", 5)};
  EXPECT_EQ(only(lowered(b), StepKind::plane_convolution).epilogue.a.size(), 0U);
}

TEST(LowerPlanes, ScaleQuantizersAndSignsBehindTheSums) {
  for (const bool sign : {false, true}) {
    PlaneBuilder b(11);
    std::string x = b.quantized(b.input({2, 4, 8, 8}), "q1", two_bits);
    x = b.affine(b.conv("conv1", x, b.sign_planes("w1", {40, 4, 3, 3}, 2)), "bn1", 40);
    x = sign ? b.own("Sign", {x}, "codes")
             : b.own("Quantize", {x, b.list("scale", {0.11F})}, "codes",
                     {{"min", std::int64_t{-8}}, {"max", std::int64_t{7}}, {"bits", std::int64_t{4}}});
    b.graph.outputs = {b.conv("conv2", x, b.sign_planes("w2", {3, 40, 3, 3}, 2))};
    EXPECT_EQ(step_named(lowered(b), "conv1").epilogue.kind, Epilogue::Kind::requantize);
  }
}

TEST(LowerPlanes, IntegerLayersMakeSuchCodesByThresholds) {
  PlaneBuilder b(12);
  std::string x = b.own("Quantize", {b.input({2, 4, 8, 8}), b.list("scale", {0.25F})}, "codes",
                        {{"min", std::int64_t{0}}, {"max", std::int64_t{7}}, {"bits", std::int64_t{3}}});
  x = b.affine(b.conv("conv1", x, b.bit_planes("w1", {5, 4, 3, 3}, 2, {1, 2}, {-2})), "bn1", 5, 0.05F);
  x = b.quantized(b.relu(x), "q", three_bits);
  b.graph.outputs = {b.conv("conv2", x, b.sign_planes("w2", {3, 5, 3, 3}, 2))};
  const Program p = lowered(b);
  EXPECT_EQ(step_named(p, "conv1").epilogue.kind, Epilogue::Kind::thresholds);
  EXPECT_EQ(step_named(p, "conv2").kind, StepKind::plane_convolution);
  // Codes that Bucketize made and no Levels follows are integers like any others.
  PlaneBuilder c(13);
  x = c.codes(c.input({2, 4, 8, 8}), "q", {0, 1, 2, 3});
  c.graph.outputs = {c.conv("conv1", x, c.bit_planes("w1", {5, 4, 3, 3}, 2, {1, 2}, {-2}))};
  EXPECT_EQ(step_named(lowered(c), "conv1").kind, StepKind::convolution);
}

TEST(LowerPlanes, WhatHasNoPlanesStaysFloatAndSaysWhy) {
  PlaneBuilder b(14);
  const std::string image = b.input({2, 4, 6, 6});
  const std::string x = b.quantized(image, "q1", two_bits);
  Floats odd = b.floats(16, 0.1F, 3);
  std::sort(odd.begin(), odd.end());
  const std::string y = b.quantized(image, "q2", odd);
  const std::string w = b.graph.add_initializer("w2", Tensor::of<float>({3, 4, 1, 1}, b.floats(12, -1, 1)));
  b.graph.outputs = {
      b.conv("weights", x, b.codebook("w1", {3, 4, 3, 3}, 4, 16, odd)),
      b.conv("float", x, w, {0, 0, 0, 0}),
      b.conv("levels", y, b.sign_planes("w3", {3, 4, 3, 3}, 2)),
      b.graph.add("GlobalAveragePool", {x}, {}, "average"),
  };
  const Program p = lowered(b);
  EXPECT_TRUE(steps_of(p, StepKind::plane_convolution).empty());
  EXPECT_THAT(step_named(p, "weights").note, HasSubstr("weight levels are no sums of planes"));
  EXPECT_EQ(step_named(p, "float").note, "weights are float");
  EXPECT_THAT(step_named(p, "levels").note, HasSubstr("levels of the input are no sums of planes"));
}

TEST(LowerPlanes, EightLevelsThatAreNoSumsTakeAPlaneEach) {
  PlaneBuilder b(15);
  Floats odd = b.floats(8, 0.1F, 3);
  std::sort(odd.begin(), odd.end());
  const std::string x = b.quantized(b.input({2, 4, 6, 6}), "q", odd);
  b.graph.outputs = {b.conv("conv", x, b.sign_planes("w", {3, 4, 3, 3}, 2))};
  const Step step = only(lowered(b), StepKind::plane_convolution);
  EXPECT_EQ(step.planes.code_planes(), 7);
  EXPECT_EQ(step.planes.code_offset, odd[0]);
}

TEST(LowerPlanes, ACodebookOfThreeBitsTakesAPlaneALevelAndKeepsItsName) {
  PlaneBuilder b(16);
  const std::string x = b.quantized(b.input({2, 4, 6, 6}), "q", two_bits);
  b.graph.outputs = {b.conv("conv", x, b.codebook("w", {3, 4, 3, 3}, 3, 8, b.floats(8, -2, 3)))};
  const Step step = only(lowered(b), StepKind::plane_convolution);
  EXPECT_EQ(step.weights.bits, 7);
  EXPECT_EQ(step.weights.nominal_bits, 3);
  EXPECT_EQ(step.planes.weight_offset.size(), 3U);
}

TEST(PlaneForm, FindsTheBasisOfSums) {
  using lower_room::drop_offsets, lower_room::planes_of_levels, lower_room::PlaneForm;
  Random random(3);
  for (int bits = 1; bits <= 8; ++bits) {
    for (const float offset : {0.0F, -0.6F}) {
      Floats basis;
      for (int k = 0; k < bits; ++k) basis.push_back(random.uniform(0.1F, 1) * static_cast<float>(1 << k));
      const Floats levels = PlaneBuilder::sums(basis, offset);
      const auto form = planes_of_levels(levels);
      ASSERT_TRUE(form.has_value()) << bits;
      ASSERT_EQ(form->planes(), bits);
      for (std::size_t code = 0; code < levels.size(); ++code) {
        double level = static_cast<double>(form->offset);
        for (int k = 0; k < bits; ++k)
          if ((form->pattern[code] >> k & 1) != 0)
            level += static_cast<double>(form->scale[static_cast<std::size_t>(k)]);
        EXPECT_NEAR(level, static_cast<double>(levels[code]), 1e-6 * (1 << bits));
      }
    }
  }
  // The sheet's quantizer: levels +-0.9, +-0.3 are signs with the basis (0.3, 0.6).
  PlaneForm form = *planes_of_levels(Floats{-0.9F, -0.3F, 0.3F, 0.9F});
  drop_offsets({&form, 1});
  EXPECT_TRUE(form.signs);
  EXPECT_EQ(form.offset, 0);
  EXPECT_FLOAT_EQ(form.scale[0], 0.3F);
  EXPECT_FLOAT_EQ(form.scale[1], 0.6F);
  // Constant levels, and zeros, are planes too.
  EXPECT_TRUE(planes_of_levels(Floats{0, 0, 0, 0}).has_value());
  EXPECT_TRUE(planes_of_levels(Floats{0.5F, 0.5F}).has_value());
  EXPECT_FALSE(planes_of_levels(Floats{0, 1, 3, 4, 9, 11, 17, 18, 20, 21, 24, 25, 30, 31, 37, 39}).has_value());
}

TEST(PlaneForm, SignedIntegersAreTwosComplement) {
  using lower_room::planes_of_integers;
  EXPECT_EQ(planes_of_integers(0, 5, 0.5F, 0).scale, (Floats{0.5F, 1, 2}));
  EXPECT_EQ(planes_of_integers(-4, 3, 0.5F, 0).scale, (Floats{0.5F, 1, -2}));
  EXPECT_EQ(planes_of_integers(-5, 1, 1, 0).scale, (Floats{1, 2, 4, -8}));
  EXPECT_EQ(planes_of_integers(0, 255, 1, 0).planes(), 8);
  const lower_room::PlaneForm form = planes_of_integers(-2, 1, 1, 0);
  EXPECT_EQ(form.pattern, (std::vector<std::uint8_t>{2, 3, 0, 1}));
}

}  // namespace
}  // namespace nnq::test
