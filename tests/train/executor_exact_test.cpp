// Deployable graphs (docs/quantized-graph.md): LibTorch and the reference interpreter give the same bits in every
// value.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "train/threads.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

using Ints = std::vector<std::int64_t>;

/// Random networks of integer layers.
class FrozenWriter {
 public:
  explicit FrozenWriter(unsigned seed) : random_(seed) {}

  Graph build(const Shape& input) {
    shape_ = input;
    std::string x = writer_.input("x", input);
    x = quantize(x);
    const int layers = pick(2, 5);
    for (int i = 0; i < layers; ++i) x = layer(x);
    x = writer_.node("Flatten", {writer_.node("GlobalAveragePool", {x})});
    x = quantize(writer_.node("Affine", {x, coefficients(1, 0.2f, 3), coefficients(1, -1, 1)}, {}, kNnqDomain));
    const std::string w = weight({10, shape_[1]});
    x = writer_.node("Gemm", {x, w}, {{"transB", std::int64_t{1}}});
    writer_.graph.outputs = {
        writer_.node("Affine", {x, coefficients(10, -1, 1), coefficients(10, -1, 1)}, {}, kNnqDomain)};
    return std::move(writer_.graph);
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  std::string coefficients(std::int64_t count, float low, float high) {
    return writer_.constant(testing::random_floats({count}, random_, low, high));
  }

  /// Codes of 1 to 8 bits, signed or not, or signs.
  std::string quantize(const std::string& x) {
    const int bits = pick(0, 8);
    largest_ = 1;
    sign_ = bits == 0;
    if (sign_) return writer_.node("Sign", {x}, {}, kNnqDomain);
    const bool is_signed = pick(0, 1) == 1 && bits > 1;
    const std::int64_t low = is_signed ? -(1 << (bits - 1)) : 0, high = low + (1 << bits) - 1;
    largest_ = std::max(-low, high);
    const std::string scale = coefficients(1, 0.5f / static_cast<float>(largest_), 4.0f / static_cast<float>(largest_));
    return writer_.node("Quantize", {x, scale}, {{"min", low}, {"max", high}, {"bits", std::int64_t{bits}}},
                        kNnqDomain);
  }

  /// Packed weights: -1/+1 or 2 to 8 bits with a zero point, few enough bits for exact sums.
  std::string weight(const Shape& shape) {
    const std::int64_t count = *checked_count(shape), fan_in = count / shape[0];
    int bits = pick(1, 8);
    while (bits > 1 && static_cast<double>(fan_in * largest_) * std::ldexp(1.0, bits - 1) >= 0x1p23) --bits;
    Tensor planes(DType::u8, {bits, (count + 7) / 8});
    for (std::uint8_t& byte : planes.mutable_values<std::uint8_t>()) byte = static_cast<std::uint8_t>(pick(0, 255));
    std::vector<float> scale;
    for (int k = 0; k < bits; ++k) scale.push_back(bits == 1 ? 2.0f : static_cast<float>(1 << k));
    const float offset = bits == 1 ? -1.0f : -static_cast<float>(1 << (bits - 1));
    return writer_.node("BitPlanes",
                        {writer_.constant(planes), writer_.constant(Tensor::of<float>({1, bits}, scale)),
                         writer_.constant(Tensor::of<float>({1}, std::vector<float>{offset})), writer_.integers(shape)},
                        {}, kNnqDomain);
  }

  std::string affine(const std::string& s, std::int64_t fan_in) {
    const float scale = 2 / (static_cast<float>(largest_) * std::sqrt(static_cast<float>(fan_in)));
    return writer_.node("Affine", {s, coefficients(shape_[1], -scale, scale), coefficients(shape_[1], -1, 1)}, {},
                        kNnqDomain);
  }

  std::string conv(std::string x, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
    const std::int64_t in = shape_[1], pad = kernel / 2;
    const std::int64_t groups = in == out && pick(0, 3) == 0 ? in : 1;
    Ints pads{pad, pad, pad, pad};
    if (sign_ && pad > 0 && pick(0, 1) == 1) {
      x = writer_.node("Pad", {x, writer_.integers({0, 0, pad, pad, 0, 0, pad, pad}),
                               writer_.constant(Tensor::scalar(pick(0, 1) == 1 ? 1.0f : -1.0f))});
      pads = {0, 0, 0, 0};
    }
    const std::string s = writer_.node("Conv", {x, weight({out, in / groups, kernel, kernel})},
                                       {{"pads", pads}, {"strides", Ints{stride, stride}}, {"group", groups}});
    for (std::size_t d : {2, 3}) shape_[d] = (shape_[d] + 2 * pad - kernel) / stride + 1;
    shape_[1] = out;
    return affine(s, in / groups * kernel * kernel);
  }

  std::string layer(const std::string& x) {
    const int kind = pick(0, 4);
    if (kind == 0 && shape_[2] >= 4) {
      const bool maximum = pick(0, 1) == 1;
      const std::string y = writer_.node(maximum ? "MaxPool" : "AveragePool", {x},
                                         {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
      shape_[2] /= 2;
      shape_[3] /= 2;
      return maximum ? y : quantize(affine(y, 1));
    }
    if (kind == 1) {  // residual
      const std::string y = conv(x, shape_[1], 3, 1);
      const std::string sum = writer_.node("Add", {y, affine(x, 1)});
      return quantize(writer_.node("Relu", {sum}));
    }
    const std::int64_t stride = shape_[2] >= 6 ? pick(1, 2) : 1;
    std::string y = conv(x, std::vector<std::int64_t>{3, 8, 16, 33, 64}[static_cast<std::size_t>(pick(0, 4))],
                         pick(0, 2) == 0 ? 1 : 3, stride);
    if (pick(0, 1) == 1) y = writer_.node("Relu", {y});
    return quantize(y);
  }

  testing::GraphWriter writer_;
  std::mt19937 random_;
  Shape shape_;
  std::int64_t largest_ = 1;
  bool sign_ = false;
};

class Frozen : public ::testing::TestWithParam<unsigned> {};

TEST_P(Frozen, SameBitsAsTheInterpreter) {
  const unsigned seed = GetParam();
  std::mt19937 random(seed + 1000);
  const Shape input{seed % 3 == 0 ? 17 : 2, seed % 2 == 0 ? 3 : 8, 9, 8};
  const Graph graph = FrozenWriter(seed).build(input);
  verify(graph);
  const Tensor x = testing::random_floats(input, random, -3, 3);
  std::map<std::string, Tensor> expected;
  interpret(graph, {{"x", x}}, [&](const std::string& name, const Tensor& value) { expected[name] = value; });
  for (const bool channels_last : {true, false})
    for (const int threads : {1, 2}) {
      set_threads(threads);
      const at::NoGradGuard no_gradient;
      Executor executor(graph, {.channels_last = channels_last});
      EXPECT_TRUE(executor.parameters().empty()) << "codes are no parameters";
      std::size_t compared = 0;
      executor.forward({{"x", to_torch(x)}}, false, [&](const std::string& name, const at::Tensor& value) {
        const auto it = expected.find(name);
        if (it == expected.end()) return;
        ++compared;
        EXPECT_TRUE(it->second == from_torch(value)) << name << " in\n" << to_text(graph);
      });
      EXPECT_GT(compared, 5u);
      // The pass without an observer takes the short cuts (in-place, absorbed).
      EXPECT_TRUE(from_torch(executor.forward({{"x", to_torch(x)}}, false)[0]) == expected.at(graph.outputs[0]));
      if (HasFailure()) return;
    }
  set_threads(0);
}

INSTANTIATE_TEST_SUITE_P(Random, Frozen, ::testing::Range(0u, 40u));

TEST(Exactness, BatchNormalizationInEvaluationHasTheReferenceBits) {
  std::mt19937 random(3);
  testing::GraphWriter writer;
  writer.input("x", {5, 7, 6, 9});
  std::vector<std::string> inputs{"x"};
  for (int i = 0; i < 4; ++i) inputs.push_back(writer.constant(testing::random_floats({7}, random, 0.1f, 2)));
  writer.graph.outputs = {writer.node("BatchNormalization", inputs)};
  const Tensor x = testing::random_floats({5, 7, 6, 9}, random, -4, 4);
  const Tensor expected = interpret(writer.graph, {{"x", x}})[0];
  for (const bool channels_last : {true, false}) {
    const at::NoGradGuard no_gradient;
    Executor executor(writer.graph, {.channels_last = channels_last});
    EXPECT_TRUE(from_torch(executor.forward({{"x", to_torch(x)}}, false)[0]) == expected);
  }
}

/// Ties between codes and their neighbours, for scales whose reciprocal is not exact.
TEST(Exactness, QuantizeIsOneDivisionAndOneRounding) {
  std::vector<float> values{std::nanf(""), INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, 3e38f};
  for (const float scale : {0.1f, 0.3f, 0.7f, 0.013f, 1.0f / 3, 1.0f / 15, 2.9f}) {
    std::vector<float> x = values;
    for (int code = -130; code <= 130; ++code) {
      const float tie = (static_cast<float>(code) + 0.5f) * scale;
      x.insert(x.end(), {tie, std::nextafter(tie, -INFINITY), std::nextafter(tie, INFINITY)});
    }
    const auto count = static_cast<std::int64_t>(x.size());
    testing::GraphWriter writer;
    writer.input("x", {count});
    writer.graph.outputs = {
        writer.node("Quantize", {"x", writer.constant(Tensor::scalar(scale))},
                    {{"min", std::int64_t{-128}}, {"max", std::int64_t{127}}, {"bits", std::int64_t{8}}}, kNnqDomain)};
    const Tensor input = Tensor::of<float>({count}, x), ours = testing::run_torch(writer.graph, {{"x", input}})[0];
    EXPECT_TRUE(ours == interpret(writer.graph, {{"x", input}})[0]) << scale;
    EXPECT_EQ(ours.values<float>()[0], -128.0f);
    EXPECT_EQ(ours.values<float>()[1], 127.0f);
    for (std::size_t i = values.size(); i < x.size(); ++i)
      EXPECT_EQ(ours.values<float>()[i], std::clamp(std::nearbyint(x[i] / scale), -128.0f, 127.0f))
          << x[i] << " / " << scale;
  }
}

}  // namespace
}  // namespace nnq::train
