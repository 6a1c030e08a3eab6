// Fully connected layers of every precision on 1 to 9 rows: the runtime's sums are the interpreter's on every
// instruction set, and weights of up to four bits take no more memory than their bits (and padding to whole blocks).
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "runtime/interpreters_bits.h"
#include "runtime/precision.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

std::vector<Precision> matvec_precisions() {
  const CodeType sign{.sign = true, .min = -1, .max = 1, .bits = 1}, eight{.min = 0, .max = 255, .bits = 8},
      signed_eight{.min = -128, .max = 127, .bits = 8}, signed_four{.min = -8, .max = 7, .bits = 4};
  return {{"W1A1", 1, -1, {2}, sign},
          {"W1A8", 1, -1, {2}, eight},
          {"W2A2", 2, -2, {1, 2}, {.min = 0, .max = 3, .bits = 2}},
          {"W2A8", 2, -2, {1, 2}, eight},
          {"TernaryA8", 2, -1, {1, 1}, signed_eight},
          {"WideTernaryA8", 2, -90, {90, 90}, signed_eight},
          {"W3A8", 3, -4, {1, 2, 4}, signed_eight},
          {"W3OddA4", 3, -7, {2, 4, 8}, signed_four},
          {"W4A8", 4, -8, {1, 2, 4, 8}, eight},
          {"W4SignedA8", 4, -8, {1, 2, 4, 8}, signed_eight},
          {"W4A4", 4, -8, {1, 2, 4, 8}, signed_four},
          {"W5A8", 5, -16, {1, 2, 4, 8, 16}, eight},
          {"W8A8", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, eight},
          {"W8SignedA8", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, signed_eight},
          {"W8A1", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, sign}};
}

/// quantize -> dense -> dequantize of `rows` rows, an image where the shape has rank 4.
Program dense(const Precision& p, Random& random, const Shape& input, std::int64_t out) {
  std::int64_t in = 1;
  for (std::size_t d = 1; d < input.size(); ++d) in *= input[d];
  Program program;
  const ValueType sums = ValueType::of(DType::i32, {input[0], out});
  program.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, input), {}});
  program.add_value({"v", ValueKind::codes, ValueType::of(DType::f32, input), p.code});
  program.add_value({"s", ValueKind::accumulator, sums, {}});
  program.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, {input[0], out}), {}});
  program.inputs = {0};
  program.outputs = {3};
  Step quantize, layer, dequantize;
  quantize.kind = StepKind::quantize;
  quantize.inputs = {0}, quantize.outputs = {1};
  layer.kind = StepKind::dense;
  layer.inputs = {1}, layer.outputs = {2};
  layer.out_channels = out, layer.in_channels = in;
  std::vector<std::uint8_t> planes(static_cast<std::size_t>((in * out + 7) / 8 * p.weight_bits));
  for (std::uint8_t& byte : planes) byte = static_cast<std::uint8_t>(random.next());
  layer.weights = testing::packed(p.weight_bits, p.offset, p.scales, planes, in * out);
  dequantize.kind = StepKind::dequantize;
  dequantize.inputs = {2}, dequantize.outputs = {3};
  dequantize.epilogue.kind = Epilogue::Kind::affine;
  dequantize.epilogue.a = {1}, dequantize.epilogue.b = {0};
  program.steps = {quantize, layer, dequantize};
  return program;
}

class MatvecLayer : public ::testing::TestWithParam<Precision> {};

TEST_P(MatvecLayer, SumsAreTheInterpreters) {
  const Precision& p = GetParam();
  Random random(12, p.name);
  std::set<std::string> kernels;
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.below(n)); };
  for (int round = 0; round < 40; ++round) {
    Shape shape{1 + below(9), 1 + below(400)};
    if (round % 4 == 0) shape = {1 + below(9), 1 + below(40), 1 + below(3), 1 + below(3)};
    const Program program = dense(p, random, shape, 1 + below(70));
    ASSERT_TRUE(check_program(program).ok());
    expect_interpreters_bits(program, {random_codes(p, shape, random)}, to_string(shape), &kernels);
    if (HasFatalFailure()) return;
  }
  for (const std::string& kernel : kernels) std::cout << p.name << " ran " << kernel << "\n";
  EXPECT_GE(kernels.size(), 2U);
}

TEST(MatvecLayerBytes, AreTheBitsOfTheWeights) {
  Random random(3);
  for (const Precision& p : matvec_precisions()) {
    if (p.weight_bits > 4 || p.code.max < 200) continue;
    const Program program = dense(p, random, {1, 1024}, 512);
    std::shared_ptr<const Model> model;
    ASSERT_TRUE(Model::from_program(program, model).ok());
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {}, session).ok());
    std::vector<Tensor> outputs;
    ASSERT_TRUE(session->run(std::vector{random_codes(p, {1, 1024}, random)}, outputs).ok());
    EXPECT_EQ(session->steps()[1].weight_bytes, 512 * 1024 * p.weight_bits / 8) << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Runtime, MatvecLayer, ::testing::ValuesIn(matvec_precisions()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace nnq::test
