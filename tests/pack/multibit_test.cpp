// Levels of a basis, least squares and the three searches: the worked numbers of the sheets of LQ-Nets
// (arXiv:1807.10029) and alternating multi-bit quantization (arXiv:1802.00150), and what must hold for any data.
#include "pack/multibit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/random.h"
#include "nnq/encoding.h"

namespace nnq::multibit {
namespace {

const std::vector<float> row{1.6f, -0.4f, 0.1f, -1.2f, 0.5f, -0.2f, 0.7f, 0.3f};
const std::vector<float> stuck{2.0f, -0.3f, 0.2f, -1.5f, 0.4f, -0.1f, 0.9f, 0.1f};

struct Result {
  std::vector<float> alpha;
  std::vector<std::uint8_t> codes;
  std::vector<float> values;
};

Result decomposed(const std::vector<float>& x, int bits, Search search, int cycles) {
  Result r{std::vector<float>(static_cast<std::size_t>(bits)), std::vector<std::uint8_t>(x.size()),
           std::vector<float>(x.size())};
  decompose(x.data(), static_cast<std::int64_t>(x.size()), bits, search, cycles, r.alpha.data(), r.codes.data(),
            r.values.data());
  return r;
}

double error(const std::vector<float>& x, const std::vector<float>& q) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i]) - static_cast<double>(q[i]), 2);
  return sum;
}

void expect_alpha(const Result& r, double first, double second, double squared_error, const std::vector<float>& x) {
  EXPECT_NEAR(static_cast<double>(r.alpha[0]), first, 2e-6);
  EXPECT_NEAR(static_cast<double>(r.alpha[1]), second, 2e-6);
  EXPECT_NEAR(error(x, r.values), squared_error, 2e-6);
}

std::vector<float> normal(std::int64_t n, std::uint64_t seed) {
  Random random(seed, 7);
  std::vector<float> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(static_cast<float>(random.normal()));
  return x;
}

/// Index of the nearest level by looking at all of them; ties go up.
int exhaustive(const Levels& levels, float x) {
  int best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (int l = 0; l < levels.count; ++l) {
    const double distance =
        std::fabs(static_cast<double>(x) - static_cast<double>(levels.values[static_cast<std::size_t>(l)]));
    if (distance <= least) {
      least = distance;
      best = l;
    }
  }
  return best;
}

/// The parts of every level add up without rounding, in any order, and a basis hardly moves.
TEST(Multibit, LevelsOfABasisOnItsGridAreExactSums) {
  Random random(9, 1);
  for (int bits = 1; bits <= kMaxBits; ++bits) {
    for (int round = 0; round < 50; ++round) {
      std::vector<float> basis;
      double top = 0;
      for (int k = 0; k < bits; ++k) {
        basis.push_back(static_cast<float>(std::ldexp(random.normal(), k - round)));
        top += std::fabs(static_cast<double>(basis.back()));
      }
      std::vector<float> moved = basis, again;
      to_grid(moved);
      for (std::size_t k = 0; k < basis.size(); ++k)
        EXPECT_NEAR(static_cast<double>(moved[k]), static_cast<double>(basis[k]), top * 0x1p-23);
      again = moved;
      to_grid(again);
      EXPECT_EQ(again, moved);
      for (const Digits digits : {Digits::signs, Digits::bits}) {
        for (int code = 0; code < 1 << bits; ++code) {
          double exact = 0;
          for (int k = bits - 1; k >= 0; --k) {
            const double v = static_cast<double>(moved[static_cast<std::size_t>(k)]);
            exact += (code >> k & 1) != 0 ? v : digits == Digits::signs ? -v : 0;
          }
          ASSERT_EQ(static_cast<double>(level_of(moved, digits, code)), exact);
        }
      }
    }
  }
  std::vector<float> none = {0, 0}, endless = {1, std::numeric_limits<float>::infinity()};
  to_grid(none);
  to_grid(endless);
  EXPECT_EQ(none, std::vector<float>({0, 0}));
  EXPECT_EQ(endless[0], 1);
}

