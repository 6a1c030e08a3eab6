// The C API: what it gives, and that nothing a caller or a file does makes it crash.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include "core/atomic_file.h"
#include "core/random.h"
#include "nnq/nnq.h"
#include "nnq/version.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
extern std::atomic<std::int64_t> allocations;  // counted by session_test.cpp
}

namespace nnq {
namespace {

struct FreeModel {
  void operator()(nnq_model* m) const { nnq_model_free(m); }
};
struct FreeSession {
  void operator()(nnq_session* s) const { nnq_session_free(s); }
};
using ModelHandle = std::unique_ptr<nnq_model, FreeModel>;
using SessionHandle = std::unique_ptr<nnq_session, FreeSession>;

const std::vector<std::byte>& lenet5_image() {
  static const std::vector<std::byte> image = serialize_program(testing::lenet5());
  return image;
}
const std::vector<std::byte>& integer_image() {
  static const std::vector<std::byte> image = serialize_program(testing::worked_example());
  return image;
}

ModelHandle load(const std::vector<std::byte>& image) {
  nnq_model* model = nullptr;
  EXPECT_EQ(nnq_model_load_bytes(image.data(), image.size(), &model), NNQ_OK) << nnq_status_message();
  return ModelHandle(model);
}

SessionHandle session_of(const ModelHandle& model, const nnq_session_options* options = nullptr) {
  nnq_session* session = nullptr;
  EXPECT_EQ(nnq_session_create(model.get(), options, &session), NNQ_OK) << nnq_status_message();
  return SessionHandle(session);
}

/// A batch of images for LeNet-5, the same for the same seed.
struct Images {
  explicit Images(std::int64_t batch, unsigned seed = 1) : values(static_cast<std::size_t>(batch * 784)) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>((i * 7919 + seed * 104729) % 1000) / 1000.0f;
    tensor.dtype = NNQ_FLOAT32;
    tensor.rank = 4;
    const std::array<std::int64_t, 4> dims = {batch, 1, 28, 28};
    std::copy(dims.begin(), dims.end(), tensor.dims);
    tensor.data = values.data();
    tensor.bytes = values.size() * sizeof(float);
  }
  std::vector<float> values;
  nnq_tensor tensor = {};
};

std::vector<float> scores(const nnq_tensor& t) {
  const auto* p = static_cast<const float*>(t.data);
  return {p, p + t.bytes / sizeof(float)};
}

TEST(CApi, LoadsRunsAndAgreesWithTheInterpreter) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "c_api_lenet5.nnq";
  ASSERT_TRUE(try_write_file_atomically(file, lenet5_image()).ok());
  nnq_model* raw = nullptr;
  ASSERT_EQ(nnq_model_load(file.c_str(), &raw), NNQ_OK) << nnq_status_message();
  ModelHandle model(raw);
  std::filesystem::remove(file);  // the mapping outlives the name

  nnq_port port = {};
  ASSERT_EQ(nnq_model_input_count(raw), 1);
  ASSERT_EQ(nnq_model_output_count(raw), 1);
  ASSERT_EQ(nnq_model_input(raw, 0, &port), NNQ_OK);
  EXPECT_EQ(port.dtype, NNQ_FLOAT32);
  ASSERT_EQ(port.rank, 4);
  EXPECT_EQ(port.dims[0], -1);
  EXPECT_EQ(port.dims[2], 28);
  EXPECT_STRNE(port.name, "");

  const SessionHandle session = session_of(model);
  model.reset();  // sessions keep what they need
  Images images(3);
  nnq_tensor y = {};
  ASSERT_EQ(nnq_session_run(session.get(), &images.tensor, 1, &y, 1), NNQ_OK) << nnq_status_message();
  EXPECT_EQ(y.rank, 2);
  EXPECT_EQ(y.dims[0], 3);
  EXPECT_EQ(y.dims[1], 10);
  EXPECT_GT(nnq_session_peak_bytes(session.get()), 0u);
  EXPECT_NE(nnq_session_isa(session.get()), nullptr);

  std::vector<Tensor> expected;
  const Tensor x = Tensor::of<float>({3, 1, 28, 28}, images.values);
  ASSERT_TRUE(interpret_program(testing::lenet5(), std::vector{x}, expected).ok());
  ASSERT_EQ(y.bytes, expected[0].bytes());
  const std::vector<float> got = scores(y);  // float convolutions may sum in another order (docs/program.md)
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[0].as<float>()[i], 1e-5) << i;
}

