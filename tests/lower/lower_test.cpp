// lower(): what each form of a frozen network becomes, and that every value of the program is the graph's.
#include <gmock/gmock.h>

#include "nnq/error.h"
#include "quantize/weights.h"
#include "support.h"

namespace nnq::test {
namespace {

using ::testing::HasSubstr;
using Ints = std::vector<std::int64_t>;

std::string pad(Builder& b, const std::string& x, float value) {
  const std::string pads = b.graph.add_initializer("pads", Tensor::of<std::int64_t>({8}, Ints{0, 0, 1, 2, 0, 0, 1, 0}));
  return b.graph.add("Pad", {x, pads, b.graph.add_initializer("border", Tensor::scalar(value))}, {}, "pad");
}

Builder padded_signs(float border, bool explicit_pad) {
  Builder b(31);
  std::string x = b.norm("bn1", b.conv("conv1", b.input("image", {2, 2, 5, 6}), 2, 5), 5);
  if (!explicit_pad) {
    b.graph.outputs = {b.conv("conv2", x, 5, 3)};
    return b;
  }
  x = pad(b, x, border);
  const std::string w = b.graph.add_initializer("conv2.weight", dyadic(b.random, {3, 5, 3, 3}, 12, 0.0625F));
  b.graph.outputs = {b.graph.add("Conv", {x, w}, {}, "conv2")};
  return b;
}

/// Weights in buckets, as quantized distillation's: bits + 64 / bucket bits a weight in the file, decoded at load.
TEST(Lower, BucketedWeightsStayPackedInTheFile) {
  for (const auto& [bits, bucket] : {std::pair{2, 256}, {4, 256}, {2, 512}, {1, 100}}) {
    Encoding e;
    e.kind = EncodingKind::codebook;
    e.bits = bits;
    e.shape = {250, 700};
    e.bucket = bucket;
    e.groups = bucket_groups(250 * 700, bucket);
    Random random(9);
    for (int i = 0; i < 250 * 700; ++i) e.codes.push_back(static_cast<std::uint8_t>(random.below(1U << bits)));
    for (int c = 0; c < 1 << bits; ++c) e.table.push_back(static_cast<float>(c) / static_cast<float>((1 << bits) - 1));
    for (std::int64_t g = 0; g < e.groups; ++g) {
      e.low.push_back(random.uniform(-1.0F, 0.0F));
      e.high.push_back(random.uniform(0.0F, 1.0F));
    }
    Graph graph;
    graph.inputs.push_back({"x", ValueType::of(DType::f32, {2, 700})});
    const quantize::FrozenWeight w = quantize::add_weight(graph, e, "w");
    EXPECT_FALSE(w.integers.ok);
    graph.outputs = {graph.add("Gemm", {"x", w.value}, {{"transB", std::int64_t{1}}}, "fc"), w.value};
    Tensor x(DType::f32, {2, 700});
    for (float& v : x.mutable_values<float>()) v = random.uniform(-1.0F, 1.0F);
    const Compared got = compare(graph, {{"x", x}});
    EXPECT_EQ(interpret(graph, {{"x", x}})[1], e.decode());
    const double expected = 250 * 700 * (bits + 64.0 / bucket) / 8;
    const auto size = static_cast<double>(serialize_program(got.program).size());
    EXPECT_GE(size, expected);
    EXPECT_LE(size, expected * 1.02 + 2000) << "tables, names and alignment";
  }
}

TEST(Lower, BordersOfSignsAreStatedAndExact) {
  for (const float border : {-1.0F, 1.0F}) {
    const Compared got = compare(padded_signs(border, true), bits(1, 1));
    const Step& step = step_named(got.program, "conv2");
    EXPECT_EQ(step.kind, StepKind::convolution);
    EXPECT_EQ(step.pad_value, static_cast<std::int32_t>(border));
    EXPECT_EQ(step.window.pad_top, 1);
    EXPECT_EQ(step.window.pad_left, 2);
    EXPECT_EQ(step.window.pad_bottom, 1);
    EXPECT_EQ(step.window.pad_right, 0);
    EXPECT_EQ(steps_of(got.program, StepKind::float_op).size(), 0u);
  }
  const Compared zeros = compare(padded_signs(0, false), bits(1, 1));  // the convolution's own pads: 0 is no sign
  const Step& step = step_named(zeros.program, "conv2");
  EXPECT_EQ(step.kind, StepKind::convolution);
  EXPECT_EQ(step.pad_value, 0);
  EXPECT_EQ(step.window.pad_right, 1);
}

TEST(Lower, BordersOfCodes) {
  for (const float border : {0.0F, 0.5F, 1.0F}) {
    Builder b(32);
    std::string x = b.relu(b.conv("conv1", b.input("image", {1, 2, 5, 5}), 2, 4));
    b.graph.outputs = {b.conv("conv2", pad(b, x, border), 4, 3, 1)};
    compare(b, bits(3, 4));
  }
}

Builder residual(bool down) {
  Builder b(33);
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("image", {1, 3, 6, 6}), 3, 4), 4));
  std::string y = b.relu(b.norm("bn1", b.conv("conv1", x, 4, 4), 4));
  y = b.norm("bn2", b.conv("conv2", y, 4, 4), 4);
  const std::string shortcut = down ? b.norm("bn4", b.conv("down", x, 4, 4, 1), 4) : x;
  x = b.relu(b.graph.add("Add", {y, shortcut}, {}, "add"));
  b.graph.outputs = {b.conv("conv4", x, 4, 3)};
  return b;
}

