// Every row of the table that this CPU can run against counting bit by bit.
#include "kernels/planes/planes.h"

#include <gtest/gtest.h>

#include <iostream>
#include <vector>

#include "core/random.h"

namespace nnq::test {
namespace {

struct Size {
  int code_planes, weight_planes;
  std::int64_t words, panels, gap;  // gap: of the counts' rows beyond the outputs
};

using Words = std::vector<std::uint64_t>;

Words random_words(Random& random, std::int64_t count, bool full) {
  Words words(static_cast<std::size_t>(count));
  for (std::uint64_t& w : words) w = full ? ~std::uint64_t{0} : random.next();
  return words;
}

/// Bit by bit.
std::vector<std::int32_t> expected_counts(const Size& s, const Words& codes, const Words& panels, std::int64_t stride) {
  std::vector<std::int32_t> counts(static_cast<std::size_t>(s.weight_planes * s.code_planes * stride), -7);
  for (std::int64_t o = 0; o < s.panels * plane_panel; ++o) {
    for (int p = 0; p < s.weight_planes; ++p) {
      for (int q = 0; q < s.code_planes; ++q) {
        std::int32_t count = 0;
        for (std::int64_t bit = 0; bit < s.words * 64; ++bit) {
          const std::int64_t word = bit / 64, panel = o / plane_panel, lane = o % plane_panel;
          const std::uint64_t w =
              panels[static_cast<std::size_t>(((panel * s.weight_planes + p) * s.words + word) * plane_panel + lane)];
          const std::uint64_t x = codes[static_cast<std::size_t>(q * s.words + word)];
          count += static_cast<std::int32_t>((w >> (bit % 64)) & (x >> (bit % 64)) & 1U);
        }
        counts[static_cast<std::size_t>((p * s.code_planes + q) * stride + o)] = count;
      }
    }
  }
  return counts;
}

TEST(PlaneKernels, CountCommonBits) {
  std::size_t rows = 0;
  const PlaneKernel* table = plane_table(rows);
  Random random(11);
  for (const bool full : {false, true}) {
    for (const Size& s : {Size{1, 1, 1, 1, 0}, Size{2, 2, 3, 2, 5}, Size{3, 1, 30, 1, 0}, Size{4, 3, 31, 3, 1},
                          Size{5, 2, 32, 1, 0}, Size{7, 2, 63, 2, 3}, Size{8, 8, 64, 1, 0}, Size{2, 2, 0, 1, 0},
                          Size{2, 3, 124, 2, 1}, Size{2, 1, 255, 2, 0}, Size{8, 1, 300, 1, 0}, Size{3, 2, 700, 2, 1}}) {
      const std::int64_t stride = s.panels * plane_panel + s.gap;
      const Words codes = random_words(random, s.code_planes * s.words, full),
                  panels = random_words(random, s.panels * s.weight_planes * s.words * plane_panel, full);
      const std::vector<std::int32_t> expected = expected_counts(s, codes, panels, stride);
      for (std::size_t r = 0; r < rows; ++r) {
        if (table[r].isa > hardware_isa()) continue;
        std::vector<std::int32_t> counts(expected.size(), -7);
        table[r].counts(codes.data(), s.code_planes, panels.data(), s.weight_planes, s.words, s.panels, counts.data(),
                        stride);
        EXPECT_EQ(counts, expected) << table[r].name << ", " << s.code_planes << " x " << s.weight_planes << " planes, "
                                    << s.words << " words, " << s.panels << " panels";
      }
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    if (table[r].isa > hardware_isa())
      std::cout << "skipped: " << table[r].name << ": the CPU lacks " << name_of(table[r].isa) << "\n";
  }
}

/// Terms of every kind; coefficients of any size, so that another order, or a fused multiply-add, would show.
TEST(PlaneKernels, WeightedSumsHaveTheSameBitsOnEveryInstructionSet) {
  std::size_t rows = 0;
  const PlaneKernel* table = plane_table(rows);
  Random random(12);
  for (const std::size_t outputs : {1U, 8U, 13U, 64U}) {
    const std::size_t padded = (outputs + 7) / 8 * 8, kinds = 9;
    std::vector<double> coefficients(kinds * padded);
    std::vector<std::int32_t> sums(padded), set(padded);
    for (double& c : coefficients) c = random.normal();
    for (std::int32_t& v : sums) v = static_cast<std::int32_t>(random.below(4000));
    for (std::int32_t& v : set) v = static_cast<std::int32_t>(random.below(4000));
    std::vector<PlaneTerm> terms;
    for (std::size_t i = 0; i < kinds; ++i)
      terms.push_back({coefficients.data() + i * padded, i % 3 == 2 ? nullptr : sums.data(),
                       i % 2 == 0 ? nullptr : set.data(), i % 4 == 0 ? 4 : 1, i % 4 == 1 ? 2 : 1,
                       static_cast<std::int32_t>(random.below(100)) - 50});
    std::vector<float> expected(outputs);
    for (std::size_t o = 0; o < outputs; ++o) {
      double y = 0;
      for (const PlaneTerm& t : terms) {
        std::int32_t v = t.constant;
        if (t.sums != nullptr) v += t.factor * t.sums[o];
        if (t.set != nullptr) v -= t.per_set * t.set[o];
        const double product = t.coefficient[o] * static_cast<double>(v);
        y += product;
      }
      expected[o] = static_cast<float>(y);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      if (table[r].isa > hardware_isa()) continue;
      std::vector<float> y(padded, 0.5F);
      table[r].combine(terms.data(), static_cast<std::int64_t>(terms.size()), static_cast<std::int64_t>(outputs),
                       y.data());
      y.resize(outputs);
      EXPECT_EQ(y, expected) << table[r].name << ", " << outputs << " outputs";
    }
  }
}

TEST(PlaneKernels, TheFirstRowThatFitsIsTaken) {
  EXPECT_STREQ(plane_kernel(Isa::portable).name, "planes_popcount_portable");
  std::size_t rows = 0;
  const PlaneKernel* table = plane_table(rows);
  for (std::size_t r = 0; r < rows; ++r) EXPECT_EQ(plane_kernel(table[r].isa).name, table[r].name);
}

}  // namespace
}  // namespace nnq::test