TEST(AlternatingSheet, WorkedRow) {  // 1
  expect_alpha(decomposed(row, 2, Search::greedy, 2), 0.625, 0.40625, 0.594688, row);
  expect_alpha(decomposed(row, 2, Search::refined, 2), 0.733333, 0.433333, 0.506667, row);
  const Result one = decomposed(row, 2, Search::alternating, 1);
  expect_alpha(one, 0.733333, 0.433333, 0.448889, row);
  EXPECT_NEAR(static_cast<double>(one.values[6]), 0.3, 2e-6);  // 0.7 moves from level 1.1667 to 0.3
  EXPECT_NEAR(static_cast<double>(one.values[0]), 1.166667, 2e-6);
  for (const int cycles : {2, 3, 10})
    expect_alpha(decomposed(row, 2, Search::alternating, cycles), 0.883333, 0.516667, 0.313333, row);
}

TEST(AlternatingSheet, LocalOptimum) {  // 2
  EXPECT_NEAR(error(stuck, decomposed(stuck, 2, Search::greedy, 2).values), 0.856797, 2e-6);
  for (const int cycles : {1, 2, 20})
    expect_alpha(decomposed(stuck, 2, Search::alternating, cycles), 0.843333, 0.623333, 0.674667, stuck);
  expect_alpha(decomposed(stuck, 2, Search::refined, 2), 0.843333, 0.623333, 0.674667, stuck);
}

TEST(AlternatingSheet, ErrorNeverRisesInEitherHalfStep) {  // 3
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<float> x = normal(60, seed);
    Result r = decomposed(x, 3, Search::greedy, 0);
    double last = error(x, r.values);
    for (int cycle = 0; cycle < 10; ++cycle) {
      Bins bins;
      accumulate(3, r.codes.data(), x.data(), 60, bins);
      ASSERT_TRUE(least_squares(bins, Digits::signs, 0, r.alpha, r.alpha));
      std::vector<float> q;
      for (const std::uint8_t code : r.codes) q.push_back(level_of(r.alpha, Digits::signs, code));
      const double fitted = error(x, q);
      EXPECT_LE(fitted, last + 1e-5);
      const Levels levels(r.alpha, Digits::signs, Ties::up);
      encode(levels, x.data(), r.codes.data(), 60);
      quantize(levels, x.data(), q.data(), 60);
      last = error(x, q);
      EXPECT_LE(last, fitted + 1e-5);
    }
  }
}

TEST(AlternatingSheet, RelativeErrorOfNormalRows) {  // 4
  const auto mean = [](int bits, Search search, int cycles) {
    double sum = 0;
    for (std::uint64_t seed = 0; seed < 150; ++seed) {
      const std::vector<float> x = normal(300, 1000 + seed);
      double square = 0;
      for (const float v : x) square += static_cast<double>(v) * static_cast<double>(v);
      sum += error(x, decomposed(x, bits, search, cycles).values) / square / 150;
    }
    return sum;
  };
  EXPECT_NEAR(mean(1, Search::alternating, 2), 0.360, 0.005);
  const double expected[3][5] = {{0.130, 0.125, 0.122, 0.119, 0.117},
                                 {0.0585, 0.0504, 0.0503, 0.0458, 0.0363},
                                 {0.0332, 0.0244, 0.0248, 0.0204, 0.0110}};
  for (int bits = 2; bits <= 4; ++bits) {
    const double* of = expected[bits - 2];
    const double greedy = mean(bits, Search::greedy, 0), refined = mean(bits, Search::refined, 0),
                 twice = mean(bits, Search::alternating, 2);
    EXPECT_NEAR(greedy, of[0], 0.05 * of[0]) << bits;
    EXPECT_NEAR(refined, of[1], 0.05 * of[1]) << bits;
    EXPECT_NEAR(mean(bits, Search::alternating, 1), of[2], 0.05 * of[2]) << bits;
    EXPECT_NEAR(twice, of[3], 0.05 * of[3]) << bits;
    EXPECT_NEAR(mean(bits, Search::alternating, 20), of[4], 0.05 * of[4]) << bits;
    EXPECT_GT(greedy, refined);
    EXPECT_GT(refined, twice);
  }
}

