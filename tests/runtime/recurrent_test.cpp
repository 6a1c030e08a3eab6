// Multi-bit vectors: look-up, LSTM and GRU, products and levels. The runtime's bits are the interpreter's on every
// instruction set and for every number of threads; the interpreter's are those of docs/program.md worked out by hand;
// a state carried from piece to piece gives what one piece gives; damaged programs are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "core/random.h"
#include "kernels/cpu.h"
#include "nnq/encoding.h"
#include "nnq/runtime.h"
#include "runtime/interpreters_bits.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

struct RecurrentNetwork {
  bool gru = false;
  std::int64_t words = 11, inputs = 13, hidden = 9, second = 0, outputs = 7;  // second: hidden of another layer
  int table_bits = 2, weight_bits = 2, state_bits = 2;
  bool signs = true;  // of the matrices' planes; else bits and offsets
};

class Maker {
 public:
  Maker(const RecurrentNetwork& n, std::uint64_t seed) : n_(n), random_(seed) {}

  Program make() {
    const Dim t(std::string("T")), b(std::string("N"));
    add("tokens", ValueKind::tensor, DType::i64, {t, b}, 0);
    program.inputs = {0};
    program.add_value({"x.codes", ValueKind::codes, of(DType::f32, {t, b, Dim(n_.inputs)}), bits(n_.table_bits)});
    add("x.scales", ValueKind::tensor, DType::f32, {t, b, Dim(std::int64_t{n_.table_bits})}, 0);
    Step look;
    look.kind = StepKind::vector_lookup;
    look.name = "table";
    look.inputs = {0}, look.outputs = {1, 2};
    look.out_channels = n_.words, look.in_channels = n_.inputs;
    matrix(n_.words, n_.inputs, n_.table_bits, true, look.weights, look.planes);
    program.steps.push_back(look);
    std::int32_t codes = layer(1, n_.inputs, n_.hidden, "first");
    std::int64_t width = n_.hidden;
    if (n_.second > 0) codes = layer(codes, n_.hidden, n_.second, "second"), width = n_.second;
    const std::int32_t y = add("y", ValueKind::tensor, DType::f32, {t, b, Dim(n_.outputs)}, 0),
                       levels = add("levels", ValueKind::tensor, DType::f32, {t, b, Dim(width)}, 0);
    Step dense, real;
    dense.kind = StepKind::vector_dense;
    dense.inputs = {codes, codes + 1}, dense.outputs = {y};
    dense.out_channels = n_.outputs, dense.in_channels = width;
    matrix(n_.outputs, width, n_.weight_bits, n_.signs, dense.weights, dense.planes);
    dense.epilogue.b = floats(n_.outputs);
    real.kind = StepKind::vector_levels;
    real.inputs = {codes, codes + 1}, real.outputs = {levels};
    program.steps.push_back(dense);
    program.steps.push_back(real);
    program.outputs.insert(program.outputs.begin(), {y, levels});
    return program;
  }

