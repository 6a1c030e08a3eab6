// Float vectors quantized on line, and LSTM, GRU and products on uniform vectors: the runtime's bits are the
// interpreter's on every instruction set and for every number of threads, and those are docs/program.md worked out by
// hand; damaged programs are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "core/random.h"
#include "kernels/cpu.h"
#include "nnq/runtime.h"
#include "runtime/interpreters_bits.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

enum class Rows { whole, signs, bits };  // of matrices

struct OnLineNetwork {
  bool uniform = true, gru = false, sequence = true;  // sequence: somebody reads the layer's vectors
  std::int64_t inputs = 13, hidden = 9, outputs = 7;
  int weight_bits = 2, vector_bits = 8;
  Rows rows = Rows::whole;
};

/// x [T, N, inputs] -> vectors -> LSTM or GRU -> product and levels.
class OnLineMaker {
 public:
  OnLineMaker(const OnLineNetwork& n, std::uint64_t seed) : n_(n), random_(seed) {}

  Program make() {
    const std::int32_t x = tensor("x", {t_, b_, Dim(n_.inputs)});
    program_.inputs = {x};
    const std::int32_t codes = vectors("x", n_.inputs);
    Step quantize;
    quantize.kind = StepKind::vector_quantize;
    quantize.inputs = {x}, quantize.outputs = {codes, codes + 1};
    set_code(quantize.recurrence);
    program_.steps.push_back(quantize);
    const std::int32_t made = layer(codes);
    if (!n_.sequence) return program_;
    Step dense, levels;
    dense.kind = StepKind::vector_dense, dense.inputs = {made, made + 1};
    dense.outputs = {tensor("y", {t_, b_, Dim(n_.outputs)})};
    dense.out_channels = n_.outputs, dense.in_channels = n_.hidden;
    matrix(n_.outputs, n_.hidden, dense.weights, dense.planes);
    dense.epilogue.b = floats(n_.outputs);
    levels.kind = StepKind::vector_levels, levels.inputs = {made, made + 1};
    levels.outputs = {tensor("levels", {t_, b_, Dim(n_.hidden)})};
    program_.steps.push_back(dense);
    program_.steps.push_back(levels);
    program_.outputs.insert(program_.outputs.end(), {dense.outputs[0], levels.outputs[0]});
    return program_;
  }

 private:
  std::int32_t tensor(const std::string& name, const SymbolicShape& shape) {
    return program_.add_value(
        {name, ValueKind::tensor, {.dtype = DType::f32, .ranked = true, .shape = shape}, CodeType{}});
  }
  std::int32_t vectors(const std::string& name, std::int64_t size) {
    const CodeType code = n_.uniform ? CodeType{.min = -128, .max = 127, .bits = 8}
                                     : CodeType{.min = 0, .max = (1 << n_.vector_bits) - 1, .bits = n_.vector_bits};
    const ValueType type{.dtype = DType::f32, .ranked = true, .shape = {t_, b_, Dim(size)}};
    const std::int32_t codes = program_.add_value({name + ".codes", ValueKind::codes, type, code});
    tensor(name + ".scales", {t_, b_, Dim(std::int64_t{n_.uniform ? 1 : n_.vector_bits})});
    return codes;
  }
  void set_code(Recurrence& r) const {
    r.uniform = n_.uniform;
    r.state_bits = n_.vector_bits;
    r.state_cycles = 2;
  }
  std::vector<float> floats(std::int64_t n) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (float& v : x) v = random_.uniform(-0.5F, 0.5F);
    return x;
  }
  void matrix(std::int64_t rows, std::int64_t columns, PackedWeights& w, RealPlanes& p) {
    const int k = n_.weight_bits;
    std::vector<std::uint8_t> planes(static_cast<std::size_t>((rows * columns + 7) / 8 * k));
    for (std::uint8_t& byte : planes) byte = static_cast<std::uint8_t>(random_.next());
    w = testing::packed(k, 0, {}, planes, rows * columns);
    const bool whole = n_.uniform && n_.rows == Rows::whole;
    p.weight_scale = floats(rows * (whole ? 1 : k));
    p.weight_signs = n_.rows == Rows::signs;
    if (n_.rows == Rows::bits) p.weight_offset = floats(rows);
    if (!whole) return;
    w.offset = -(1 << (k - 1));
    for (int i = 0; i < k; ++i) w.plane_scale.push_back(1 << i);
  }
  std::int32_t layer(std::int32_t from) {
    const std::int32_t codes = vectors("h", n_.hidden);
    Step s;
    s.kind = StepKind::recurrent;
    s.inputs = {from, from + 1};
    s.outputs = {codes, codes + 1};
    for (int i = 0; i < (n_.gru ? 1 : 2); ++i) {
      s.inputs.push_back(tensor("in", {Dim(std::int64_t{1}), b_, Dim(n_.hidden)}));
      s.outputs.push_back(tensor("out", {Dim(std::int64_t{1}), b_, Dim(n_.hidden)}));
      program_.inputs.push_back(s.inputs.back());
      program_.outputs.push_back(s.outputs.back());
    }
    Recurrence& r = s.recurrence;
    set_code(r);
    r.gru = n_.gru;
    r.hidden = n_.hidden;
    s.out_channels = r.gates() * n_.hidden;
    s.in_channels = n_.inputs;
    matrix(s.out_channels, n_.inputs, s.weights, s.planes);
    matrix(s.out_channels, n_.hidden, r.weights, r.planes);
    r.bias = floats(s.out_channels);
    if (n_.gru) r.state_bias = floats(s.out_channels);
    program_.steps.push_back(s);
    return codes;
  }

  OnLineNetwork n_;
  Random random_;
  Program program_;
  Dim t_{std::string("T")}, b_{std::string("N")};
};

