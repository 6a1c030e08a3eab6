// What the engine promises besides results: kernels chosen by measurement and remembered, memory that is planned,
// capped and never touched for the first time in a run, instruction sets that are asked for and not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "core/random.h"
#include "kernels/cpu.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Sets an environment variable for a scope; nullptr unsets it.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

/// x -> codes of `activations` bits -> fully connected layer -> floats. Weights are the largest there are, or random.
Program dense_program(std::int64_t in, std::int64_t out, int weights, int activations, bool largest) {
  Program p;
  const auto tensor = [&](const char* name, std::int64_t n) {
    return p.add_value({name, ValueKind::tensor, ValueType::of(DType::f32, {1, n}), {}});
  };
  tensor("x", in);
  p.values[0].type.shape[0] = Dim("N");
  CodeType code{.sign = activations == 1, .min = 0, .max = (1 << activations) - 1, .bits = activations};
  if (code.sign) code.min = -1, code.max = 1;
  p.add_value({"v", ValueKind::codes, ValueType::of(DType::f32, {1, in}), code});
  tensor("y", out);
  p.inputs = {0};
  p.outputs = {2};
  Step quantize;
  quantize.kind = StepKind::quantize;
  quantize.name = "quantize";
  quantize.inputs = {0};
  quantize.outputs = {1};
  Step dense;
  dense.kind = StepKind::dense;
  dense.name = "dense";
  dense.inputs = {1};
  dense.outputs = {2};
  dense.in_channels = in;
  dense.out_channels = out;
  std::vector<std::int32_t> scales;
  for (int i = 0; i < weights; ++i) scales.push_back(weights == 1 ? 2 : 1 << i);
  PackedWeights shape;
  shape.count = in * out;
  std::vector<std::uint8_t> planes(static_cast<std::size_t>(weights) * shape.plane_bytes(), 0xff);
  Random random(9);
  for (std::uint8_t& byte : planes) {
    if (!largest) byte = static_cast<std::uint8_t>(random.next());
  }
  dense.weights = testing::packed(weights, weights == 1 ? -1 : -(1 << (weights - 1)), scales, planes, in * out);
  dense.epilogue.kind = Epilogue::Kind::affine;
  dense.epilogue.a.assign(static_cast<std::size_t>(out), 1.0F);
  dense.epilogue.b.assign(static_cast<std::size_t>(out), 0.0F);
  p.steps = {quantize, dense};
  return p;
}

std::shared_ptr<const Model> model_of(const Program& program) {
  std::shared_ptr<const Model> model;
  const Status status = Model::from_program(program, model);
  EXPECT_TRUE(status.ok()) << status.message();
  return model;
}

Tensor filled(const Shape& shape, float value) {
  Tensor t(DType::f32, shape);
  for (float& v : t.mutable_values<float>()) v = value;
  return t;
}

