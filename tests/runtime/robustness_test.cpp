// Shapes and buffers at the edges: nothing, one, primes, a hundred thousand channels, memory at odd addresses, a file
// cut short under a model, hostile numbers of channels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "core/atomic_file.h"
#include "nnq/lower.h"
#include "nnq/nnq.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "quantize/support.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

using ::testing::HasSubstr;

PlacementOptions placement(int weights, int activations, bool adds = false) {
  const QuantizerSpec w{"uniform", weights, {}}, a{activations == 1 ? "bnn" : "uniform", activations, {}};
  return {{{"*", w, a, {}}}, adds};
}

void expect_bits_of_any_shape(const Program& program, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> expected, outputs;
  const Status wanted = interpret_program(program, inputs, expected);
  ASSERT_TRUE(wanted.ok()) << wanted.message();
  std::shared_ptr<const Model> model;
  const Status loaded = Model::from_bytes(serialize_program(program), model);
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  for (const int threads : {1, 2}) {
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
    const Status status = session->run(inputs, outputs);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(outputs, expected);
  }
}

Program images_program(std::int64_t in, std::int64_t middle, int weights, int activations) {
  Builder b(static_cast<std::uint64_t>(in * 31 + middle));
  std::string x = b.norm("bn0", b.conv("conv0", b.input("image", {1, in, 3, 3}), in, middle), middle);
  x = b.norm("bn1", b.conv("conv1", x, middle, middle, 1), middle);
  b.graph.outputs = {b.conv("conv2", x, middle, 1)};
  b.graph.inputs[0].type.shape = {Dim("N"), Dim(in), Dim("H"), Dim("W")};
  return lower(freeze(place_quantizers(b.graph, placement(weights, activations)), callbacks()));
}

TEST(Robustness, OneAndPrimesAndNothing) {
  Random random(5);
  for (const auto& [weights, activations] : {std::pair{1, 1}, {2, 4}, {8, 8}}) {
    for (const std::int64_t channels : {1, 2, 7, 13, 31, 61}) {
      const Program program = images_program(channels, channels, weights, activations);
      for (const Shape& shape :
           {Shape{1, channels, 1, 1}, Shape{0, channels, 4, 4}, Shape{2, channels, 7, 1}, Shape{3, channels, 5, 11}}) {
        SCOPED_TRACE("W" + std::to_string(weights) + "A" + std::to_string(activations) + " " + to_string(shape));
        expect_bits_of_any_shape(program, {dyadic(random, shape, 32, 0.0625F)});
      }
    }
  }
}

TEST(Robustness, AnEmptyBatchOfEndlessImagesEndsAtOnce) {
  // No element, so no memory stands behind the width: planning must not walk along it. One layer has a filter a
  // channel.
  for (const auto& [weights, activations] : {std::pair{1, 1}, {4, 4}}) {
    Builder b(9);
    std::string x = b.norm("bn0", b.conv("conv0", b.input("image", {1, 3, 3, 3}), 3, 6), 6);
    x = b.norm("bn1", b.conv("depthwise", x, 6, 6, 3, true, 6), 6);
    b.graph.outputs = {b.conv("conv1", x, 6, 1)};
    b.graph.inputs[0].type.shape = {Dim("N"), Dim(3), Dim("H"), Dim("W")};
    const Program program = lower(freeze(place_quantizers(b.graph, placement(weights, activations)), callbacks()));
    expect_bits_of_any_shape(program, {Tensor(DType::f32, {0, 3, 2, 103079215120})});
  }
}

TEST(Robustness, AHundredThousandChannels) {
  constexpr std::int64_t many = 100000;
  for (const auto& [weights, activations] : {std::pair{1, 1}, {4, 4}}) {
    Builder b(7);
    std::string x = b.norm("bn0", b.conv("conv0", b.input("image", {1, 1, 1, 2}), 1, many, 1), many);
    b.graph.outputs = {b.conv("conv1", x, many, 2, 1)};
    const Program program = lower(freeze(place_quantizers(b.graph, placement(weights, activations)), callbacks()));
    expect_bits_of_any_shape(program, {b.feeds.at("image")});
    Builder d(8);
    d.graph.outputs = {d.gemm("fc1", d.gemm("fc0", d.input("x", {2, 3}), 3, many, true), many, 2, true)};
    const Program dense = lower(freeze(place_quantizers(d.graph, placement(weights, activations)), callbacks()));
    expect_bits_of_any_shape(dense, {d.feeds.at("x")});
  }
}

