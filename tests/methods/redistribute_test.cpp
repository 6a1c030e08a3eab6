// Points of differentiable quantization shared out by gradients (Polino et al. 2018, arXiv:1802.05668).
#include "methods/redistribute.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/random.h"
#include "nnq/error.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"
#include "train/executor.h"
#include "train/trainer.h"

namespace nnq::methods {
namespace {

using Points = std::vector<std::int64_t>;

TEST(Redistribution, HalfForEveryoneAndTheRestByGradient) {
  EXPECT_EQ(redistributed_points({1, 1, 2}, 8), (Points{7, 7, 10}));  // 4 each, 12 left: 3, 3, 6
  EXPECT_EQ(redistributed_points({3, 1}, 4), (Points{5, 3}));         // 2 each, 4 left: 3, 1
  EXPECT_EQ(redistributed_points({1, 1, 2}, 4), (Points{4, 4, 4}));   // 2, 2, 3 of 6: the excess from the largest
  EXPECT_EQ(redistributed_points({1, 1, 1, 1, 6}, 4), (Points{3, 3, 3, 3, 8}));  // 1, 1, 1, 1, 6 of 10
  EXPECT_EQ(redistributed_points({0, 0}, 16), (Points{16, 16}));
  EXPECT_EQ(redistributed_points({0, 1e9}, 2), (Points{2, 2}));      // no tensor below 2
  EXPECT_EQ(redistributed_points({1, 0}, 256), (Points{256, 256}));  // none above 256
}

TEST(Redistribution, TheBudgetIsKept) {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> norms;
    for (int i = 0; i < 1 + round % 23; ++i) norms.push_back(static_cast<double>(random.uniform(0.0F, 1.0F)));
    const std::int64_t each = 2 + round % 200;
    const Points points = redistributed_points(norms, each);
    EXPECT_EQ(std::accumulate(points.begin(), points.end(), std::int64_t{0}),
              each * static_cast<std::int64_t>(norms.size()));
    for (const std::int64_t p : points) EXPECT_TRUE(p >= 2 && p <= 256) << p;
  }
}

TEST(Redistribution, WhatHasNoMeaningIsRefused) {
  EXPECT_THROW(redistributed_points({1}, 1), Error);
  EXPECT_THROW(redistributed_points({1}, 257), Error);
  EXPECT_THROW(redistributed_points({-1}, 4), Error);
  EXPECT_THROW(redistributed_points({std::nan("")}, 4), Error);
}

Samples noise() {
  Samples samples;
  samples.images = Tensor(DType::u8, {40, 1, 4, 4});
  samples.labels = Tensor(DType::i64, {40});
  samples.classes = {"a", "b"};
  Random random(5);
  for (std::uint8_t& v : samples.images.mutable_values<std::uint8_t>())
    v = static_cast<std::uint8_t>(random.below(256));
  for (std::int64_t i = 0; i < 40; ++i) samples.labels.mutable_as<std::int64_t>()[i] = i % 2;
  return samples;
}

TEST(Redistribution, OfANetworkTrainsFreezesAndKeepsItsPoints) {
  const Graph network = build_zoo("mlp", {{"hidden", "16,8"}, {"size", "4"}, {"classes", "2"}});
  PlacementOptions placement;
  placement.rules = {{"*", {"differentiable", 3, {}}, {}, {}}};
  std::vector<TensorPoints> tensors;
  const Graph placed =
      redistribute_points(place_quantizers(network, placement), network, noise(), {}, 2, 20, 1, tensors);
  ASSERT_EQ(tensors.size(), 3U);
  std::int64_t total = 0;
  for (const TensorPoints& tensor : tensors) {
    EXPECT_GT(tensor.norm, 0);
    total += tensor.points;
  }
  EXPECT_EQ(total, 3 * 8);
  const Graph calibrated = train::calibrate_graph(placed, noise(), {}, 8, 1);
  for (const TensorPoints& tensor : tensors)
    EXPECT_EQ(calibrated.initializers.at(tensor.quantizer + ".points").count(), tensor.points);
  const Graph frozen = train::freeze_graph(calibrated, 1);
  const at::Tensor x = at::ones({2, 1, 4, 4});
  const at::NoGradGuard no_gradient;
  train::Executor simulated(calibrated, {}), deployed(frozen, {});
  const std::string input = simulated.input_name();
  EXPECT_TRUE(
      at::allclose(simulated.forward({{input, x}}, false)[0], deployed.forward({{input, x}}, false)[0], 1e-4, 1e-4));
  EXPECT_THROW(redistribute_points(calibrated, network, noise(), {}, 2, 20, 1, tensors), Error);  // points are there
  EXPECT_THROW(redistribute_points(network, network, noise(), {}, 2, 20, 1, tensors), Error);     // no quantizer
}

}  // namespace
}  // namespace nnq::methods