 private:
  static ValueType of(DType type, SymbolicShape shape) {
    return {.dtype = type, .ranked = true, .shape = std::move(shape)};
  }
  static CodeType bits(int k) { return {.sign = false, .min = 0, .max = (1 << k) - 1, .bits = k}; }
  std::int32_t add(const std::string& name, ValueKind kind, DType type, SymbolicShape shape, int k) {
    return program.add_value({name, kind, of(type, std::move(shape)), k > 0 ? bits(k) : CodeType{}});
  }
  std::vector<float> floats(std::int64_t n) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (float& v : x) v = random_.uniform(-0.5F, 0.5F);
    return x;
  }
  void matrix(std::int64_t rows, std::int64_t columns, int k, bool signs, PackedWeights& w, RealPlanes& p) {
    std::vector<std::uint8_t> planes(static_cast<std::size_t>((rows * columns + 7) / 8 * k));
    for (std::uint8_t& byte : planes) byte = static_cast<std::uint8_t>(random_.next());
    w = testing::packed(k, 0, {}, planes, rows * columns);
    p.weight_signs = signs;
    p.weight_scale = floats(rows * k);
    if (!signs) p.weight_offset = floats(rows);
  }
  /// Returns the codes' value; scales stand behind it. State and cell are carried by inputs and outputs of the program.
  std::int32_t layer(std::int32_t from, std::int64_t inputs, std::int64_t hidden, const std::string& name) {
    const Dim t(std::string("T")), b(std::string("N")), one(std::int64_t{1}), h(hidden);
    const std::int32_t codes =
        program.add_value({name + ".codes", ValueKind::codes, of(DType::f32, {t, b, h}), bits(n_.state_bits)});
    add(name + ".scales", ValueKind::tensor, DType::f32, {t, b, Dim(std::int64_t{n_.state_bits})}, 0);
    Step s;
    s.kind = StepKind::recurrent;
    s.name = name;
    s.inputs = {from, from + 1};
    s.outputs = {codes, codes + 1};
    for (int i = 0; i < (n_.gru ? 1 : 2); ++i) {
      s.inputs.push_back(add(name + ".in", ValueKind::tensor, DType::f32, {one, b, h}, 0));
      s.outputs.push_back(add(name + ".out", ValueKind::tensor, DType::f32, {one, b, h}, 0));
      program.inputs.push_back(s.inputs.back());
      program.outputs.push_back(s.outputs.back());
    }
    Recurrence& r = s.recurrence;
    r.gru = n_.gru;
    r.hidden = hidden;
    r.state_bits = n_.state_bits;
    s.out_channels = r.gates() * hidden;
    s.in_channels = inputs;
    matrix(s.out_channels, inputs, n_.weight_bits, n_.signs, s.weights, s.planes);
    matrix(s.out_channels, hidden, n_.weight_bits, n_.signs, r.weights, r.planes);
    r.bias = floats(s.out_channels);
    if (n_.gru) r.state_bias = floats(s.out_channels);
    program.steps.push_back(s);
    return codes;
  }

  RecurrentNetwork n_;
  Random random_;
  Program program;
};

/// Tokens [time, batch] and zero states.
std::vector<Tensor> inputs_for(const Program& program, std::int64_t time, std::int64_t batch, std::int64_t words,
                               Random& random) {
  std::vector<Tensor> inputs{Tensor(DType::i64, {time, batch})};
  for (std::int64_t& v : inputs[0].mutable_values<std::int64_t>())
    v = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(2 * words))) - words;
  for (std::size_t i = 1; i < program.inputs.size(); ++i) {
    const SymbolicShape& shape = program.values[static_cast<std::size_t>(program.inputs[i])].type.shape;
    Tensor state(DType::f32, {1, batch, shape[2].value});
    for (float& v : state.mutable_values<float>()) v = random.uniform(-1, 1);
    inputs.push_back(state);
  }
  return inputs;
}

TEST(MultiBitVectors, RuntimeHasTheInterpretersBits) {
  Random random(5);
  int number = 0;
  for (const bool gru : {false, true}) {
    for (const bool signs : {true, false}) {
      for (const auto& [weight_bits, state_bits] : {std::pair{1, 1}, {2, 2}, {2, 3}, {3, 3}, {4, 8}}) {
        RecurrentNetwork n{.gru = gru, .weight_bits = weight_bits, .state_bits = state_bits, .signs = signs};
        n.inputs = 1 + static_cast<std::int64_t>(random.below(90));
        n.hidden = 1 + static_cast<std::int64_t>(random.below(130));
        n.second = number % 2 == 0 ? 0 : 20;
        n.table_bits = 1 + number % 3;
        const Program program = Maker(n, static_cast<std::uint64_t>(number)).make();
        const Status checked = check_program(program);
        ASSERT_TRUE(checked.ok()) << checked.message();
        for (const auto& [time, batch] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 3}, {19, 1}}) {
          expect_interpreters_bits(program, inputs_for(program, time, batch, n.words, random),
                                   "network " + std::to_string(number));
          if (HasFatalFailure()) return;
        }
        ++number;
      }
    }
  }
}

