// Weights packed for kernels: made once for all sessions of a model, whatever their threads and batches, and gone with
// the last of them.
#include "runtime/shared_weights.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "nnq/lower.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "quantize/support.h"

namespace nnq::test {
namespace {

struct Kept {
  AlignedBytes bytes;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.bytes);
  }
};

TEST(SharedWeights, AreMadeOnceWhileSomeoneHoldsThem) {
  SharedWeights weights;
  int made = 0;
  const auto make = [&] {
    ++made;
    auto kept = std::make_shared<Kept>();
    kept->bytes.assign(100);
    return kept;
  };
  std::shared_ptr<const Kept> one = weights.get<Kept>("a", make);
  std::shared_ptr<const Kept> two = weights.get<Kept>("a", make);
  EXPECT_EQ(one, two);
  EXPECT_EQ(made, 1);
  const std::shared_ptr<const Kept> other = weights.get<Kept>("b", make);
  EXPECT_NE(other, one);
  EXPECT_EQ(weights.bytes(), 200);
  one.reset();
  EXPECT_EQ(weights.bytes(), 200) << "the second still holds it";
  two.reset();
  EXPECT_EQ(weights.bytes(), 100);
  two = weights.get<Kept>("a", make);
  EXPECT_EQ(made, 3);
}

TEST(SharedWeights, AreMadeOnceByManyThreads) {
  SharedWeights weights;
  std::atomic<int> made = 0;
  std::vector<std::shared_ptr<const Kept>> got(8);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < got.size(); ++t) {
    threads.emplace_back([&, t] {
      got[t] = weights.get<Kept>("a", [&] {
        ++made;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return std::make_shared<Kept>();
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  for (const auto& held : got) EXPECT_EQ(held, got[0]);
}

/// Convolutions, two of them alike, a depthwise one and, when wanted, a fully connected layer, of these bits.
std::shared_ptr<const Model> model_of(int weights, int activations, bool dense, Tensor& image) {
  Builder b(81);
  std::string x = b.input("image", {1, 3, 8, 8});
  image = b.feeds.at("image");
  x = b.relu(b.norm("bn1", b.conv("conv1", x, 3, 20), 20));
  x = b.relu(b.norm("bn2", b.conv("conv2", x, 20, 20, 3, false, 20), 20));
  x = b.relu(b.norm("bn3", b.conv("conv3", x, 20, 20), 20));
  x = b.relu(b.norm("bn4", b.conv("conv4", x, 20, 20), 20));
  if (dense) x = b.gemm("fc", b.graph.add("Flatten", {x}, {}, "flat"), 20 * 64, 10, true);
  b.graph.outputs = {dense ? x : b.conv("conv5", x, 20, 3)};
  b.graph.inputs[0].type.shape[0] = Dim();
  const QuantizerSpec w{"uniform", weights, {}}, a{activations == 1 ? "bnn" : "uniform", activations, {}};
  std::shared_ptr<const Model> model;
  const Status made =
      Model::from_program(lower(freeze(place_quantizers(b.graph, {{{"*", w, a, {}}}, false}), callbacks())), model);
  EXPECT_TRUE(made.ok()) << made.message();
  return model;
}

std::unique_ptr<Session> session_of(const std::shared_ptr<const Model>& model, int threads, const Tensor& image,
                                    std::vector<Tensor>& outputs) {
  std::unique_ptr<Session> session;
  EXPECT_TRUE(Session::create(model, {.threads = threads}, session).ok());
  const Status status = session->run(std::vector<Tensor>{image}, outputs);
  EXPECT_TRUE(status.ok()) << status.message();
  return session;
}

std::int64_t weight_bytes(const Session& session) {
  std::int64_t sum = 0;
  for (const StepInfo& step : session.steps()) sum += step.weight_bytes;
  return sum;
}

TEST(SharedWeights, AreThoseOfAllSessionsOfAModel) {
  for (const auto& [weights, activations] : std::vector<std::pair<int, int>>{{8, 8}, {4, 4}, {2, 2}, {1, 1}}) {
    SCOPED_TRACE(weights);
    Tensor image;
    const std::shared_ptr<const Model> model = model_of(weights, activations, true, image);
    EXPECT_EQ(model->packed_bytes(), 0U);
    std::vector<Tensor> first, second, expected;
    ASSERT_TRUE(interpret_program(model->program(), std::vector<Tensor>{image}, expected).ok());
    std::unique_ptr<Session> one = session_of(model, 1, image, first);
    const std::size_t bytes = model->packed_bytes();
    EXPECT_GE(static_cast<std::int64_t>(bytes), weight_bytes(*one)) << "of every layer";
    std::unique_ptr<Session> two = session_of(model, 3, image, second);
    EXPECT_EQ(first.at(0), expected.at(0)) << "layers that are alike keep their own";
    EXPECT_EQ(first.at(0), second.at(0));
    EXPECT_EQ(model->packed_bytes(), bytes);
    // Had the second session made its own, the model would know of those.
    two.reset();
    EXPECT_EQ(model->packed_bytes(), bytes);
    one.reset();
    EXPECT_EQ(model->packed_bytes(), 0U) << "the last session takes them along";
  }
}

TEST(SharedWeights, ServeEveryBatch) {
  Tensor image;
  const std::shared_ptr<const Model> model = model_of(8, 8, false, image);
  std::vector<Tensor> single, many;
  const std::unique_ptr<Session> one = session_of(model, 1, image, single);
  const std::size_t bytes = model->packed_bytes();
  Tensor images(DType::f32, {3, 3, 8, 8});
  for (std::int64_t i = 0; i < images.count(); ++i)
    images.mutable_as<float>()[i] = image.as<float>()[i % image.count()];
  const std::unique_ptr<Session> three = session_of(model, 1, images, many);
  EXPECT_EQ(model->packed_bytes(), bytes);
  for (std::int64_t i = 0; i < many.at(0).count(); ++i)
    EXPECT_EQ(many[0].as<float>()[i], single.at(0).as<float>()[i % single[0].count()]);
}

TEST(SharedWeights, SessionsMayBeMadeAtOnce) {
  Tensor image;
  const std::shared_ptr<const Model> model = model_of(4, 4, true, image);
  std::vector<Tensor> expected;
  session_of(model, 1, image, expected);
  std::vector<std::vector<Tensor>> outputs(4);
  std::vector<std::unique_ptr<Session>> sessions(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < sessions.size(); ++t)
    threads.emplace_back([&, t] { sessions[t] = session_of(model, 1 + static_cast<int>(t % 2), image, outputs[t]); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& got : outputs) EXPECT_EQ(got.at(0), expected.at(0));
  const std::size_t bytes = model->packed_bytes();
  for (std::size_t t = 1; t < sessions.size(); ++t) sessions[t].reset();
  EXPECT_EQ(model->packed_bytes(), bytes);
}

}  // namespace
}  // namespace nnq::test
