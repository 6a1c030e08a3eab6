// sigmoid and tanh against the library's; sums from counts, cells and packing against one number at a time. The loops
// are compiled for several instruction sets: lanes must not change a bit.
#include "kernels/recurrent/recurrent.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/random.h"
#include "kernels/recurrent/functions.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

TEST(RecurrentFunctions, AreNearTheTrueOnes) {
  for (int i = -400000; i <= 400000; ++i) {
    const float x = static_cast<float>(i) * 2.5e-4F;
    const double d = static_cast<double>(x);
    ASSERT_NEAR(sigmoid_rounded(x), 1 / (1 + std::exp(-d)), 3e-7) << x;
    ASSERT_NEAR(tanh_rounded(x), std::tanh(d), 3e-7) << x;
  }
  EXPECT_EQ(sigmoid_rounded(0), 0.5F);
  EXPECT_EQ(tanh_rounded(0), 0.0F);
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(tanh_rounded(infinity), 1.0F);
  EXPECT_EQ(tanh_rounded(-infinity), -1.0F);
  EXPECT_EQ(sigmoid_rounded(infinity), 1.0F);
  EXPECT_NEAR(sigmoid_rounded(-infinity), 0.0F, 1e-37F);
  EXPECT_TRUE(std::isnan(sigmoid_rounded(nan)));
  EXPECT_TRUE(std::isnan(tanh_rounded(nan)));
}

std::vector<float> random_floats(Random& random, std::int64_t n, float bound) {
  std::vector<float> x(sz(n));
  for (float& v : x) v = random.uniform(-bound, bound);
  return x;
}

TEST(RecurrentCells, LanesDoNotChangeBits) {
  Random random(1);
  for (const std::int64_t n : {1, 7, 8, 31, 300}) {
    const std::vector<float> input = random_floats(random, 4 * n, 6), state = random_floats(random, 4 * n, 6),
                             c0 = random_floats(random, n, 2), h0 = random_floats(random, n, 1);
    std::vector<float> c = c0, h = h0;
    lstm_cell(input.data(), state.data(), c.data(), h.data(), n);
    for (std::int64_t j = 0; j < n; ++j) {
      const auto gate = [&](std::int64_t k) { return input[sz(k * n + j)] + state[sz(k * n + j)]; };
      const float kept = sigmoid_rounded(gate(2)) * c0[sz(j)], added = sigmoid_rounded(gate(0)) * tanh_rounded(gate(3));
      ASSERT_EQ(c[sz(j)], kept + added);
      ASSERT_EQ(h[sz(j)], sigmoid_rounded(gate(1)) * tanh_rounded(c[sz(j)]));
    }
    h = h0;
    gru_cell(input.data(), state.data(), h.data(), n);
    for (std::int64_t j = 0; j < n; ++j) {
      const auto gate = [&](std::int64_t k) { return input[sz(k * n + j)] + state[sz(k * n + j)]; };
      const float z = sigmoid_rounded(gate(0)), reset = sigmoid_rounded(gate(1)) * state[sz(2 * n + j)];
      const float fresh = (1.0F - z) * tanh_rounded(input[sz(2 * n + j)] + reset), kept = z * h0[sz(j)];
      ASSERT_EQ(h[sz(j)], fresh + kept);
    }
  }
}

TEST(IntegerSums, AreScaledInTheWrittenOrder) {
  Random random(3);
  for (const std::int64_t n : {1, 7, 8, 31, 300}) {
    const std::vector<float> scale = random_floats(random, n, 1), before = random_floats(random, n, 1);
    std::vector<std::int32_t> sums(sz(n));
    for (std::int32_t& s : sums) s = static_cast<std::int32_t>(random.below(std::uint64_t{1} << 26)) - (1 << 25);
    std::vector<float> y = before, constant = before;
    add_integers({sums.data(), 2, -77, scale.data(), 0.3F}, n, y.data());
    add_integers({nullptr, 0, 1234567, scale.data(), 0.3F}, n, constant.data());
    for (std::int64_t o = 0; o < n; ++o) {
      const float both = scale[sz(o)] * 0.3F;
      const float product = both * static_cast<float>(2 * sums[sz(o)] - 77), other = both * 1234567.0F;
      ASSERT_EQ(y[sz(o)], before[sz(o)] + product);
      ASSERT_EQ(constant[sz(o)], before[sz(o)] + other);
    }
  }
}

TEST(IntegerSums, CodesAreSigned) {
  for (const std::int64_t n : {1, 8, 255}) {
    std::vector<std::uint8_t> codes(sz(n));
    std::int32_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      codes[sz(i)] = static_cast<std::uint8_t>(i * 37);
      sum += codes[sz(i)] - 128;
    }
    std::vector<std::int8_t> made(256, 5);
    EXPECT_EQ(signed_codes(codes.data(), n, 256, made.data()), sum);
    for (std::int64_t i = 0; i < 256; ++i) ASSERT_EQ(made[sz(i)], i < n ? codes[sz(i)] - 128 : 0) << i;
  }
}

TEST(RecurrentPacking, PutsBitsInPlanes) {
  Random random(2);
  for (const std::int64_t n : {1, 8, 9, 63, 64, 65, 300}) {
    for (int planes = 1; planes <= 8; ++planes) {
      std::vector<std::uint8_t> codes(sz(n));
      for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(random.below(std::uint64_t{1} << planes));
      const std::int64_t words = (n + 63) / 64;
      std::vector<std::uint64_t> packed(sz(words * planes), ~std::uint64_t{0});
      std::vector<std::int32_t> set(sz(planes));
      pack_vector(codes.data(), n, planes, words, packed.data(), set.data());
      for (int q = 0; q < planes; ++q) {
        std::int32_t expected = 0;
        for (std::int64_t i = 0; i < words * 64; ++i) {
          const unsigned bit = i < n ? codes[sz(i)] >> q & 1U : 0U;
          ASSERT_EQ(packed[sz(q * words + i / 64)] >> (i % 64) & 1U, bit) << n << " plane " << q << " at " << i;
          expected += static_cast<std::int32_t>(bit);
        }
        EXPECT_EQ(set[sz(q)], expected);
      }
    }
  }
}

}  // namespace
}  // namespace nnq::test