TEST(Lower, ResidualAddsJoinTheEpilogue) {
  for (const bool down : {false, true}) {
    for (const int activations : {3, 4, 8}) {
      for (const bool adds : {false, true}) {
        SCOPED_TRACE(std::to_string(down) + " A" + std::to_string(activations) + (adds ? " adds" : ""));
        const Compared got = compare(residual(down), bits(4, activations, adds));
        if (adds || !down) continue;  // a shortcut of floats is added in float; codes: see the next test
        int joined = 0;
        for (const Step* step : steps_of(got.program, StepKind::convolution)) {
          if (step->epilogue.residual_a.empty()) continue;
          ++joined;
          EXPECT_EQ(step->inputs.size(), 2u);
          EXPECT_EQ(step->epilogue.kind, Epilogue::Kind::requantize);
          EXPECT_THAT(step->note, HasSubstr("residual"));
        }
        EXPECT_EQ(joined, 1);
        EXPECT_EQ(steps_of(got.program, StepKind::float_op).size(), 0u);
      }
    }
  }
}

TEST(Lower, QuantizedAddsReadCodesOnBothSides) {
  const Graph graph = frozen(residual(true), bits(4, 4, true));
  const Compared got = compare(graph, residual(true).feeds);
  std::set<std::string> codes;
  for (const ProgramValue& v : got.program.values) {
    if (v.kind == ValueKind::codes) codes.insert(v.name);
  }
  for (const Node& node : graph.nodes) {
    if (node.op != "Add") continue;
    for (const std::string& input : node.inputs) EXPECT_TRUE(codes.contains(input)) << input;
  }
}

TEST(Lower, TheFirstLayerReadsEightBits) {
  Builder b(34);
  std::string x = b.norm("bn1", b.conv("conv1", b.input("image", {2, 3, 6, 6}), 3, 5), 5);
  b.graph.outputs = {b.conv("conv2", x, 5, 3)};
  PlacementOptions options = bits(1, 1);
  options.rules.push_back({"first", {"bnn", 1, {}}, {"uniform", 8, {}}, {}});
  const Compared got = compare(b, options);
  const auto quantize = steps_of(got.program, StepKind::quantize);
  ASSERT_EQ(quantize.size(), 1u);
  const CodeType code = got.program.values[static_cast<std::size_t>(quantize[0]->outputs[0])].code;
  EXPECT_EQ(code.bits, 8);
  EXPECT_FALSE(code.sign);
  EXPECT_EQ(code.max - code.min, 255);
  EXPECT_EQ(step_named(got.program, "conv1").inputs[0], quantize[0]->outputs[0]);
  EXPECT_TRUE(got.program.values[static_cast<std::size_t>(step_named(got.program, "conv1").outputs[0])].code.sign);
}

TEST(Lower, FloatOperatorsBetweenIntegerRegionsStayAndSayWhy) {
  Builder b(35);
  std::string x = b.norm("bn1", b.conv("conv1", b.input("image", {1, 3, 6, 6}), 3, 4), 4);
  x = b.graph.add("Sigmoid", {x}, {}, "gate");
  x = b.norm("bn2", b.conv("conv2", x, 4, 4), 4);
  x = b.graph.add("Softmax", {x}, {{"axis", std::int64_t{1}}}, "soft");
  b.graph.outputs = {b.conv("conv3", x, 4, 2)};
  const Compared got = compare(b, bits(4, 4));
  EXPECT_EQ(steps_of(got.program, StepKind::convolution).size(), 3u);
  EXPECT_EQ(steps_of(got.program, StepKind::quantize).size(), 3u);
  int found = 0;
  for (const Step* step : steps_of(got.program, StepKind::float_op)) {
    EXPECT_FALSE(step->note.empty()) << step->name;
    if (step->node.op == "Sigmoid" || step->node.op == "Softmax") ++found;
  }
  EXPECT_EQ(found, 2);
}