std::vector<Tensor> floats_for(const Program& program, std::int64_t time, std::int64_t batch, Random& random) {
  std::vector<Tensor> inputs;
  for (const std::int32_t v : program.inputs) {
    const SymbolicShape& shape = program.values[static_cast<std::size_t>(v)].type.shape;
    Tensor t(DType::f32, {shape[0].known() ? 1 : time, batch, shape[2].value});
    for (float& x : t.mutable_values<float>()) x = random.uniform(-1, 1);
    inputs.push_back(t);
  }
  return inputs;
}

TEST(UniformVectors, RuntimeHasTheInterpretersBits) {
  Random random(5);
  std::uint64_t number = 0;
  for (const bool gru : {false, true}) {
    for (const Rows rows : {Rows::whole, Rows::signs, Rows::bits}) {
      for (const int bits : {1, 2, 3, 4, 5, 8}) {
        if (rows != Rows::whole && bits > 4) continue;
        OnLineNetwork n{.gru = gru, .sequence = number % 4 != 3, .weight_bits = bits, .rows = rows};
        n.inputs = number % 3 == 0 ? 127 : 1 + static_cast<std::int64_t>(random.below(150));
        n.hidden = number % 3 == 1 ? 67 : 1 + static_cast<std::int64_t>(random.below(130));
        const Program program = OnLineMaker(n, number).make();
        const Status checked = check_program(program);
        ASSERT_TRUE(checked.ok()) << checked.message();
        for (const auto& [time, batch] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 3}, {11, 1}, {2, 11}}) {
          expect_interpreters_bits(program, floats_for(program, time, batch, random),
                                   "network " + std::to_string(number));
          if (HasFatalFailure()) return;
        }
        ++number;
      }
    }
  }
}

TEST(QuantizedOnLine, FloatInputsBecomeSumsOfSigns) {
  Random random(6);
  for (const bool gru : {false, true}) {
    for (const bool sequence : {false, true}) {
      for (const int bits : {1, 2, 3}) {
        const OnLineNetwork n{.uniform = false,
                              .gru = gru,
                              .sequence = sequence,
                              .inputs = 37,
                              .hidden = 71,
                              .weight_bits = bits,
                              .vector_bits = bits,
                              .rows = Rows::signs};
        const Program program = OnLineMaker(n, static_cast<std::uint64_t>(bits)).make();
        ASSERT_TRUE(check_program(program).ok()) << check_program(program).message();
        for (const auto& [time, batch] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 3}})
          expect_interpreters_bits(program, floats_for(program, time, batch, random), "bits " + std::to_string(bits));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(UniformVectors, SurviveTheFileAndNumbersThatAreNone) {
  const Program program = OnLineMaker({.gru = true, .weight_bits = 4}, 9).make();
  const std::vector<std::byte> bytes = serialize_program(program);
  Program read;
  const Status status = parse_program(bytes, nullptr, read);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(serialize_program(read), bytes);
  Random random(8);
  std::vector<Tensor> inputs = floats_for(program, 4, 2, random), expected, outputs;
  ASSERT_TRUE(interpret_program(program, inputs, expected).ok());
  ASSERT_TRUE(interpret_program(read, inputs, outputs).ok());
  EXPECT_EQ(outputs, expected);
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(program, model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {}, session).ok());
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 3e38F, 0.0F}) {
    for (Tensor& input : inputs)
      for (float& v : input.mutable_values<float>()) v = bad;
    EXPECT_TRUE(session->run(inputs, outputs).ok());
    EXPECT_TRUE(interpret_program(program, inputs, outputs).ok());
  }
  for (const Shape& shape : {Shape{0, 1}, Shape{2, 0}}) {
    const std::vector<Tensor> none = floats_for(program, shape[0], shape[1], random);
    EXPECT_TRUE(session->run(none, outputs).ok());
    EXPECT_TRUE(interpret_program(program, none, outputs).ok());
  }
}