TEST(AlternatingSheet, BisectingFindsWhatExhaustiveSearchFinds) {  // 5
  for (int bits = 1; bits <= 8; ++bits)
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      std::vector<float> basis = normal(bits, seed);  // negative and unsorted too
      const Levels levels(basis, seed % 2 == 0 ? Digits::signs : Digits::bits, Ties::up);
      std::vector<float> x = normal(999, 50 + seed), q(x.size());
      x[0] = levels.lowest();
      x[1] = levels.highest();
      std::vector<std::uint8_t> codes(x.size());
      quantize(levels, x.data(), q.data(), 999);
      encode(levels, x.data(), codes.data(), 999);
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(q[i], levels.values[static_cast<std::size_t>(exhaustive(levels, x[i]))]) << x[i];
        EXPECT_EQ(q[i], level_of(basis, seed % 2 == 0 ? Digits::signs : Digits::bits, codes[i]));
      }
    }
}

TEST(AlternatingSheet, TiesGoUpAndZeroIsPositive) {
  const std::vector<float> basis{1.0f};
  const float zero = 0;
  std::uint8_t code = 7;
  encode(Levels(basis, Digits::signs, Ties::up), &zero, &code, 1);
  EXPECT_EQ(code, 1);
  encode(Levels(basis, Digits::signs, Ties::down), &zero, &code, 1);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(decomposed({0.0f, -1.0f, 1.0f}, 1, Search::greedy, 0).codes, (std::vector<std::uint8_t>{1, 0, 1}));
}

TEST(AlternatingSheet, TwoBitsInClosedForm) {  // 6: b1 = sign(w), b2 = sign(w - alpha1 b1) for alpha1 >= alpha2 >= 0
  const std::vector<float> basis{0.9f, 0.4f};
  const Levels levels(basis, Digits::signs, Ties::up);
  for (const float w : normal(500, 3)) {
    std::uint8_t code = 0;
    encode(levels, &w, &code, 1);
    const bool first = w >= 0, second = w - (first ? 0.9f : -0.9f) >= 0;
    EXPECT_EQ(code, (first ? 1 : 0) + (second ? 2 : 0)) << w;
  }
}

TEST(AlternatingSheet, PackedProductIsTheFloatProduct) {  // 7: n - 2 popcount(b xor c)
  const std::vector<float> w = normal(100, 4), h = normal(100, 5);
  const Result a = decomposed(w, 3, Search::alternating, 2), b = decomposed(h, 2, Search::alternating, 2);
  double exact = 0, packed = 0;
  for (std::size_t i = 0; i < w.size(); ++i)
    exact += static_cast<double>(a.values[i]) * static_cast<double>(b.values[i]);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 2; ++j) {
      int apart = 0;
      for (std::size_t k = 0; k < w.size(); ++k) apart += (a.codes[k] >> i ^ b.codes[k] >> j) & 1;
      packed += static_cast<double>(a.alpha[i]) * static_cast<double>(b.alpha[j]) * (100 - 2 * apart);
    }
  EXPECT_NEAR(packed, exact, 1e-4);
}

TEST(AlternatingSheet, SpeedFormula) {  // 8
  const auto faster = [](double kw, double kh) {
    const double m = 4096, n = 1024;
    return m * n / (kw * kh * m * n / 64 + 2 * kh * kh * n + 6 * kh * n + kw * kh * m);
  };
  EXPECT_NEAR(faster(2, 2), 14.03, 0.01);
  EXPECT_NEAR(faster(3, 3), 6.32, 0.01);
  EXPECT_NEAR(faster(1, 1), 53.9, 0.1);
}

TEST(Multibit, DegenerateRowsAreDefined) {
  for (const Search search : {Search::greedy, Search::refined, Search::alternating})
    for (int bits = 1; bits <= 8; ++bits) {
      for (const std::vector<float>& x :
           {std::vector<float>{0, 0, 0}, std::vector<float>{0.5f}, std::vector<float>{-2, -2, -2, -2},
            std::vector<float>{1e30f, 1e30f}, std::vector<float>{1e-38f, -1e-38f, 1e-38f}}) {
        const Result r = decomposed(x, bits, search, 3);
        for (std::size_t i = 0; i < x.size(); ++i) {
          ASSERT_TRUE(std::isfinite(r.values[i]));
          EXPECT_NEAR(static_cast<double>(r.values[i]), static_cast<double>(x[i]), std::fabs(x[i]) * 1e-4);
          EXPECT_EQ(r.values[i], level_of(r.alpha, Digits::signs, r.codes[i]));
        }
      }
      EXPECT_EQ(decomposed({}, bits, search, 2).alpha, std::vector<float>(static_cast<std::size_t>(bits), 0.0f));
    }
}