std::string slurp(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

class Autotune : public ::testing::Test {
 protected:
  Autotune() : folder_(make_folder()), cache_("XDG_CACHE_HOME", folder_.c_str()), isa_("NNQ_ISA", "avx2") {}
  ~Autotune() override { fs::remove_all(folder_); }

  static std::string make_folder() {
    std::string pattern = (fs::temp_directory_path() / "nnq_tune_XXXXXX").string();
    return mkdtemp(pattern.data());
  }
  /// A tuned session after one run, which must give the interpreter's bits.
  std::unique_ptr<Session> tuned(std::size_t memory_cap = 0) const {
    const std::vector<Tensor> inputs = {filled({16, 256}, 2.0F)};
    std::vector<Tensor> outputs, expected;
    std::unique_ptr<Session> session;
    EXPECT_TRUE(Session::create(model_, {.memory_cap = memory_cap, .autotune = true}, session).ok());
    const Status status = session->run(inputs, outputs);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(interpret_program(model_->program(), inputs, expected).ok());
    EXPECT_EQ(outputs, expected);
    return session;
  }
  fs::path file() const {
    for (const auto& entry : fs::directory_iterator(fs::path(folder_) / "nnq")) return entry.path();
    return {};
  }

  std::string folder_;
  Variable cache_, isa_;  // of two kernels to choose from
  std::shared_ptr<const Model> model_ = model_of(dense_program(256, 64, 2, 2, false));
};

TEST_F(Autotune, MeasuresOnceAndRemembers) {
  if (hardware_isa() == Isa::portable) GTEST_SKIP() << "one kernel only: nothing to measure";
  EXPECT_THAT(tuned()->notes(), IsEmpty());
  const std::string first = slurp(file());
  EXPECT_THAT(first, HasSubstr("w2a2_lookup_avx2="));
  EXPECT_THAT(tuned()->notes(), IsEmpty());
  EXPECT_EQ(slurp(file()), first);
  // What the cache says is done: each kernel once, when the other one is said to take ages.
  for (const std::string slow : {"\tw2a2_lookup_avx2=", "\tint8_"}) {
    std::string changed = first;
    const std::size_t at = changed.find('=', changed.find(slow));
    changed.replace(at + 1, changed.find_first_of("\t\n", at) - at - 1, "999999000");
    std::ofstream(file()) << changed;
    const auto session = tuned();
    EXPECT_THAT(session->notes(), IsEmpty());
    const bool lookup = slow == "\tint8_";
    EXPECT_EQ(session->steps()[1].kernel == "dense_w2a2_lookup_avx2", lookup) << session->steps()[1].kernel;
    EXPECT_THAT(session->steps()[1].refused[0], HasSubstr("measured slower, 999999.0 against"));
  }
}

TEST_F(Autotune, IgnoresACorruptCacheWithANote) {
  if (hardware_isa() == Isa::portable) GTEST_SKIP() << "one kernel only: nothing to measure";
  tuned();
  const std::string good = slurp(file());
  for (const std::string& bad :
       {std::string(), std::string("garbage"), good.substr(0, good.size() / 2), good + "more\n",
        std::string(good).replace(good.rfind('='), 2, "=x"), std::string(good).replace(0, 3, "old"),
        std::string(1000, '\0'), good.substr(0, good.find('\n') + 1) + "\t=1\nend 1\n"}) {
    std::ofstream(file(), std::ios::binary) << bad;
    const auto session = tuned();
    ASSERT_EQ(session->notes().size(), 1u) << bad;
    EXPECT_THAT(session->notes()[0], HasSubstr("is ignored"));
    EXPECT_THAT(tuned()->notes(), IsEmpty()) << "it was written anew";
  }
}

TEST_F(Autotune, WorksWithoutACacheFolder) {
  if (hardware_isa() == Isa::portable) GTEST_SKIP() << "one kernel only: nothing to measure";
  std::ofstream(folder_ + "/plain") << "a file";
  const Variable blocked("XDG_CACHE_HOME", (folder_ + "/plain").c_str());
  const auto session = tuned();
  ASSERT_EQ(session->notes().size(), 1u);
  EXPECT_THAT(session->notes()[0], HasSubstr("could not be written"));
  const Variable none("XDG_CACHE_HOME", nullptr), nowhere("HOME", nullptr);
  EXPECT_THAT(tuned()->notes()[0], HasSubstr("not kept"));
}

TEST_F(Autotune, KeepsTheMemoryCap) {
  const std::size_t peak = tuned()->peak_bytes();
  fs::remove_all(fs::path(folder_) / "nnq");
  EXPECT_LE(tuned(peak)->peak_bytes(), peak);
}

TEST(EngineMemory, TheCapIsExact) {
  const auto model = model_of(testing::lenet5());
  std::unique_ptr<Session> session;
  const Shape two{2, 1, 28, 28}, three{3, 1, 28, 28};
  ASSERT_TRUE(Session::create(model, {}, session).ok());
  ASSERT_TRUE(session->prepare(std::vector<Shape>{two}).ok());
  const std::size_t peak = session->peak_bytes();
  ASSERT_TRUE(Session::create(model, {.memory_cap = peak - 1}, session).ok());
  EXPECT_EQ(session->prepare(std::vector<Shape>{two}).code(), StatusCode::out_of_memory);
  ASSERT_TRUE(Session::create(model, {.memory_cap = peak}, session).ok());
  std::vector<Tensor> outputs;
  ASSERT_TRUE(session->run(std::vector<Tensor>{filled(two, 1)}, outputs).ok());
  EXPECT_EQ(session->peak_bytes(), peak);
  const Tensor before = outputs[0];
  EXPECT_EQ(session->run(std::vector<Tensor>{filled(three, 1)}, outputs).code(), StatusCode::out_of_memory);
  EXPECT_EQ(outputs[0], before) << "a refused run touches nothing";
  EXPECT_TRUE(session->run(std::vector<Tensor>{filled(two, 1)}, outputs).ok()) << "smaller ones go on";
  EXPECT_EQ(outputs[0], before);
}

TEST(EngineMemory, NoPageFaultsAfterTheFirstRuns) {
  if (NNQ_SANITIZED) GTEST_SKIP() << "sanitizers touch memory of their own";
  const auto faults = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
  };
  for (const bool quantized : {false, true}) {
    const auto model = model_of(quantized ? dense_program(4096, 512, 2, 2, false) : testing::lenet5());
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = 2}, session).ok());
    const std::vector<Tensor> inputs = {filled(quantized ? Shape{8, 4096} : Shape{8, 1, 28, 28}, 1)};
    std::vector<Tensor> outputs;
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(session->run(inputs, outputs).ok());
    long fewest = 1000;  // the system may move pages about by itself: once without is proof enough
    for (int trial = 0; trial < 5 && fewest > 0; ++trial) {
      const long before = faults();
      for (int i = 0; i < 10; ++i) ASSERT_TRUE(session->run(inputs, outputs).ok());
      fewest = std::min(fewest, faults() - before);
    }
    EXPECT_EQ(fewest, 0) << (quantized ? "W2A2" : "float");
  }
}

