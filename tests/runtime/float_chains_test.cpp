// Float steps behind integer sums run as chains: the interpreter's bits, whatever reads what in between.
#include "runtime/float_chains.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/random.h"
#include "runtime/interpreters_bits.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

/// A program of sums of images, and float steps behind them; values by number.
struct ChainProgram {
  ChainProgram(std::uint64_t seed, std::int64_t channel_count, std::int64_t height, std::int64_t width)
      : random(seed),
        channels(channel_count),
        shape{2, channel_count, height, width},
        x(DType::f32, {2, 3, height, width}) {
    p.inputs = {p.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, x.shape()), {}})};
    for (float& v : x.mutable_values<float>()) v = random.uniform(-1.5F, 1.5F);
    image = quantized(p.inputs[0], x.shape(), {.min = -8, .max = 7, .bits = 4}, 0.125F);
  }
  std::int32_t value(ValueKind kind, const CodeType& code = {}) { return value(kind, shape, code); }
  std::int32_t value(ValueKind kind, const Shape& of, const CodeType& code) {
    return p.add_value({"v" + std::to_string(p.values.size()), kind, ValueType::of(DType::f32, of), code});
  }
  Step& step(StepKind kind, std::vector<std::int32_t> inputs, std::int32_t output) {
    Step s;
    s.kind = kind;
    s.name = std::string(name_of(kind)) + std::to_string(p.steps.size());
    s.inputs = std::move(inputs);
    s.outputs = {output};
    return p.steps.emplace_back(std::move(s));
  }
  std::int32_t quantized(std::int32_t v, const Shape& of, const CodeType& code, float scale) {
    const std::int32_t codes = value(ValueKind::codes, of, code);
    step(StepKind::quantize, {v}, codes).scale = scale;
    return codes;
  }
  /// A 1 x 1 convolution of codes with 2-bit weights: sums.
  std::int32_t sums_of(std::int32_t codes, std::int64_t inputs) {
    const std::int32_t sums = value(ValueKind::accumulator);
    Step& s = step(StepKind::convolution, {codes}, sums);
    std::vector<std::uint8_t> planes(static_cast<std::size_t>((channels * inputs + 7) / 8 * 2));
    for (std::uint8_t& byte : planes) byte = static_cast<std::uint8_t>(random.next());
    s.weights = testing::packed(2, -2, {1, 2}, planes, channels * inputs);
    s.out_channels = channels, s.in_channels = inputs;
    return sums;
  }
  std::int32_t sums() { return sums_of(image, 3); }
  std::int32_t dequantized(std::int32_t sums_or_codes) {
    const std::int32_t y = value(ValueKind::tensor);
    Step& s = step(StepKind::dequantize, {sums_or_codes}, y);
    const auto n = static_cast<std::size_t>(random.below(4) == 0 ? 1 : channels);
    for (auto* list : {&s.epilogue.a, &s.epilogue.b}) {
      for (std::size_t c = 0; c < n; ++c) {
        const float special[] = {0.0F, -0.0F, 0.25F, -0.5F};
        list->push_back(random.below(3) == 0 ? special[random.below(4)] : random.uniform(-0.3F, 0.3F));
      }
    }
    return y;
  }
  std::int32_t start() { return dequantized(sums()); }
  std::int32_t op(const char* name, std::vector<std::int32_t> inputs) {
    const std::int32_t y = value(ValueKind::tensor);
    Step& s = step(StepKind::float_op, inputs, y);
    s.node = Node{.name = s.name, .op = name, .domain = "", .inputs = {}, .outputs = {}, .attributes = {}};
    for (const std::int32_t v : inputs) s.node.inputs.push_back(p.values[static_cast<std::size_t>(v)].name);
    s.node.outputs = {p.values[static_cast<std::size_t>(y)].name};
    s.opset = kOnnxOpset;
    return y;
  }
  std::int32_t add(std::int32_t a, std::int32_t b) { return op("Add", {a, b}); }
  std::int32_t relu(std::int32_t v) { return op("Relu", {v}); }
  void out(std::int32_t v) {
    if (std::find(p.outputs.begin(), p.outputs.end(), v) == p.outputs.end()) p.outputs.push_back(v);
  }
  /// Codes of a float value and, as an output, their floats.
  void codes(std::int32_t v, const CodeType& code, float scale = 0.25F) {
    out(dequantized(quantized(v, shape, code, scale)));
  }
  void signs(std::int32_t v) { codes(v, sign); }
  /// Signs that a layer without a binary form reads: bytes.
  void sign_bytes(std::int32_t v) { out(dequantized(sums_of(quantized(v, shape, sign, 1), channels))); }
  void bytes(std::int32_t v) { codes(v, {.min = -128, .max = 127, .bits = 8}, 0.0625F); }

  /// Compares, and gives the kernels that ran, sorted.
  std::vector<std::string> kernels(const std::string& what) {
    EXPECT_TRUE(check_program(p).ok()) << check_program(p).message();
    expect_interpreters_bits(p, {x}, what);
    std::shared_ptr<const Model> model;
    std::unique_ptr<Session> session;
    std::vector<Tensor> outputs;
    setenv("NNQ_ISA", "portable", 1);
    EXPECT_TRUE(Model::from_program(p, model).ok() && Session::create(model, {}, session).ok() &&
                session->run({&x, 1}, outputs).ok());
    unsetenv("NNQ_ISA");
    std::vector<std::string> found;
    for (const StepInfo& info : session->steps())
      if (info.kernel.find("conv") == std::string::npos && info.kernel != "dequantize" && info.name != "quantize0")
        found.push_back(info.kernel);
    std::sort(found.begin(), found.end());
    return found;
  }

  static constexpr CodeType sign{.sign = true, .min = -1, .max = 1, .bits = 1};
  Random random;
  Program p;
  std::int64_t channels;
  Shape shape;
  Tensor x;
  std::int32_t image = -1;
};