TEST(Multibit, NaNGetsTheLowestLevelAndNoBin) {
  const std::vector<float> basis{0.5f, 1.0f};
  const Levels levels(basis, Digits::signs, Ties::up);
  const std::vector<float> x{std::nanf(""), 2.0f, std::nanf("")};
  std::vector<float> q(3);
  quantize(levels, x.data(), q.data(), 3);
  EXPECT_EQ(q, (std::vector<float>{-1.5f, 1.5f, -1.5f}));
  Bins bins;
  accumulate(levels, x.data(), 3, bins);
  EXPECT_EQ(bins.count[3], 1);
  EXPECT_EQ(bins.sum[3], 2);
  EXPECT_EQ(bins.count[0], 0);
}

TEST(Multibit, BinsOfLevelsAndOfCodesAgree) {
  for (int bits = 1; bits <= 8; ++bits)
    for (const std::int64_t n : {1, 7, 8, 511, 513, 2000}) {
      const std::vector<float> basis = normal(bits, 9), x = normal(n, 10);
      const Levels levels(basis, Digits::signs, Ties::down);
      std::vector<std::uint8_t> codes(x.size());
      encode(levels, x.data(), codes.data(), n);
      Bins scanned, counted;
      accumulate(levels, x.data(), n, scanned);
      accumulate(bits, codes.data(), x.data(), n, counted);
      for (std::size_t c = 0; c < std::size_t{1} << bits; ++c) {
        EXPECT_EQ(scanned.count[c], counted.count[c]) << bits << " bits, " << n << " values";
        EXPECT_NEAR(scanned.sum[c], counted.sum[c], 1e-3);
      }
    }
}

TEST(Multibit, LeastSquaresKeepsABasisThatTheDataDoesNotDetermine) {
  const Bins empty;
  std::vector<float> basis{0.25f, 0.5f};
  EXPECT_FALSE(least_squares(empty, Digits::bits, 0, basis, basis));
  EXPECT_EQ(basis, (std::vector<float>{0.25f, 0.5f}));
  EXPECT_TRUE(least_squares(empty, Digits::bits, 1e-4, basis, basis));
  EXPECT_FLOAT_EQ(basis[0], 0.25f);
  Bins one_code;  // only code 1: says nothing of the second number
  one_code.count[1] = 4;
  one_code.sum[1] = 4;
  EXPECT_FALSE(least_squares(one_code, Digits::bits, 0, basis, basis));
  EXPECT_TRUE(least_squares(one_code, Digits::bits, 1e-6, basis, basis));
  EXPECT_NEAR(static_cast<double>(basis[0]), 1.0, 1e-5);
  EXPECT_FLOAT_EQ(basis[1], 0.5f);
  Bins infinite;
  infinite.count[1] = infinite.count[2] = 1;
  infinite.sum[1] = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(least_squares(infinite, Digits::bits, 0, basis, basis));
}

TEST(Multibit, CodesFollowLevelsWhenTheBasisCrossesOrIsNegative) {  // LQ-Nets, traps
  const Levels crossed(std::vector<float>{0.6f, 0.3f}, Digits::signs, Ties::down);
  EXPECT_EQ(crossed.codes[1], 2);  // -0.6 + 0.3
  EXPECT_EQ(crossed.codes[2], 1);
  const Levels negative(std::vector<float>{-0.5f, 1.0f}, Digits::bits, Ties::down);
  EXPECT_EQ(negative.codes[0], 1);  // -0.5: code 00 is no longer the lowest
  EXPECT_EQ(negative.values[1], 0.0f);
}

TEST(Multibit, ThresholdsSeparateNeighbouringFloats) {
  const float low = 1.0f, high = std::nextafter(1.0f, 2.0f);
  const std::vector<float> basis{low, high - low};  // with digits 0 and 1: 0, tiny, 1, 1 + tiny
  for (const Ties ties : {Ties::up, Ties::down}) {
    const Levels levels(basis, Digits::bits, ties);
    std::vector<float> q(2);
    const std::vector<float> x{low, high};
    quantize(levels, x.data(), q.data(), 2);
    EXPECT_EQ(q, x) << "a level is its own nearest level";
  }
}

}  // namespace
}  // namespace nnq::multibit