TEST(Robustness, EmptyImagesAreAStatus) {
  const Program program = images_program(2, 3, 4, 4);
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(program, model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {}, session).ok());
  std::vector<Tensor> outputs, expected;
  const std::vector<Tensor> empty = {Tensor(DType::f32, {1, 2, 0, 0})};
  const bool interpreted = interpret_program(program, empty, expected).ok();
  EXPECT_EQ(session->run(empty, outputs).ok(), interpreted);
  EXPECT_TRUE(session->run(std::vector<Tensor>{Tensor(DType::f32, {1, 2, 3, 3})}, outputs).ok());
}

TEST(Robustness, BuffersAtOddAddresses) {
  const std::vector<std::byte> image = serialize_program(testing::worked_example());
  nnq_model* model = nullptr;
  ASSERT_EQ(nnq_model_load_bytes(image.data(), image.size(), &model), NNQ_OK) << nnq_status_message();
  nnq_session* session = nullptr;
  ASSERT_EQ(nnq_session_create(model, nullptr, &session), NNQ_OK);
  const float pixels[4] = {0.2f, 0.75f, 1.25f, 9};
  for (std::size_t shift = 0; shift < 8; ++shift) {
    std::vector<unsigned char> memory(sizeof(pixels) + 8);
    std::memcpy(memory.data() + shift, pixels, sizeof(pixels));
    const nnq_tensor x = {NNQ_FLOAT32, 4, {1, 1, 2, 2}, memory.data() + shift, sizeof(pixels)};
    nnq_tensor y = {};
    ASSERT_EQ(nnq_session_run(session, &x, 1, &y, 1), NNQ_OK) << nnq_status_message();
    float score = 0;
    std::memcpy(&score, y.data, sizeof(score));
    EXPECT_EQ(score, 0.1f * 2.0f + 0.25f) << shift;
  }
  nnq_session_free(session);
  nnq_model_free(model);
}

TEST(Robustness, APrivateCopySurvivesItsFileBeingCutShort) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "nnq_private_copy.nnq";
  const Program program = images_program(3, 64, 8, 8);
  ASSERT_TRUE(try_write_file_atomically(file, serialize_program(program)).ok());
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::load(file.string(), {.private_copy = true}, model).ok());
  std::filesystem::resize_file(file, 0);  // a mapping would now kill the process on its first read
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {}, session).ok());
  const std::vector<Tensor> inputs = {Tensor(DType::f32, {1, 3, 4, 4})};
  std::vector<Tensor> outputs, expected;
  ASSERT_TRUE(session->run(inputs, outputs).ok());
  ASSERT_TRUE(interpret_program(program, inputs, expected).ok());
  EXPECT_EQ(outputs, expected);
  std::filesystem::remove(file);
}

/// A tensor whose real channels are others than a file declares: a float operator made it.
Program lying(StepKind kind) {
  Program p;
  p.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, {1, 5, 1, 1}), {}});
  p.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, {1, 2, 1, 1}), {}});  // Identity: really 5 channels
  p.add_value({"v", ValueKind::codes, ValueType::of(DType::f32, {1, 2, 1, 1}), {.min = 0, .max = 3, .bits = 2}});
  const bool pool = kind == StepKind::max_pool;
  const bool codes = pool || kind == StepKind::threshold || kind == StepKind::add;
  p.add_value({"t", codes ? ValueKind::codes : ValueKind::tensor, ValueType::of(DType::f32, {1, 2, 1, 1}),
               codes ? CodeType{.sign = false, .min = 0, .max = 3, .bits = 2} : CodeType{}});
  p.add_value({"z", ValueKind::tensor, ValueType::of(DType::f32, {1, 2, 1, 1}), {}});
  p.inputs = {0};
  Step same;
  same.inputs = {0};
  same.outputs = {1};
  same.node = Node{.name = "same", .op = "Identity", .domain = "", .inputs = {"x"}, .outputs = {"y"}, .attributes = {}};
  Step quantize;
  quantize.kind = StepKind::quantize;
  quantize.inputs = {1};
  quantize.outputs = {2};
  Step step;
  step.kind = kind;
  step.name = "lie";
  step.inputs = {2};
  step.outputs = {3};
  Epilogue& e = step.epilogue;
  if (pool) step.min_channels = {1, 0};
  if (kind == StepKind::dequantize || kind == StepKind::sum_pool) e.a = e.b = {1, 2};
  if (kind == StepKind::threshold || kind == StepKind::add) {
    e.kind = Epilogue::Kind::thresholds;
    e.levels = 1;
    e.thresholds = {1, 2};
    e.direction = {1, 1};
  }
  if (kind == StepKind::add) {
    step.inputs = {2, 2};
    step.out_channels = 2;
  }
  p.steps = {same, quantize, step};
  p.outputs = {codes ? 4 : 3};
  if (codes) {
    Step back;
    back.kind = StepKind::dequantize;
    back.inputs = {3};
    back.outputs = {4};
    back.epilogue.a = {1};
    back.epilogue.b = {0};
    p.steps.push_back(back);
  }
  return p;
}

