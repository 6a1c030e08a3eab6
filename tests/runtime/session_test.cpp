// The optimised runtime against the reference interpreter: every instruction set this CPU has, every width, bit for
// bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <new>
#include <thread>

#include "kernels/cpu.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "nnq/zoo.h"
#include "quantize/support.h"

namespace nnq::test {
std::atomic<std::int64_t> allocations{0};  // c_api_test.cpp reads it too
}
using nnq::test::allocations;
#if !NNQ_SANITIZED  // sanitizers bring operators of their own; the counter then stays 0
// Counted to prove that a steady state allocates nothing.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto a = static_cast<std::size_t>(alignment);
  if (void* p = std::aligned_alloc(a, (size + a - 1) / a * a)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace nnq::test {
namespace {

using ::testing::HasSubstr;

/// Holds NNQ_ISA for a scope.
class IsaGuard {
 public:
  explicit IsaGuard(Isa isa) { setenv("NNQ_ISA", name_of(isa), 1); }
  ~IsaGuard() { unsetenv("NNQ_ISA"); }
};

std::vector<Isa> available() {
  std::vector<Isa> list;
  for (const Isa isa : every_isa) {
    if (isa <= hardware_isa())
      list.push_back(isa);
    else
      std::cout << "skipped: " << name_of(isa) << ", the CPU lacks it\n";
  }
  return list;
}

struct Setting {
  int weights, activations;  // 1 = sign
  bool per_channel = false, adds = false;
};

PlacementOptions placement(const Setting& s) {
  QuantizerSpec w{"uniform", s.weights, {}}, a{s.activations == 1 ? "bnn" : "uniform", s.activations, {}};
  if (s.per_channel) w.parameters["per_channel"] = std::int64_t{1};
  return {{{"*", w, a, {}}}, s.adds};
}

/// Everything at once: padding, pooling, a residual, depthwise and grouped convolutions, odd channel counts.
Builder network(std::uint64_t seed, std::int64_t channels, bool grouped) {
  Builder b(seed);
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("image", {3, 3, 9, 7}), 3, channels), channels));
  std::string y = b.relu(b.norm("bn1", b.conv("conv1", x, channels, channels), channels));
  y = b.norm("bn2", b.conv("conv2", y, channels, channels, 5, true, grouped ? channels : 1), channels);
  x = b.max_pool(b.relu(b.graph.add("Add", {y, x}, {}, "add")));
  x = b.relu(b.norm("bn3", b.conv("conv3", x, channels, 37, 1), 37));
  x = b.graph.add("Flatten", {x}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 37 * 4 * 3, 5, true)};
  return b;
}

Program program_of(const Builder& b, const Setting& s) {
  return lower(freeze(place_quantizers(b.graph, placement(s)), callbacks()));
}

class SessionBits : public ::testing::TestWithParam<std::tuple<Setting, std::int64_t, bool>> {};

TEST_P(SessionBits, EqualsTheInterpreterOnEveryIsa) {
  const auto& [setting, channels, grouped] = GetParam();
  const Builder b = network(static_cast<std::uint64_t>(channels + setting.weights), channels, grouped);
  const std::vector<Tensor> inputs = {b.feeds.at("image")};
  Program program = program_of(b, setting);
  std::vector<Tensor> expected;
  ASSERT_TRUE(interpret_program(program, inputs, expected).ok());
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_bytes(serialize_program(program), model).ok());
  for (const Isa isa : available()) {
    const IsaGuard guard(isa);
    for (const int threads : {1, 3}) {
      std::unique_ptr<Session> session;
      ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
      std::vector<Tensor> outputs;
      const Status status = session->run(inputs, outputs);
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_EQ(outputs.size(), 1u);
      EXPECT_EQ(outputs[0], expected[0]) << name_of(isa) << ", " << threads << " threads";
    }
  }
}

std::string title(const ::testing::TestParamInfo<std::tuple<Setting, std::int64_t, bool>>& info) {
  const auto& [s, channels, grouped] = info.param;
  return "W" + std::to_string(s.weights) + "A" + std::to_string(s.activations) + "C" + std::to_string(channels) +
         (s.per_channel ? "PerChannel" : "") + (s.adds ? "Adds" : "") + (grouped ? "Grouped" : "");
}

INSTANTIATE_TEST_SUITE_P(Runtime, SessionBits,
                         ::testing::Combine(::testing::Values(Setting{1, 1}, Setting{1, 1, true, true}, Setting{2, 2},
                                                              Setting{2, 1}, Setting{1, 4}, Setting{3, 5, true, true},
                                                              Setting{4, 4, true}, Setting{6, 3}, Setting{8, 8},
                                                              Setting{8, 8, true, true}),
                                            ::testing::Values(8, 33, 64), ::testing::Bool()),
                         title);

