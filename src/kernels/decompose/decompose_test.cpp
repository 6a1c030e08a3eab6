// Every row of the table of decompositions against multibit::decompose(), bit for bit.
#include "kernels/decompose/decompose.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/random.h"
#include "kernels/guarded.h"
#include "pack/multibit.h"

namespace nnq::test {
namespace {

/// What the numbers of a vector are like.
const char* const kinds[] = {"uniform",       "peaked", "few values", "tiny",         "mostly zero", "negative zero",
                             "one magnitude", "huge",   "infinite",   "not a number", "all zero",    "one large"};

float draw(const std::string& kind, Random& random) {
  const float u = random.uniform(-1.0F, 1.0F);
  if (kind == "peaked") return u * u * u;
  if (kind == "few values") return static_cast<float>(random.below(5)) - 2.0F;
  if (kind == "tiny") return u * 1e-40F;
  if (kind == "mostly zero") return random.below(4) == 0 ? u : 0.0F;
  if (kind == "negative zero") return random.below(2) == 0 ? -0.0F : u;
  if (kind == "one magnitude") return random.below(2) == 0 ? 0.75F : -0.75F;
  if (kind == "huge") return u * 3e38F;
  if (kind == "infinite") return random.below(40) == 0 ? std::numeric_limits<float>::infinity() : u;
  if (kind == "not a number") return random.below(40) == 0 ? std::numeric_limits<float>::quiet_NaN() : u;
  if (kind == "all zero") return 0.0F;
  if (kind == "one large") return random.below(100) == 0 ? 1e6F : u;
  return u;
}

void check(const DecomposeKernel& kernel, const std::string& kind, std::int64_t count, int bits, int cycles,
           Random& random) {
  const auto n = static_cast<std::size_t>(count), k = static_cast<std::size_t>(bits);
  Guarded<float> x(n), scratch(n), alpha(k);
  Guarded<std::uint8_t> codes(n);
  for (std::int64_t i = 0; i < count; ++i) x[i] = draw(kind, random);
  std::vector<float> expected(k), values(n);
  std::vector<std::uint8_t> expected_codes(n);
  multibit::decompose(x.data(), count, bits, multibit::Search::alternating, cycles, expected.data(),
                      expected_codes.data(), values.data());
  kernel.run({x.data(), count, bits, cycles, alpha.data(), codes.data(), scratch.data()});
  const std::string what = std::string(kernel.name) + ": " + kind + ", " + std::to_string(count) + " values, " +
                           std::to_string(bits) + " bits, " + std::to_string(cycles) + " cycles";
  EXPECT_EQ(std::memcmp(alpha.data(), expected.data(), k * sizeof(float)), 0)
      << what << ": first scale " << alpha[0] << ", not " << expected[0];
  EXPECT_TRUE(count == 0 || std::memcmp(codes.data(), expected_codes.data(), n) == 0) << what;
}

TEST(Decompose, EveryRowHasTheBitsOfTheReference) {
  for (const DecomposeKernel& kernel : rows_of(decompose_table)) {
    Random random(1);
    for (const char* kind : kinds) {
      for (const std::int64_t count : {0, 1, 7, 8, 31, 32, 33, 39, 40, 63, 64, 65, 200, 300, 1024, 1025}) {
        for (int bits = 1; bits <= 3; ++bits) {
          for (const int cycles : {0, 1, 2, 5}) check(kernel, kind, count, bits, cycles, random);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Decompose, ManyVectorsOfOrdinaryNumbers) {
  for (const DecomposeKernel& kernel : rows_of(decompose_table)) {
    Random random(2);
    for (int round = 0; round < 3000; ++round) {
      check(kernel, kinds[round % 3], 32 + static_cast<std::int64_t>(random.below(300)), 1 + round % 2, 2, random);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace nnq::test