TEST(MultiBitVectors, OutputsOfSeveralChunks) {
  Random random(7);
  for (const std::int64_t outputs : {255, 256, 257, 300, 545}) {
    for (const int planes : {1, 2, 3, 8}) {
      RecurrentNetwork n{.hidden = 130, .outputs = outputs, .table_bits = planes, .state_bits = planes};
      const Program program = Maker(n, static_cast<std::uint64_t>(outputs)).make();
      for (const std::int64_t time : {1, 3}) {
        expect_interpreters_bits(program, inputs_for(program, time, 1, n.words, random),
                                 std::to_string(outputs) + " outputs, " + std::to_string(planes) + " planes");
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(MultiBitVectors, APieceAtATimeGivesTheSame) {
  const Program program = Maker({.hidden = 33, .second = 12}, 3).make();
  Random random(6);
  const std::vector<Tensor> whole = inputs_for(program, 6, 2, 11, random);
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(program, model).ok());
  std::unique_ptr<Session> session, other;
  ASSERT_TRUE(Session::create(model, {}, session).ok());
  ASSERT_TRUE(Session::create(model, {}, other).ok());
  std::vector<Tensor> expected, outputs;
  ASSERT_TRUE(session->run(whole, expected).ok());
  std::vector<Tensor> piece = whole;
  for (int p = 0; p < 3; ++p) {
    piece[0] =
        Tensor::of<std::int64_t>({2, 2}, whole[0].values<std::int64_t>().subspan(static_cast<std::size_t>(p) * 4, 4));
    outputs.clear();
    ASSERT_TRUE(other->run(piece, outputs).ok());
    for (std::int64_t i = 0; i < outputs[0].count(); ++i)
      ASSERT_EQ(outputs[0].as<float>()[i], expected[0].as<float>()[p * outputs[0].count() + i]);
    for (std::size_t s = 1; s < piece.size(); ++s) piece[s] = outputs[s + 1];
  }
}

TEST(MultiBitVectors, SurviveTheFile) {
  const Program program = Maker({.gru = true, .signs = false}, 9).make();
  const std::vector<std::byte> bytes = serialize_program(program);
  Program read;
  const Status status = parse_program(bytes, nullptr, read);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(serialize_program(read), bytes);
  Random random(8);
  const std::vector<Tensor> inputs = inputs_for(program, 4, 2, 11, random);
  std::vector<Tensor> expected, outputs;
  ASSERT_TRUE(interpret_program(program, inputs, expected).ok());
  ASSERT_TRUE(interpret_program(read, inputs, outputs).ok());
  EXPECT_EQ(outputs, expected);
}

/// Nothing is promised of the numbers, but nothing breaks, for any number of levels.
TEST(MultiBitVectors, NumbersThatAreNoneDoNoHarm) {
  for (const int state_bits : {2, 8}) {
    const Program program = Maker({.hidden = 70, .state_bits = state_bits}, 12).make();
    Random random(1);
    std::vector<Tensor> inputs = inputs_for(program, 3, 1, 11, random), outputs;
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 3e38F}) {
      for (std::size_t i = 1; i < inputs.size(); ++i)
        for (float& v : inputs[i].mutable_values<float>()) v = bad;
      std::shared_ptr<const Model> model;
      ASSERT_TRUE(Model::from_program(program, model).ok());
      std::unique_ptr<Session> session;
      ASSERT_TRUE(Session::create(model, {}, session).ok());
      EXPECT_TRUE(session->run(inputs, outputs).ok());
      EXPECT_TRUE(interpret_program(program, inputs, outputs).ok());
    }
  }
}

/// docs/program.md, "Multi-bit vectors": one unit, all numbers worked out by hand.
TEST(MultiBitVectors, TheWorkedExample) {
  Program p;
  const auto tensor = [&](const char* name, DType type, const Shape& shape) {
    return p.add_value({name, ValueKind::tensor, ValueType::of(type, shape), {}});
  };
  tensor("tokens", DType::i64, {1, 1});
  p.add_value({"codes", ValueKind::codes, ValueType::of(DType::f32, {1, 1, 2}), {.min = 0, .max = 3, .bits = 2}});
  tensor("scales", DType::f32, {1, 1, 2});
  tensor("levels", DType::f32, {1, 1, 2});
  tensor("y", DType::f32, {1, 1, 1});
  p.inputs = {0};
  p.outputs = {3, 4};
  Step look, levels, dense;
  look.kind = StepKind::vector_lookup, look.inputs = {0}, look.outputs = {1, 2};
  look.out_channels = 1, look.in_channels = 2;
  look.weights = testing::packed(2, 0, {}, {0x1, 0x3}, 2);  // codes 3 and 2
  look.planes.weight_signs = true, look.planes.weight_scale = {0.5F, 1.5F};
  levels.kind = StepKind::vector_levels, levels.inputs = {1, 2}, levels.outputs = {3};
  dense.kind = StepKind::vector_dense, dense.inputs = {1, 2}, dense.outputs = {4};
  dense.out_channels = 1, dense.in_channels = 2;
  dense.weights = testing::packed(1, 0, {}, {0x2}, 2);  // - +
  dense.planes.weight_signs = true, dense.planes.weight_scale = {0.25F};
  dense.epilogue.b = {1};
  p.steps = {look, levels, dense};
  ASSERT_TRUE(check_program(p).ok()) << check_program(p).message();
  std::vector<Tensor> out;
  ASSERT_TRUE(
      interpret_program(p, std::vector{Tensor::of<std::int64_t>({1, 1}, std::vector<std::int64_t>{0})}, out).ok());
  EXPECT_EQ(out[0], Tensor::of<float>({1, 1, 2}, std::vector<float>{2, 1}));
  EXPECT_EQ(out[1], Tensor::of<float>({1, 1, 1}, std::vector<float>{0.25F * (1 - 2) + 1}));
}

TEST(MultiBitVectors, DamagedProgramsAreRefused) {
  const auto refused = [](auto&& damage) {
    Program program = Maker({}, 4).make();
    EXPECT_TRUE(check_program(program).ok());
    damage(program);
    EXPECT_FALSE(check_program(program).ok());
  };
  refused([](Program& p) { p.steps[0].in_channels = 12; });
  refused([](Program& p) { p.steps[0].planes.weight_signs = false; });
  refused([](Program& p) { p.steps[0].planes.weight_scale.pop_back(); });
  refused([](Program& p) { p.values[1].code.max = 2; });
  refused([](Program& p) { p.values[1].kind = ValueKind::accumulator; });
  refused([](Program& p) { p.steps[1].recurrence.hidden = 0; });
  refused([](Program& p) { p.steps[1].recurrence.gru = true; });
  refused([](Program& p) { p.steps[1].recurrence.state_bits = 3; });
  refused([](Program& p) { p.steps[1].recurrence.state_cycles = 101; });
  refused([](Program& p) { p.steps[1].recurrence.bias.pop_back(); });
  refused([](Program& p) { p.steps[1].recurrence.weights.bits = 9; });
  refused([](Program& p) { p.steps[1].recurrence.weights.data = nullptr; });
  refused([](Program& p) { p.steps[1].recurrence.planes.weight_scale[0] = std::nanf(""); });
  refused([](Program& p) { p.steps[1].inputs[1] = -1; });
  refused([](Program& p) { p.steps[1].outputs.resize(1); });
  refused([](Program& p) { p.steps[2].epilogue.b.pop_back(); });
  refused([](Program& p) { p.steps[2].weights.count += 1; });
}

TEST(MultiBitVectors, WrongInputsAreAStatus) {
  const Program program = Maker({}, 4).make();
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(program, model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {}, session).ok());
  Random random(1);
  std::vector<Tensor> inputs = inputs_for(program, 2, 1, 11, random), outputs;
  inputs[0].mutable_values<std::int64_t>()[1] = 11;
  EXPECT_FALSE(session->run(inputs, outputs).ok());
  EXPECT_FALSE(interpret_program(program, inputs, outputs).ok());
  inputs[0].mutable_values<std::int64_t>()[1] = 10;
  EXPECT_TRUE(session->run(inputs, outputs).ok());
  inputs[1] = Tensor(DType::f32, {1, 2, 9});  // a batch of 2
  EXPECT_FALSE(session->run(inputs, outputs).ok());
  EXPECT_FALSE(interpret_program(program, inputs, outputs).ok());
  for (const Shape& shape : {Shape{0, 1}, Shape{2, 0}}) {
    std::vector<Tensor> none = inputs_for(program, shape[0], shape[1], 11, random), empty;
    EXPECT_TRUE(session->run(none, empty).ok());
    EXPECT_EQ(empty[0].count(), 0);
  }
}

}  // namespace
}  // namespace nnq::test