TEST(Lower, FloatLayersSayWhatIsMissing) {
  Builder b(36);
  std::string x = b.relu(b.conv("conv1", b.input("image", {1, 3, 6, 6}), 3, 4));
  b.graph.outputs = {b.conv("conv2", x, 4, 2)};
  EXPECT_THAT(step_named(compare(b, bits(4, 8)).program, "conv2").note, testing::Not(HasSubstr("float")));
  PlacementOptions weights_only{{{"*", {"uniform", 4, {}}, {}, {}}}, false};
  EXPECT_THAT(step_named(compare(b, weights_only).program, "conv2").note, HasSubstr("input is float"));
  PlacementOptions activations_only{{{"*", {}, {"uniform", 4, {}}, {}}}, false};
  EXPECT_THAT(step_named(compare(b, activations_only).program, "conv2").note, HasSubstr("weights are float"));
}

TEST(Lower, SeveralInputsAndOutputs) {
  Builder b(37);
  const std::string left = b.input("left", {2, 3, 6, 6}), right = b.input("right", {2, 2, 6, 6});
  const std::string x = b.relu(b.norm("bn1", b.conv("conv1", left, 3, 4), 4)),
                    y = b.relu(b.norm("bn2", b.conv("conv2", right, 2, 4), 4));
  const std::string joined = b.relu(b.graph.add("Add", {x, y}, {}, "add"));
  b.graph.outputs = {b.conv("conv3", joined, 4, 2), x, b.conv("conv4", y, 4, 3, 1, true), right};
  for (const bool adds : {false, true}) {
    const Compared got = compare(b, bits(3, 4, adds));
    ASSERT_EQ(got.program.inputs.size(), 2u);
    ASSERT_EQ(got.program.outputs.size(), 4u);
    EXPECT_EQ(got.program.values[static_cast<std::size_t>(got.program.inputs[0])].name, "left");
    EXPECT_EQ(got.program.values[static_cast<std::size_t>(got.program.inputs[1])].name, "right");
  }
}

TEST(Lower, FreeBatchHeightAndWidth) {
  Builder b(38);
  std::string x = b.relu(b.norm("bn1", b.conv("conv1", b.input("image", {1, 3, 8, 8}), 3, 4), 4));
  x = b.graph.add("GlobalAveragePool", {b.conv("conv2", b.max_pool(x), 4, 5)}, {}, "gap");
  b.graph.outputs = {b.gemm("fc", b.graph.add("Flatten", {x}, {}, "flat"), 5, 3, true)};
  b.graph.inputs[0].type.shape = {Dim("N"), Dim(3), Dim("H"), Dim("W")};
  const Graph graph = frozen(b, bits(4, 4));
  for (const Shape& shape : {Shape{1, 3, 8, 8}, Shape{3, 3, 5, 10}, Shape{2, 3, 2, 2}}) {
    const Compared got = compare(graph, {{"image", dyadic(b.random, shape, 32, 0.0625F)}});
    const SymbolicShape& kept = got.program.values[static_cast<std::size_t>(got.program.inputs[0])].type.shape;
    EXPECT_EQ(kept[0].symbol, "N");
    EXPECT_EQ(kept[2].symbol, "H");
    EXPECT_EQ(steps_of(got.program, StepKind::convolution).size(), 2u);
  }
}

TEST(Lower, FlattenedImagesReorderTheirWeights) {
  for (const bool transposed : {false, true}) {
    Builder b(39);
    std::string x = b.relu(b.norm("bn1", b.conv("conv1", b.input("image", {3, 2, 4, 6}), 2, 5), 5));
    x = b.graph.add("Flatten", {b.max_pool(x)}, {}, "flat");
    b.graph.outputs = {b.gemm("fc", x, 5 * 2 * 3, 7, transposed)};
    const Compared got = compare(b, bits(3, 4));
    ASSERT_EQ(steps_of(got.program, StepKind::dense).size(), 1u);
    EXPECT_EQ(steps_of(got.program, StepKind::float_op).size(), 0u);
  }
}