std::shared_ptr<const Model> small_model() {
  std::shared_ptr<const Model> model;
  EXPECT_TRUE(Model::from_program(program_of(network(3, 8, false), {4, 4}), model).ok());
  return model;
}

TEST(Session, AllocatesNothingInASteadyState) {
  for (const Setting s : {Setting{1, 1}, Setting{4, 4}, Setting{8, 8, true, true}}) {
    const Builder b = network(5, 33, false);
    std::shared_ptr<const Model> model;
    ASSERT_TRUE(Model::from_program(program_of(b, s), model).ok());
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = 2}, session).ok());
    const std::vector<Tensor> inputs = {b.feeds.at("image")};
    std::vector<Tensor> outputs;
    ASSERT_TRUE(session->run(inputs, outputs).ok());
    const std::int64_t before = allocations;
    ASSERT_TRUE(session->run(inputs, outputs).ok());
    EXPECT_EQ(allocations - before, 0) << "W" << s.weights << "A" << s.activations;
    EXPECT_GT(session->peak_bytes(), 0u);
  }
}

TEST(Session, FloatStepsAllocateNothingEither) {
  Graph g;
  g.inputs.push_back({"image", ValueType::of(DType::f32, {1, 3, 9, 7})});
  const std::string scales = g.add_initializer("scales", Tensor::of<float>({4}, std::vector<float>{1, 1, 2, 1.5F}));
  const std::string linear = g.add("Resize", {"image", "", scales}, {{"mode", std::string("linear")}}, "linear");
  const std::string nearest = g.add("Resize", {"image", "", scales}, {{"mode", std::string("nearest")}}, "nearest");
  const std::string both = g.add("Concat", {linear, nearest}, {{"axis", std::int64_t{1}}}, "both");
  g.outputs = {g.add("Softmax", {both}, {{"axis", std::int64_t{1}}}, "shares")};
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(lower(g), model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {.threads = 2}, session).ok());
  const std::vector<Tensor> inputs = {Tensor(DType::f32, {1, 3, 9, 7})};
  std::vector<Tensor> outputs;
  ASSERT_TRUE(session->run(inputs, outputs).ok());
  std::vector<std::string> kernels;
  for (const StepInfo& step : session->steps()) kernels.push_back(step.kernel);
  EXPECT_EQ(kernels,
            (std::vector<std::string>{"resize_float", "resize_nearest_float", "concat_float", "softmax_float"}));
  const std::int64_t before = allocations;
  ASSERT_TRUE(session->run(inputs, outputs).ok());
  EXPECT_EQ(allocations - before, 0);
}

TEST(Session, RefusesWhatDoesNotFit) {
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(small_model(), {}, session).ok());
  std::vector<Tensor> outputs;
  const auto message = [&](const std::vector<Tensor>& inputs) { return session->run(inputs, outputs).message(); };
  EXPECT_THAT(message({}), HasSubstr("1 inputs, got 0"));
  EXPECT_THAT(message({Tensor()}), HasSubstr("not given"));
  EXPECT_THAT(message({Tensor(DType::f64, {3, 3, 9, 7})}), HasSubstr("float32"));
  EXPECT_THAT(message({Tensor(DType::f32, {3, 4, 9, 7})}), HasSubstr("image"));
  EXPECT_THAT(message({Tensor(DType::f32, {3, 3})}), HasSubstr("image"));
  EXPECT_EQ(session->run(std::vector<Tensor>{}, outputs).code(), StatusCode::invalid_argument);
  EXPECT_TRUE(session->run(std::vector<Tensor>{Tensor(DType::f32, {3, 3, 9, 7})}, outputs).ok());
  EXPECT_FALSE(Session::create(nullptr, {}, session).ok());
  EXPECT_FALSE(Session::create(small_model(), {.threads = 0}, session).ok());
}

TEST(Session, MemoryCapIsAStatusAndNothingRuns) {
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(small_model(), {.memory_cap = 1000}, session).ok());
  std::vector<Tensor> outputs;
  const Status status = session->run(std::vector<Tensor>{Tensor(DType::f32, {3, 3, 9, 7})}, outputs);
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_THAT(status.message(), HasSubstr("the cap is 1000"));
  EXPECT_TRUE(outputs.empty());
}