using Kernels = std::vector<std::string>;

TEST(FloatChains, AResidualBlockIsOneStepAndKeepsChannelsLast) {
  for (const std::int64_t channels : {5, 32, 70}) {
    ChainProgram c(1, channels, 5, 7);
    const std::int32_t stem = c.relu(c.start());
    const std::int32_t first = c.add(stem, c.start());  // either operand may be the sums'
    const std::int32_t y = c.relu(first);
    c.signs(first);
    c.bytes(y);
    const std::int32_t last = c.relu(c.add(c.start(), y));
    c.out(last);
    EXPECT_EQ(c.kernels("block"), (Kernels{"dequantize_add_bits_relu_bytes_portable", "dequantize_add_relu_portable",
                                           "dequantize_relu_portable"}));
  }
}

TEST(FloatChains, TwoSumsAreAddedInOne) {
  ChainProgram c(2, 9, 8, 8);
  const std::int32_t y = c.add(c.start(), c.start());
  c.signs(y);
  c.sign_bytes(y);
  EXPECT_EQ(c.kernels("shortcut"), (Kernels{"dequantize_add_bits_bytes_portable", "dequantize_portable"}))
      << "the second one makes the last layer's sums an output";
}

/// Codes made before the Relu stands in the program may be read before it.
TEST(FloatChains, AChainRunsWhereItsLastInputIs) {
  ChainProgram c(3, 33, 5, 5);
  const std::int32_t y = c.add(c.start(), c.start());
  c.signs(y);
  const std::int32_t other = c.start();
  c.out(c.relu(c.add(other, c.relu(y))));
  EXPECT_EQ(c.kernels("order"), (Kernels{"dequantize_add_bits_relu_portable", "dequantize_add_relu_portable"}));
}

TEST(FloatChains, FloatsThatOthersReadLieAsTheyKnowThem) {
  ChainProgram output(4, 9, 5, 7);
  const std::int32_t y = output.relu(output.start());
  output.out(y);
  output.out(output.add(output.start(), y));
  EXPECT_EQ(output.kernels("an output"), (Kernels{"add_float", "dequantize_portable", "dequantize_relu_portable"}));

  ChainProgram reader(5, 9, 5, 7);
  const std::int32_t z = reader.relu(reader.start());
  reader.out(reader.op("Neg", {z}));
  reader.out(reader.add(reader.start(), z));
  EXPECT_EQ(reader.kernels("another reader"),
            (Kernels{"add_float", "dequantize_portable", "dequantize_relu_portable", "reference"}));

  ChainProgram twice(6, 9, 5, 7);
  const std::int32_t d = twice.start();
  twice.out(twice.add(d, d));
  EXPECT_EQ(twice.kernels("added to itself"), (Kernels{"add_float", "dequantize_portable"}));

  ChainProgram bytes(7, 9, 5, 7);
  const std::int32_t b = bytes.start();
  bytes.bytes(b);
  bytes.out(bytes.relu(b));
  EXPECT_EQ(bytes.kernels("bytes before a Relu"), (Kernels{"dequantize_bytes_portable", "relu_float"}));
}

/// Floats at random: sums, adds, Relus, quantizers and outputs of whatever there is.
TEST(FloatChains, RandomPrograms) {
  int longer = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    Random choose(seed);
    const std::int64_t sizes[] = {1, 4, 9};
    ChainProgram c(seed, 1 + static_cast<std::int64_t>(choose.below(40)), sizes[choose.below(3)],
                   sizes[choose.below(3)]);
    std::vector<std::int32_t> floats{c.start(), c.start()};
    const auto any = [&] {  // late ones first: chains
      const std::size_t back = std::min(choose.below(floats.size()), choose.below(floats.size()));
      return floats[floats.size() - 1 - back];
    };
    for (int i = 0; i < 12; ++i) {
      switch (choose.below(8)) {
        case 0:
          floats.push_back(c.start());
          break;
        case 1:
        case 2:
          floats.push_back(c.add(any(), any()));
          break;
        case 3:
        case 4:
          floats.push_back(c.relu(any()));
          break;
        case 5:
          c.signs(any());
          break;
        case 6:
          c.bytes(any());
          break;
        default:
          choose.below(3) == 0 ? c.out(any()) : c.sign_bytes(any());
      }
    }
    c.out(floats.back());
    for (const std::string& kernel : c.kernels("seed " + std::to_string(seed)))
      longer += std::count(kernel.begin(), kernel.end(), '_') > 2 && kernel.rfind("dequantize_", 0) == 0 ? 1 : 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(longer, 50) << "chains of several steps";
}

}  // namespace
}  // namespace nnq::test