TEST(Robustness, ChannelsThatAreNotThereAreAStatus) {
  for (const StepKind kind :
       {StepKind::max_pool, StepKind::sum_pool, StepKind::dequantize, StepKind::threshold, StepKind::add}) {
    SCOPED_TRACE(name_of(kind));
    const Program program = lying(kind);
    ASSERT_TRUE(check_program(program).ok()) << check_program(program).message();
    const std::vector<Tensor> inputs = {Tensor(DType::f32, {1, 5, 1, 1})};
    std::vector<Tensor> outputs;
    EXPECT_THAT(interpret_program(program, inputs, outputs).message(), HasSubstr("channels"));
    std::shared_ptr<const Model> model;
    ASSERT_TRUE(Model::from_program(program, model).ok());
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {}, session).ok());
    EXPECT_THAT(session->run(inputs, outputs).message(), HasSubstr("channels"));
  }
}

/// Adds of adds of adds: sums that could pass 32 bits are refused, whatever the file says.
TEST(Robustness, AddsThatCouldOverflowAreRefused) {
  Program p;
  const auto accumulator = [&] {
    return p.add_value({"s", ValueKind::accumulator, ValueType::of(DType::f32, {1, 1, 1, 1}), {}});
  };
  const ValueType one = ValueType::of(DType::f32, {1, 1, 1, 1});
  p.inputs = {p.add_value({"x", ValueKind::tensor, one, {}})};
  const std::int32_t codes = p.add_value({"v", ValueKind::codes, one, {.min = 0, .max = 255, .bits = 8}});
  Step quantize;
  quantize.kind = StepKind::quantize;
  quantize.inputs = {0};
  quantize.outputs = {codes};
  p.steps = {quantize};
  std::int32_t last = codes;
  for (int i = 0; i < 23; ++i) {
    if (i == 22) {
      EXPECT_TRUE(check_program(p).ok());  // 255 * 2^22 < 2^30
    }
    Step add;
    add.kind = StepKind::add;
    add.name = "add" + std::to_string(i);
    add.inputs = {last, last};
    add.out_channels = 1;
    last = accumulator();
    add.outputs = {last};
    p.steps.push_back(add);
  }
  EXPECT_THAT(check_program(p).message(), HasSubstr("overflow"));
}

TEST(Robustness, ConcatChecksItsInputs) {
  const ValueType one = ValueType::of(DType::f32, {1, 1, 1, 1});
  Program p;
  p.inputs = {p.add_value({"x", ValueKind::tensor, one, {}})};
  p.add_value({"v", ValueKind::codes, one, {.min = -2, .max = 1, .bits = 2}});
  p.add_value({"w", ValueKind::codes, ValueType::of(DType::f32, {1, 2, 1, 1}), {.min = -2, .max = 1, .bits = 2}});
  Step quantize;
  quantize.kind = StepKind::quantize;
  quantize.inputs = {0};
  quantize.outputs = {1};
  Step concat;
  concat.kind = StepKind::concat;
  concat.inputs = {1, 1};
  concat.outputs = {2};
  p.steps = {quantize, concat};
  EXPECT_TRUE(check_program(p).ok()) << check_program(p).message();
  const auto refused = [&](auto change) {
    Program other = p;
    change(other);
    return !check_program(other).ok();
  };
  EXPECT_TRUE(refused([](Program& q) { q.steps[1].inputs.clear(); }));
  EXPECT_TRUE(refused([](Program& q) { q.steps[1].inputs = {1, 0}; }));
  EXPECT_TRUE(refused([](Program& q) { q.steps[1].inputs = {1, -1}; }));
  EXPECT_TRUE(refused([](Program& q) { q.values[2].code.min = -1; }));
  EXPECT_TRUE(refused([](Program& q) { q.values[2].code = {.sign = true, .min = -1, .max = 1, .bits = 1}; }));
}

}  // namespace
}  // namespace nnq::test