TEST(Session, FreeBatchAndFreeSizeReplan) {
  Builder b(9);
  std::string x = b.relu(b.norm("bn", b.conv("conv", b.input("image", {1, 3, 8, 8}), 3, 8), 8));
  x = b.relu(b.conv("conv2", x, 8, 6));
  b.graph.outputs = {b.graph.add("GlobalAveragePool", {x}, {}, "gap")};
  b.graph.inputs[0].type.shape = {Dim("N"), Dim(3), Dim("H"), Dim("W")};
  const Program program = lower(freeze(place_quantizers(b.graph, placement({4, 4})), callbacks()));
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(program, model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {}, session).ok());
  for (const Shape& shape : {Shape{1, 3, 8, 8}, Shape{5, 3, 6, 11}, Shape{1, 3, 8, 8}, Shape{0, 3, 8, 8}}) {
    const std::vector<Tensor> inputs = {dyadic(b.random, shape, 32, 1.0F / 16)};
    std::vector<Tensor> outputs, expected;
    ASSERT_TRUE(interpret_program(program, inputs, expected).ok());
    const Status status = session->run(inputs, outputs);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(outputs[0], expected[0]) << to_string(shape);
  }
}

TEST(Session, FloatNetworksOfTheZooRun) {
  for (const std::string name : {"lenet5", "mobilenet_v1", "gru_lm"}) {
    std::map<std::string, std::string> parameters;
    if (name == "mobilenet_v1") parameters = {{"alpha", "0.25"}, {"size", "32"}};
    if (name == "gru_lm") parameters = {{"vocabulary", "30"}, {"hidden", "16"}};
    const Graph graph = build_zoo(name, parameters);
    std::map<std::string, Tensor> feeds;
    std::vector<Tensor> inputs;
    Random random(4);
    for (const GraphInput& in : graph.inputs) {
      Shape shape;
      for (const Dim& d : in.type.shape) shape.push_back(d.known() ? d.value : 2);
      Tensor t = in.type.dtype == DType::f32 ? dyadic(random, shape, 16, 1.0F / 16) : Tensor(in.type.dtype, shape);
      feeds[in.name] = t;
      inputs.push_back(t);
    }
    const std::vector<Tensor> expected = interpret(graph, feeds);
    std::shared_ptr<const Model> model;
    ASSERT_TRUE(Model::from_program(lower(graph), model).ok());
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = 2}, session).ok());
    std::vector<Tensor> outputs;
    const Status status = session->run(inputs, outputs);
    ASSERT_TRUE(status.ok()) << name << ": " << status.message();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      ASSERT_EQ(outputs[i].shape(), expected[i].shape());
      const auto got = outputs[i].to_float(), want = expected[i].to_float();
      for (std::size_t k = 0; k < got.size(); ++k)
        ASSERT_NEAR(got[k], want[k], 1e-3F * (1 + std::abs(want[k]))) << name;
    }
  }
}

TEST(Session, ProfileNamesEveryStep) {
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(small_model(), {}, session).ok());
  std::vector<StepInfo> steps;
  double milliseconds = 0;
  ASSERT_TRUE(session->profile(std::vector<Tensor>{Tensor(DType::f32, {3, 3, 9, 7})}, 3, steps, milliseconds).ok());
  EXPECT_GT(milliseconds, 0);
  EXPECT_GE(steps.size(), 6u);
  for (const StepInfo& s : steps) {
    EXPECT_FALSE(s.kernel.empty()) << s.name;
    EXPECT_GE(s.median_microseconds, 0);
  }
}

TEST(SessionThreads, OneModelManySessions) {
  const Builder b = network(3, 8, false);
  const std::shared_ptr<const Model> model = small_model();
  const std::vector<Tensor> inputs = {b.feeds.at("image")};
  std::vector<Tensor> expected;
  ASSERT_TRUE(interpret_program(model->program(), inputs, expected).ok());
  std::vector<std::thread> threads;
  std::atomic<int> equal{0};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      std::unique_ptr<Session> session;
      std::vector<Tensor> outputs;
      if (!Session::create(model, {.threads = 2}, session).ok()) return;
      for (int k = 0; k < 5; ++k) {
        if (session->run(inputs, outputs).ok() && outputs[0] == expected[0]) ++equal;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(equal, 15);
}

TEST(SessionThreads, ASecondThreadIsRefused) {
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(small_model(), {}, session).ok());
  std::atomic<int> done{0}, refused{0}, other{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      std::vector<Tensor> outputs;
      for (int k = 0; k < 50; ++k) {
        const Status status = session->run(std::vector<Tensor>{Tensor(DType::f32, {3, 3, 9, 7})}, outputs);
        ++(status.ok() ? done : status.code() == StatusCode::busy ? refused : other);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(other, 0);
  EXPECT_GE(done, 1);
  EXPECT_EQ(done + refused, 100);
}

}  // namespace
}  // namespace nnq::test