/// docs/program.md, "Uniform vectors": x = -254, 3, 100 has scale 2 and codes -127, 2, 50.
TEST(UniformVectors, TheWorkedExample) {
  Program p;
  const auto tensor = [&](const char* name, const Shape& shape) {
    return p.add_value({name, ValueKind::tensor, ValueType::of(DType::f32, shape), {}});
  };
  tensor("x", {1, 3});
  p.add_value({"codes", ValueKind::codes, ValueType::of(DType::f32, {1, 3}), {.min = -128, .max = 127, .bits = 8}});
  tensor("scales", {1, 1});
  tensor("levels", {1, 3});
  tensor("y", {1, 1});
  p.inputs = {0};
  p.outputs = {3, 4};
  Step quantize, levels, dense;
  quantize.kind = StepKind::vector_quantize, quantize.inputs = {0}, quantize.outputs = {1, 2};
  quantize.recurrence.uniform = true, quantize.recurrence.state_bits = 8;
  levels.kind = StepKind::vector_levels, levels.inputs = {1, 2}, levels.outputs = {3};
  dense.kind = StepKind::vector_dense, dense.inputs = {1, 2}, dense.outputs = {4};
  dense.out_channels = 1, dense.in_channels = 3;
  dense.weights = testing::packed(2, -2, {1, 2}, {0x5, 0x4}, 3);  // codes 1 0 3: weights -1 -2 1
  dense.planes.weight_scale = {0.25F};
  dense.epilogue.b = {1};
  p.steps = {quantize, levels, dense};
  ASSERT_TRUE(check_program(p).ok()) << check_program(p).message();
  std::vector<Tensor> out;
  const std::vector<Tensor> x{Tensor::of<float>({1, 3}, std::vector<float>{-254, 3, 100})};
  ASSERT_TRUE(interpret_program(p, x, out).ok());
  EXPECT_EQ(out[0], Tensor::of<float>({1, 3}, std::vector<float>{-254, 4, 100}));
  EXPECT_EQ(out[1], Tensor::of<float>({1, 1}, std::vector<float>{0.5F * (127 - 4 + 50) + 1}));
  expect_interpreters_bits(p, x, "worked example");
}

TEST(UniformVectors, DamagedProgramsAreRefused) {
  const auto refused = [](auto&& damage) {
    Program program = OnLineMaker({}, 4).make();
    EXPECT_TRUE(check_program(program).ok());
    damage(program);
    EXPECT_FALSE(check_program(program).ok());
  };
  refused([](Program& p) { p.steps[0].recurrence.uniform = false; });
  refused([](Program& p) { p.steps[0].recurrence.state_bits = 7; });
  refused([](Program& p) { p.steps[0].recurrence.state_cycles = -1; });
  refused([](Program& p) { p.steps[0].inputs = {}; });
  refused([](Program& p) { p.steps[0].outputs.resize(1); });
  refused([](Program& p) { p.values[1].code.min = -127; });
  refused([](Program& p) { p.steps[1].recurrence.uniform = false; });
  refused([](Program& p) { p.steps[1].weights.offset = 1; });
  refused([](Program& p) { p.steps[1].weights.offset = -129; });
  refused([](Program& p) { p.steps[1].weights.plane_scale[1] = 3; });
  refused([](Program& p) { p.steps[1].weights.plane_scale.pop_back(); });
  refused([](Program& p) { p.steps[1].recurrence.weights.plane_scale.clear(); });
  refused([](Program& p) { p.steps[1].planes.weight_offset.push_back(1); });
  refused([](Program& p) { p.steps[1].planes.weight_scale[0] = std::nanf(""); });
  refused([](Program& p) { p.steps[2].planes.weight_scale.pop_back(); });
}

}  // namespace
}  // namespace nnq::test
