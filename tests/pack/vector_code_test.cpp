// Vectors rounded to 8 bits with a scale of their own: numbers worked out by hand, ties, vectors without a scale.
#include "pack/vector_code.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/random.h"
#include "pack/multibit.h"

namespace nnq {
namespace {

struct Coded {
  float scale = -1;
  std::vector<int> codes;
  std::vector<float> values;
};

Coded uniform(const std::vector<float>& x) {
  Coded c;
  std::vector<std::uint8_t> stored(x.size());
  c.values.resize(x.size());
  quantize_vector({.uniform = true, .bits = 8, .cycles = 0}, x.data(), static_cast<std::int64_t>(x.size()), &c.scale,
                  stored.data(), c.values.data());
  for (const std::uint8_t s : stored) c.codes.push_back(s - uniform_vector_zero);
  return c;
}

TEST(VectorCode, TheLargestMagnitudeIs127) {
  const Coded c = uniform({-254, 3, 1, -1, -3, 5, 0, -0.0F, 100});
  EXPECT_EQ(c.scale, 2);
  EXPECT_EQ(c.codes, (std::vector<int>{-127, 2, 0, 0, -2, 2, 0, 0, 50}));  // ties to even: 1.5, 0.5, 2.5
  EXPECT_EQ(c.values, (std::vector<float>{-254, 4, 0, 0, -4, 4, 0, 0, 100}));
}

TEST(VectorCode, EveryCodeIsTheNearest) {
  Random random(1);
  for (const std::size_t n : {1U, 7U, 8U, 31U, 300U}) {
    std::vector<float> x(n);
    for (float& v : x) v = random.uniform(-1, 1);
    const Coded c = uniform(x);
    float most = 0;
    for (const float v : x) most = std::max(most, std::abs(v));
    ASSERT_EQ(c.scale, most / 127);
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(c.codes[i], static_cast<int>(std::nearbyint(x[i] / c.scale))) << n << " at " << i;
      ASSERT_EQ(c.values[i], c.scale * static_cast<float>(c.codes[i]));
    }
  }
}

TEST(VectorCode, WithoutAScale) {
  for (const float tiny : {0.0F, 1e-45F, -3e-44F}) {
    const Coded c = uniform({tiny, 0, -0.0F});
    EXPECT_EQ(c.scale, 0);
    EXPECT_EQ(c.codes, (std::vector<int>{0, 0, 0}));
    EXPECT_EQ(c.values, (std::vector<float>{0, 0, 0}));
  }
  const float infinity = std::numeric_limits<float>::infinity();
  const Coded nan = uniform({1, std::nanf(""), -2}), inf = uniform({1, infinity, -infinity});
  EXPECT_TRUE(std::isnan(nan.scale));
  EXPECT_EQ(nan.codes, (std::vector<int>{-127, -127, -127}));
  EXPECT_TRUE(std::isnan(nan.values[0]));
  EXPECT_EQ(inf.scale, infinity);
  EXPECT_EQ(inf.codes, (std::vector<int>{0, -127, -127}));
}

TEST(VectorCode, OtherwiseSumsOfSigns) {
  Random random(2);
  std::vector<float> x(50), values(50), expected(50), scales(3), alpha(3);
  for (float& v : x) v = random.uniform(-1, 1);
  std::vector<std::uint8_t> codes(50), signs(50);
  quantize_vector({.uniform = false, .bits = 3, .cycles = 1}, x.data(), 50, scales.data(), codes.data(), values.data());
  multibit::decompose(x.data(), 50, 3, multibit::Search::alternating, 1, alpha.data(), signs.data(), expected.data());
  EXPECT_EQ(scales, alpha);
  EXPECT_EQ(codes, signs);
  EXPECT_EQ(values, expected);
}

}  // namespace
}  // namespace nnq