/// The largest codes times the largest weights, so often that 16 bits overflow many times and 32 bits almost.
TEST(EngineSums, LongSumsOfExtremesAreExact) {
  for (const auto& [weights, activations] : {std::pair{1, 1}, {1, 2}, {1, 4}, {2, 2}, {2, 1}, {3, 4}, {4, 4}, {8, 8}}) {
    const std::int64_t in = weights == 8 ? 33001 : 70001;
    for (const float value : {1000.0F, -1000.0F}) {
      const Program program = dense_program(in, 33, weights, activations, true);
      const std::vector<Tensor> inputs = {filled({3, in}, value)};
      std::vector<Tensor> outputs, expected;
      ASSERT_TRUE(interpret_program(program, inputs, expected).ok());
      const auto model = model_of(program);
      for (const char* isa : {"portable", name_of(hardware_isa())}) {
        const Variable guard("NNQ_ISA", isa);
        std::unique_ptr<Session> session;
        ASSERT_TRUE(Session::create(model, {}, session).ok());
        ASSERT_TRUE(session->run(inputs, outputs).ok());
        for (std::int64_t i = 0; i < outputs[0].count(); ++i)
          ASSERT_EQ(outputs[0].as<float>()[i], expected[0].as<float>()[i])
              << "W" << weights << "A" << activations << " " << isa << " element " << i;
      }
    }
  }
}

TEST(EngineIsa, WhatIsNotThereIsRefused) {
  Program program = testing::worked_example();
  std::unique_ptr<Session> session;
  {
    const Variable guard("NNQ_ISA", "sse9");
    const Status status = Session::create(model_of(program), {}, session);
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    EXPECT_THAT(status.message(), HasSubstr("sse9"));
  }
  program.metadata["requires_isa"] = name_of(hardware_isa());
  EXPECT_TRUE(Session::create(model_of(program), {}, session).ok());
  if (hardware_isa() != Isa::portable) {
    const Variable guard("NNQ_ISA", "portable");
    const Status status = Session::create(model_of(program), {}, session);
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    EXPECT_THAT(status.message(), HasSubstr("runs portable"));
  }
  program.metadata["requires_isa"] = "avx4096";
  EXPECT_EQ(Session::create(model_of(program), {}, session).code(), StatusCode::unsupported);
}

}  // namespace
}  // namespace nnq::test