TEST(Lower, PlanesNothingNeedsAreDropped) {
  // Eight-bit weights that use multiples of 4 between -4 and 8: two bits hold them.
  Builder b(40);
  b.graph.outputs = {b.conv("conv1", b.input("image", {1, 2, 5, 5}), 2, 3)};
  int i = 0;
  for (float& v : b.graph.initializers.at("conv1.weight").mutable_values<float>())
    v = static_cast<float>(i++ % 4) - 1.0F;
  const Compared got = compare(b, bits(8, 8));
  const Step& step = step_named(got.program, "conv1");
  EXPECT_EQ(step.weights.bits, 2);
  EXPECT_EQ(step.weights.nominal_bits, 8);
  EXPECT_EQ(step.weights.offset, -4);
  EXPECT_EQ(step.weights.plane_scale, (std::vector<std::int32_t>{4, 8}));
  EXPECT_EQ(static_cast<std::int64_t>(step.weights.owned->size()), 2 * ((2 * 3 * 9 + 7) / 8));
}

TEST(Lower, SumsBeyondTheExactRangeAreRefusedByName) {
  Builder b(41);
  b.graph.outputs = {b.gemm("wide", b.input("x", {1, 1200}), 1200, 2, true)};
  const Graph graph = frozen(b, bits(8, 8));
  Graph wide = graph;  // freeze() refuses, too: lower() must not take its word
  Builder w(42);
  w.input("x", {1, 1200});
  Tensor weights(DType::f32, {2, 1200});
  for (float& v : weights.mutable_values<float>()) v = -128;
  const auto gemm = std::find_if(wide.nodes.begin(), wide.nodes.end(), [](const Node& n) { return n.op == "Gemm"; });
  ASSERT_NE(gemm, wide.nodes.end());
  gemm->inputs[1] = wide.add_initializer("large", weights);
  try {
    lower(wide);
    FAIL() << "was lowered";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("layer '" + gemm->name + "'"));
    EXPECT_THAT(e.what(), HasSubstr("2^24"));
  }
  // One step below the limit is taken: 127 * 128 * 1032 < 2^24 <= 128 * 128 * 1200.
  for (std::int64_t i = 0; i < weights.count(); ++i) weights.mutable_as<float>()[i] = i % 1200 < 1023 ? -128.0F : 0.0F;
  wide.initializers.at(gemm->inputs[1]) = weights;
  compare(wide, {{"x", dyadic(w.random, {1, 1200}, 1024, 0.0625F)}});
}

TEST(Lower, TrainingQuantizersAreRefused) {
  Builder b(43);
  b.graph.outputs = {b.conv("conv1", b.input("image", {1, 2, 5, 5}), 2, 3)};
  EXPECT_THROW(lower(place_quantizers(b.graph, bits(4, 4))), Error);
}

TEST(Lower, AFloatGraphLowersToFloatOperators) {
  const Builder b = residual(true);
  const Compared got = compare(b.graph, b.feeds);
  EXPECT_EQ(steps_of(got.program, StepKind::float_op).size(), got.program.steps.size());
  EXPECT_EQ(got.integers, 0);
}

/// Codes that no weight uses must stand for 8-bit integers too, or the file is refused when it is loaded.
TEST(Lower, WeightsOfAnyEightBitRangeArePackedAndLoad) {
  using Values = std::vector<float>;
  for (const Values& values : {Values{-127, 0, 3, 127}, Values{-128, 0, 3, 127}, Values{-100, 1, 2, 126},
                               Values{-3, 61, 125, -3}, Values{-60, 10, 80, -60}, Values{-1, 1, 1, -1}}) {
    Builder b(5);
    const std::string x = b.input("x", {3, 2});
    const std::string scale = b.graph.add_initializer("scale", Tensor::of<float>({1}, {0.125F}));
    const std::string codes = b.graph.add(
        "Quantize", {x, scale}, {{"min", std::int64_t{0}}, {"max", std::int64_t{15}}, {"bits", std::int64_t{4}}},
        "codes", kNnqDomain);
    const std::string weight = b.graph.add_initializer("weight", Tensor::of<float>({2, 2}, values));
    b.graph.outputs = {b.graph.add("Gemm", {codes, weight}, {{"transB", std::int64_t{1}}}, "fc")};
    const Compared compared = compare(b.graph, b.feeds);
    const Step& fc = step_named(compared.program, "fc");
    ASSERT_EQ(fc.kind, StepKind::dense);
    const std::vector<std::int8_t> unpacked = fc.weights.unpack();
    EXPECT_EQ(Values(unpacked.begin(), unpacked.end()), values);
    EXPECT_LE(fc.weights.bits, 8);
  }
}

}  // namespace
}  // namespace nnq::test