TEST(CApi, IntegerProgramsHaveTheInterpretersBits) {
  const SessionHandle session = session_of(load(integer_image()));
  float pixels[4] = {0.2f, 0.75f, 1.25f, 9};
  const nnq_tensor x = {NNQ_FLOAT32, 4, {1, 1, 2, 2}, pixels, sizeof(pixels)};
  nnq_tensor y = {};
  ASSERT_EQ(nnq_session_run(session.get(), &x, 1, &y, 1), NNQ_OK) << nnq_status_message();
  EXPECT_EQ(scores(y), std::vector<float>{0.1f * 2.0f + 0.25f});
}

TEST(CApi, OutputsStayWhereTheyAreBetweenRunsOfOneShape) {
  const SessionHandle session = session_of(load(lenet5_image()));
  Images first(1, 1), second(1, 2), larger(2, 1);
  nnq_tensor y = {};
  ASSERT_EQ(nnq_session_run(session.get(), &first.tensor, 1, &y, 1), NNQ_OK);
  const void* where = y.data;
  const std::vector<float> of_first = scores(y);
  ASSERT_EQ(nnq_session_run(session.get(), &second.tensor, 1, &y, 1), NNQ_OK);
  EXPECT_EQ(y.data, where);
  EXPECT_NE(scores(y), of_first);
  ASSERT_EQ(nnq_session_run(session.get(), &larger.tensor, 1, &y, 1), NNQ_OK);
  EXPECT_EQ(y.dims[0], 2);
  ASSERT_EQ(nnq_session_run(session.get(), &first.tensor, 1, &y, 1), NNQ_OK);
  EXPECT_EQ(scores(y), of_first);
}

TEST(CApi, FurtherRunsOfOneShapeAllocateNothing) {
  const SessionHandle session = session_of(load(lenet5_image()));
  Images images(2);
  nnq_tensor y = {};
  ASSERT_EQ(nnq_session_run(session.get(), &images.tensor, 1, &y, 1), NNQ_OK);
  ASSERT_EQ(nnq_session_run(session.get(), &images.tensor, 1, &y, 1), NNQ_OK);
  const std::int64_t before = test::allocations;
  for (int i = 0; i < 5; ++i) ASSERT_EQ(nnq_session_run(session.get(), &images.tensor, 1, &y, 1), NNQ_OK);
  EXPECT_EQ(test::allocations - before, 0);
}

TEST(CApi, MetadataAndVersion) {
  const ModelHandle model = load(integer_image());
  EXPECT_STREQ(nnq_version(), version());
  EXPECT_STREQ(nnq_model_metadata(model.get(), "labels"), "[\"thing\"]");
  EXPECT_EQ(nnq_model_metadata(model.get(), "no such key"), nullptr);
}

TEST(CApi, NullIsAnInvalidArgument) {
  const ModelHandle model = load(integer_image());
  const SessionHandle session = session_of(model);
  nnq_model* m = nullptr;
  nnq_session* s = nullptr;
  nnq_port port = {};
  nnq_tensor t = {};
  EXPECT_EQ(nnq_model_load(nullptr, &m), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_model_load("x.nnq", nullptr), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_model_load_bytes(nullptr, 10, &m), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_model_load_bytes(&t, sizeof(t), nullptr), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_model_input(nullptr, 0, &port), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_model_output(model.get(), 0, nullptr), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_session_create(nullptr, nullptr, &s), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_session_create(model.get(), nullptr, nullptr), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_session_run(nullptr, &t, 1, &t, 1), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_session_run(session.get(), nullptr, 1, &t, 1), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_session_run(session.get(), &t, 1, nullptr, 1), NNQ_INVALID_ARGUMENT);
  EXPECT_STRNE(nnq_status_message(), "");
  EXPECT_EQ(nnq_model_input_count(nullptr), 0);
  EXPECT_EQ(nnq_model_output_count(nullptr), 0);
  EXPECT_EQ(nnq_model_metadata(nullptr, "labels"), nullptr);
  EXPECT_EQ(nnq_model_metadata(model.get(), nullptr), nullptr);
  EXPECT_EQ(nnq_session_peak_bytes(nullptr), 0u);
  EXPECT_EQ(nnq_session_isa(nullptr), nullptr);
  nnq_model_free(nullptr);
  nnq_session_free(nullptr);
}

