// Levels that are real numbers: LibTorch's run of a frozen network and the lowered program give the same bits in every
// value behind a layer, because both sum exactly the same numbers in double and round once. Before, float sums in
// different orders gave other codes in 0.02 % of the places, and other predictions for one image in a thousand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "nnq/lower.h"
#include "nnq/program.h"
#include "pack/multibit.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

using Floats = std::vector<float>;

/// A float layer, then layers of real levels with a residual: LQ-Nets's network in small.
class LevelsNetwork {
 public:
  LevelsNetwork(unsigned seed, int bits) : random_(seed), bits_(bits) {
    const std::string x = writer_.input("x", {4, 3, 12, 12});
    const std::string first = scaled(convolution(x, constant({16, 3, 3, 3}, -0.5F, 0.5F)), 0.7F);
    const std::string shortcut = writer_.node("Relu", {first});
    std::string y = scaled(convolution(levels(shortcut), weights(16, 16)), 1);
    y = writer_.node("Relu", {y});
    y = scaled(convolution(levels(y), weights(16, 16)), 1);
    const std::string sum = writer_.node("Relu", {writer_.node("Add", {y, shortcut})});
    const std::string last = scaled(convolution(levels(sum), weights(16, 8)), 1);
    writer_.graph.outputs = {first, sum, last};
  }
  Graph graph() const { return writer_.graph; }
  Tensor input() { return testing::random_floats({4, 3, 12, 12}, random_, -2, 2); }

 private:
  std::string constant(const Shape& shape, float low, float high) {
    return writer_.constant(testing::random_floats(shape, random_, low, high));
  }
  std::string list(const Floats& values) {
    return writer_.constant(Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values));
  }
  std::string convolution(const std::string& x, const std::string& w) {
    return writer_.node("Conv", {x, w}, {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}});
  }
  std::string scaled(const std::string& x, float size) {
    return writer_.node("Affine", {x, constant({channels_}, 0.1F * size, size), constant({channels_}, -0.3F, 0.8F)}, {},
                        kNnqDomain);
  }
  Floats basis() {
    Floats values;
    std::uniform_real_distribution<float> uniform(0.8F, 1.2F);
    for (int k = 0; k < bits_; ++k) values.push_back(0.17F * static_cast<float>(1 << k) * uniform(random_));
    multibit::to_grid(values);
    return values;
  }
  std::string levels(const std::string& x) {
    const multibit::Levels found(basis(), multibit::Digits::bits, multibit::Ties::down);
    const auto count = static_cast<std::ptrdiff_t>(found.count);
    const std::string codes =
        writer_.node("Bucketize", {x, list({found.thresholds.begin() + 1, found.thresholds.begin() + count})},
                     {{"bits", std::int64_t{bits_}}}, kNnqDomain);
    return writer_.node("Levels", {codes, list({found.values.begin(), found.values.begin() + count})}, {}, kNnqDomain);
  }
  /// One basis an output.
  std::string weights(std::int64_t in, std::int64_t out) {
    const Shape shape = {out, in, 3, 3};
    Floats scales, offsets;
    for (std::int64_t o = 0; o < out; ++o) {
      const Floats row = basis();
      offsets.push_back(multibit::level_of(row, multibit::Digits::signs, 0));
      for (const float v : row) scales.push_back(2 * v);
    }
    Tensor planes(DType::u8, {bits_, out * in * 9 / 8});
    std::uniform_int_distribution<int> byte(0, 255);
    for (std::uint8_t& b : planes.mutable_values<std::uint8_t>()) b = static_cast<std::uint8_t>(byte(random_));
    channels_ = out;
    return writer_.node("BitPlanes",
                        {writer_.constant(planes), writer_.constant(Tensor::of<float>({out, bits_}, scales)),
                         list(offsets), writer_.integers(shape)},
                        {}, kNnqDomain);
  }

  testing::GraphWriter writer_;
  std::mt19937 random_;
  int bits_;
  std::int64_t channels_ = 16;  // of the layer made last
};

TEST(DeployedLevels, TheProgramHasTheSimulationsBits) {
  for (const int bits : {2, 3}) {
    for (unsigned seed = 1; seed <= 4; ++seed) {
      LevelsNetwork network(seed, bits);
      const Graph graph = network.graph();
      const Tensor x = network.input();
      const std::vector<Tensor> simulated = testing::run_torch(graph, {{"x", x}});
      const Program program = lower(graph);
      EXPECT_EQ(std::count_if(program.steps.begin(), program.steps.end(),
                              [](const nnq::Step& step) { return step.kind == StepKind::plane_convolution; }),
                3);
      std::vector<Tensor> deployed;
      const Status status = interpret_program(program, {&x, 1}, deployed);
      ASSERT_TRUE(status.ok()) << status.message();
      for (std::size_t i = 0; i < simulated.size(); ++i) {
        ASSERT_EQ(simulated[i].shape(), deployed[i].shape());
        std::int64_t other = 0;
        for (std::int64_t k = 0; k < simulated[i].count(); ++k)
          other += simulated[i].as<float>()[k] != deployed[i].as<float>()[k] ? 1 : 0;
        EXPECT_EQ(other, 0) << "output " << i << " of " << simulated[i].count() << " numbers, " << bits
                            << " bits, seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace nnq::train