TEST(CApi, WrongInputsAreRefusedAndTheSessionStaysUsable) {
  const ModelHandle model = load(lenet5_image());
  const SessionHandle session = session_of(model);
  Images good(1);
  nnq_tensor y = {};
  const auto refused = [&](auto&& spoil, const char* why) {
    nnq_tensor x = good.tensor;
    spoil(x);
    y.bytes = 77;
    EXPECT_EQ(nnq_session_run(session.get(), &x, 1, &y, 1), NNQ_INVALID_ARGUMENT) << why;
    EXPECT_STRNE(nnq_status_message(), "") << why;
    EXPECT_EQ(y.bytes, 77u) << why;
  };
  refused([](nnq_tensor& x) { x.rank = 3; }, "rank");
  refused([](nnq_tensor& x) { x.rank = -1; }, "negative rank");
  refused([](nnq_tensor& x) { x.rank = 9; }, "rank over 8");
  refused([](nnq_tensor& x) { x.dtype = NNQ_INT32; }, "type");
  refused([](nnq_tensor& x) { x.dtype = 99; }, "unknown type");
  refused([](nnq_tensor& x) { x.dims[0] = -1; }, "negative dimension");
  refused([](nnq_tensor& x) { x.dims[0] = INT64_MAX; }, "huge dimension");
  refused([](nnq_tensor& x) { x.dims[1] = 2, x.bytes *= 2, x.data = nullptr; }, "no data");
  refused([](nnq_tensor& x) { x.bytes -= 4; }, "too few bytes");
  refused([](nnq_tensor& x) { x.bytes += 4; }, "too many bytes");
  refused([](nnq_tensor& x) { std::swap(x.dims[0], x.dims[2]); }, "shape");
  EXPECT_EQ(nnq_session_run(session.get(), &good.tensor, 0, &y, 1), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_session_run(session.get(), &good.tensor, 1, &y, 2), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_session_run(session.get(), &good.tensor, 1, &y, 1), NNQ_OK) << nnq_status_message();

  nnq_port port = {};
  EXPECT_EQ(nnq_model_input(model.get(), 1, &port), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(nnq_model_output(model.get(), -1, &port), NNQ_INVALID_ARGUMENT);
  nnq_session* s = nullptr;
  const nnq_session_options many = {.threads = 1 << 20, .memory_cap = 0, .weights_cache = nullptr};
  EXPECT_EQ(nnq_session_create(model.get(), &many, &s), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(s, nullptr);
}

TEST(CApi, MemoryCapIsKept) {
  const nnq_session_options options = {.threads = 1, .memory_cap = 1024, .weights_cache = nullptr};
  const SessionHandle session = session_of(load(lenet5_image()), &options);
  Images images(8);
  nnq_tensor y = {};
  EXPECT_EQ(nnq_session_run(session.get(), &images.tensor, 1, &y, 1), NNQ_OUT_OF_MEMORY);
  EXPECT_STRNE(nnq_status_message(), "");
}

TEST(CApi, MissingAndForeignFiles) {
  nnq_model* model = nullptr;
  EXPECT_NE(nnq_model_load("/no/such.nnq", &model), NNQ_OK);
  EXPECT_NE(std::string(nnq_status_message()).find("/no/such.nnq"), std::string::npos);
  EXPECT_NE(nnq_model_load("/tmp", &model), NNQ_OK);
  EXPECT_EQ(nnq_model_load_bytes("PK\3\4 some other file", 20, &model), NNQ_BAD_FILE);
  EXPECT_EQ(nnq_model_load_bytes("", 0, &model), NNQ_INVALID_ARGUMENT);
  EXPECT_EQ(model, nullptr);
}

TEST(CApi, TruncatedFilesAreBadFiles) {
  for (const auto* image : {&lenet5_image(), &integer_image()}) {
    const std::size_t stride = std::max<std::size_t>(1, image->size() / 500);
    for (std::size_t length = 1; length < image->size(); length += length < 256 ? 1 : stride) {
      nnq_model* model = nullptr;
      const std::vector<std::byte> cut(image->begin(), image->begin() + static_cast<std::ptrdiff_t>(length));
      ASSERT_EQ(nnq_model_load_bytes(cut.data(), length, &model), NNQ_BAD_FILE) << length;
      ASSERT_STRNE(nnq_status_message(), "") << length;
      ASSERT_EQ(model, nullptr);
    }
  }
}

/// Loads a damaged image and, when it still loads, runs it: any status is right, a crash is not.
void survive(const std::vector<std::byte>& image, nnq_tensor input) {
  nnq_model* raw = nullptr;
  const nnq_status loaded = nnq_model_load_bytes(image.data(), image.size(), &raw);
  const ModelHandle model(raw);
  ASSERT_EQ(loaded == NNQ_OK, raw != nullptr);
  if (loaded != NNQ_OK) {
    ASSERT_STRNE(nnq_status_message(), "");
    return;
  }
  const nnq_session_options options = {.threads = 1, .memory_cap = std::size_t{64} << 20, .weights_cache = nullptr};
  nnq_session* session_raw = nullptr;
  if (nnq_session_create(raw, &options, &session_raw) != NNQ_OK) return;
  const SessionHandle session(session_raw);
  nnq_tensor y = {};
  if (nnq_session_run(session_raw, &input, 1, &y, 1) != NNQ_OK) {
    ASSERT_STRNE(nnq_status_message(), "");
  }
}

TEST(CApi, EveryFlippedBitOfTheStructureIsSurvived) {
  const std::vector<std::byte>& image = integer_image();
  float pixels[4] = {0.2f, 0.75f, 1.25f, 9};
  const nnq_tensor x = {NNQ_FLOAT32, 4, {1, 1, 2, 2}, pixels, sizeof(pixels)};
  for (std::size_t bit = 0; bit < image.size() * 8; ++bit) {
    std::vector<std::byte> damaged = image;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    survive(damaged, x);
    if (HasFatalFailure()) FAIL() << "bit " << bit;
  }
}

TEST(CApi, FlippedBitsOfAFloatNetworkAreSurvived) {
  const std::vector<std::byte>& image = lenet5_image();
  Images images(1);
  Random random(7);
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> damaged = image;
    // The structure lies in front; the weights behind it are only numbers.
    const std::size_t bit = random.below(std::min<std::size_t>(image.size(), 16384) * 8);
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    survive(damaged, images.tensor);
    if (HasFatalFailure()) FAIL() << "bit " << bit;
  }
}

TEST(SessionThreads, OneModelTwoSessionsEqualResults) {
  const ModelHandle model = load(lenet5_image());
  std::array<std::vector<float>, 3> results;
  const auto work = [&](std::vector<float>& result, int threads) {
    const nnq_session_options options = {.threads = threads, .memory_cap = 0, .weights_cache = nullptr};
    const SessionHandle session = session_of(model, &options);
    Images images(4);
    nnq_tensor y = {};
    for (int i = 0; i < 5; ++i)
      ASSERT_EQ(nnq_session_run(session.get(), &images.tensor, 1, &y, 1), NNQ_OK) << nnq_status_message();
    result = scores(y);
  };
  std::thread first([&] { work(results[0], 1); }), second([&] { work(results[1], 2); });
  first.join();
  second.join();
  work(results[2], 1);
  ASSERT_EQ(results[0].size(), 40u);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_EQ(results[1], results[2]);
}

TEST(SessionThreads, TheSecondThreadOfOneSessionIsToldBusy) {
  const SessionHandle session = session_of(load(lenet5_image()));
  int done = 0, busy = 0, other = 0;
  const auto work = [&](int& ok, int& refused, int& wrong) {
    Images images(16);
    nnq_tensor y = {};
    for (int i = 0; i < 20; ++i) {
      switch (nnq_session_run(session.get(), &images.tensor, 1, &y, 1)) {
        case NNQ_OK:
          ++ok;
          break;
        case NNQ_BUSY:
          ++refused;
          break;
        default:
          ++wrong;
      }
    }
  };
  int done2 = 0, busy2 = 0, other2 = 0;
  std::thread second([&] { work(done2, busy2, other2); });
  work(done, busy, other);
  second.join();
  EXPECT_EQ(other + other2, 0);
  EXPECT_EQ(done + done2 + busy + busy2, 40);
  EXPECT_GT(done + done2, 0);
}

TEST(SessionThreads, MessagesBelongToTheirThread) {
  nnq_model* model = nullptr;
  EXPECT_NE(nnq_model_load("/no/such.nnq", &model), NNQ_OK);
  std::string of_other = "unset";
  std::thread([&] { of_other = nnq_status_message(); }).join();
  EXPECT_EQ(of_other, "");
  EXPECT_STRNE(nnq_status_message(), "");
}

}  // namespace
}  // namespace nnq
