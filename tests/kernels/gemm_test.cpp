// Every row of the kernel table that this CPU can run against a naive loop: tails, odd strides, extreme values, and
// buffers that end where the memory ends.
#include "kernels/gemm/gemm.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <iostream>
#include <vector>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

std::vector<GemmKernels> available_rows() {
  std::size_t count = 0;
  const GemmKernels* table = gemm_table(count);
  std::vector<GemmKernels> rows;
  for (std::size_t i = 0; i < count; ++i) {
    if (table[i].isa <= hardware_isa())
      rows.push_back(table[i]);
    else
      std::cout << "skipped: " << table[i].int8_name << ", " << table[i].binary_name << ", " << table[i].float_name
                << ": the CPU lacks " << name_of(table[i].isa) << "\n";
  }
  return rows;
}

constexpr std::int32_t untouched = 0x5a5a5a5a;
const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

struct Size {
  std::int64_t rows, depth, panels;  // depth: k4, k32 or k
  std::int64_t gap;                  // of a row of the left operand, beyond its depth
  std::int64_t stride;               // of the result
};

std::string text(const Size& s, const char* kernel) {
  return std::string(kernel) + " rows " + std::to_string(s.rows) + " depth " + std::to_string(s.depth) + " panels " +
         std::to_string(s.panels) + " gap " + std::to_string(s.gap) + " stride " + std::to_string(s.stride);
}

/// What was not a result must be as it was.
template <class T>
void expect_gaps_untouched(Guarded<T>& c, const Size& s, std::int64_t columns, const T& mark, const std::string& what) {
  for (std::int64_t i = 0; i < c.size(); ++i) {
    if (i % s.stride >= columns) {
      ASSERT_EQ(c[i], mark) << what << ": wrote into the gap at " << i;
    }
  }
}

/// Result elements: the last row needs no gap behind it, so the last result is the last readable word.
std::size_t result_count(const Size& s) { return sz((s.rows - 1) * s.stride + s.panels * panel_width); }

std::vector<Size> sizes() {
  std::vector<Size> list;
  for (const std::int64_t depth : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33})
    for (std::int64_t rows = 1; rows <= 9; ++rows)
      for (std::int64_t panels = 1; panels <= 3; ++panels)
        list.push_back({rows, depth, panels, (rows * 5 + depth) % 4, panels * panel_width + (rows * depth) % 7});
  // Beyond the blocks in which the portable rows sum.
  for (const std::int64_t depth : {72, 73, 145})
    for (const std::int64_t rows : {48, 49, 51}) list.push_back({rows, depth, 2, 1, 2 * panel_width + 3});
  return list;
}

enum class Fill { random, most_negative, most_positive, alternating };

void check_int8(const GemmKernels& kernel, const Size& s, Fill fill, Random& random) {
  const std::int64_t row_bytes = s.depth * 4 + s.gap;
  Guarded<std::uint8_t> a(sz((s.rows - 1) * row_bytes + s.depth * 4));
  Guarded<std::int8_t> w(sz(s.panels * s.depth * 64));
  Guarded<std::int32_t> c(result_count(s));
  for (std::int64_t i = 0; i < a.size(); ++i) {
    // Some groups of four are all zero: the portable row skips them.
    const bool zero = fill == Fill::random && (i / 4) % 5 == 2;
    a[i] = fill != Fill::random ? std::uint8_t{255} : zero ? std::uint8_t{0} : static_cast<std::uint8_t>(random.next());
  }
  for (std::int64_t i = 0; i < w.size(); ++i) {
    const std::int8_t low = -128, high = 127;
    w[i] = fill == Fill::random          ? static_cast<std::int8_t>(random.next())
           : fill == Fill::most_negative ? low
           : fill == Fill::most_positive ? high
           : i % 2 != 0                  ? low
                                         : high;
  }
  for (std::int64_t i = 0; i < c.size(); ++i) c[i] = untouched;
  kernel.int8(a.data(), sz(row_bytes), w.data(), s.rows, s.depth, s.panels, c.data(), s.stride);
  const std::string what = text(s, kernel.int8_name);
  for (std::int64_t r = 0; r < s.rows; ++r) {
    for (std::int64_t o = 0; o < s.panels * panel_width; ++o) {
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < s.depth * 4; ++k)
        sum +=
            a[r * row_bytes + k] * w[((o / panel_width * s.depth + k / 4) * panel_width + o % panel_width) * 4 + k % 4];
      ASSERT_EQ(c[r * s.stride + o], sum) << what << " at (" << r << ", " << o << ")";
    }
  }
  expect_gaps_untouched(c, s, s.panels * panel_width, untouched, what);
}

TEST(Gemm, Int8OfEverySize) {
  for (const GemmKernels& kernel : available_rows()) {
    Random random(1);
    for (const Size& s : sizes()) {
      check_int8(kernel, s, Fill::random, random);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Gemm, Int8KeepsExtremeSums) {
  for (const GemmKernels& kernel : available_rows()) {
    Random random(2);
    for (const Fill fill : {Fill::most_negative, Fill::most_positive, Fill::alternating}) {
      check_int8(kernel, {1, 1, 1, 0, 16}, fill, random);      // two products already pass 16 bits
      check_int8(kernel, {5, 128, 2, 3, 37}, fill, random);    // 2^24
      check_int8(kernel, {2, 16000, 1, 0, 16}, fill, random);  // nearly 2^31
      if (HasFatalFailure()) return;
    }
  }
}

void check_binary(const GemmKernels& kernel, const Size& s, Fill fill, Random& random) {
  const std::int64_t row_words = s.depth + s.gap;
  Guarded<std::uint32_t> a(sz((s.rows - 1) * row_words + s.depth)), w(sz(s.panels * s.depth * panel_width));
  Guarded<std::int32_t> c(result_count(s));
  for (std::int64_t i = 0; i < a.size(); ++i)
    a[i] = fill == Fill::random ? static_cast<std::uint32_t>(random.next()) : ~std::uint32_t{0};
  for (std::int64_t i = 0; i < w.size(); ++i)
    w[i] = fill == Fill::random ? static_cast<std::uint32_t>(random.next()) : std::uint32_t{0};
  for (std::int64_t i = 0; i < c.size(); ++i) c[i] = untouched;
  kernel.binary(a.data(), sz(row_words), w.data(), s.rows, s.depth, s.panels, c.data(), s.stride);
  const std::string what = text(s, kernel.binary_name);
  for (std::int64_t r = 0; r < s.rows; ++r) {
    for (std::int64_t o = 0; o < s.panels * panel_width; ++o) {
      std::int32_t count = 0;
      for (std::int64_t k = 0; k < s.depth; ++k)
        count +=
            std::popcount(a[r * row_words + k] ^ w[(o / panel_width * s.depth + k) * panel_width + o % panel_width]);
      ASSERT_EQ(c[r * s.stride + o], count) << what << " at (" << r << ", " << o << ")";
    }
  }
  expect_gaps_untouched(c, s, s.panels * panel_width, untouched, what);
}

TEST(Gemm, BinaryOfEverySize) {
  for (const GemmKernels& kernel : available_rows()) {
    Random random(3);
    for (const Size& s : sizes()) {
      check_binary(kernel, s, Fill::random, random);
      if (HasFatalFailure()) return;
    }
    // Every bit differs, over more words than a count in 8 or 16 bits could hold.
    check_binary(kernel, {5, 9, 1, 1, 17}, Fill::most_positive, random);
    check_binary(kernel, {5, 4097, 1, 0, 16}, Fill::most_positive, random);
    if (HasFatalFailure()) return;
  }
}

struct FloatSize {
  std::int64_t outputs, k, panels, columns;
  bool bias;
  std::int64_t cut;  // k is given in two parts, of which the first has so many
  float least = no_least;
};

/// Small whole numbers: any order of summation and any contraction give the same float.
void check_float(const GemmKernels& kernel, const FloatSize& f, Random& random) {
  const std::int64_t width = f.panels * panel_width, row = f.k + f.k % 3;
  const Size s{f.outputs, f.k, f.panels, 0, width + f.outputs * f.k % 5};
  Guarded<float> w(sz((f.outputs - 1) * row + f.k)), panels(sz(f.k * width)), bias(sz(f.outputs)), c(result_count(s));
  const auto fill = [&](Guarded<float>& values) {
    for (std::int64_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random.below(65)) - 32.0F;
  };
  fill(w);
  fill(bias);
  std::vector<float> right(sz(f.k * width));  // [k][width]
  for (float& v : right) v = static_cast<float>(random.below(65)) - 32.0F;
  for (std::int64_t i = 0; i < c.size(); ++i) c[i] = 0.125F;
  for (std::int64_t begin = 0; begin == 0 || begin < f.k; begin += begin == 0 ? f.cut : f.k) {
    const std::int64_t end = begin == 0 ? std::min(f.cut, f.k) : f.k, k = end - begin;
    for (std::int64_t p = 0; p < f.panels; ++p)
      for (std::int64_t i = 0; i < k; ++i)
        for (std::int64_t j = 0; j < panel_width; ++j)
          panels[(p * k + i) * panel_width + j] = right[sz((begin + i) * width + p * panel_width + j)];
    kernel.real({.w = w.data() + begin,
                 .row = row,
                 .outputs = f.outputs,
                 .k = k,
                 .panels = panels.data(),
                 .panel_count = f.panels,
                 .columns = f.columns,
                 .bias = f.bias ? bias.data() : nullptr,
                 .add = begin > 0,
                 .least = end == f.k ? f.least : no_least,
                 .c = c.data(),
                 .stride = s.stride});
  }
  const std::string what = text(s, kernel.float_name);
  for (std::int64_t o = 0; o < f.outputs; ++o) {
    for (std::int64_t j = 0; j < width - panel_width + f.columns; ++j) {
      float sum = f.bias ? bias[o] : 0.0F;
      for (std::int64_t i = 0; i < f.k; ++i) sum += w[o * row + i] * right[sz(i * width + j)];
      ASSERT_EQ(c[o * s.stride + j], std::max(sum, f.least)) << what << " at (" << o << ", " << j << ")";
    }
  }
  expect_gaps_untouched(c, s, width, 0.125F, what);
}

TEST(Gemm, FloatOfEverySize) {
  for (const GemmKernels& kernel : available_rows()) {
    Random random(4);
    for (std::int64_t outputs = 1; outputs <= 19; ++outputs) {
      for (const std::int64_t k : {1, 2, 3, 8, 17, 64, 129}) {
        const float least = outputs % 2 == 0 ? no_least : static_cast<float>(outputs);
        check_float(kernel, {outputs, k, 1 + outputs % 3, 1 + (outputs + k) % 16, k % 2 == 0, k, least}, random);
        if (HasFatalFailure()) return;
      }
    }
    // Beyond a block of k, and in two parts.
    for (const std::int64_t k : {255, 256, 257, 600}) {
      for (const std::int64_t cut : {std::int64_t{1}, std::int64_t{200}, k}) {
        for (const std::int64_t columns : {1, 8, 9, 16}) {
          check_float(kernel, {13, k, 2, columns, true, cut, k % 2 == 0 ? no_least : -3.0F}, random);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

/// As a Relu has it: NaN stays, and so does -0, for it is not below 0.
TEST(Gemm, LeastKeepsNaNAndMinusZero) {
  for (const GemmKernels& kernel : available_rows()) {
    for (std::int64_t outputs = 1; outputs <= 17; ++outputs) {
      Guarded<float> w(sz(outputs)), panel(panel_width), c(sz(outputs * panel_width));
      for (std::int64_t i = 0; i < outputs; ++i) w[i] = 1;
      const float values[4] = {-0.0F, -1.5F, std::nanf(""), 2.0F};
      for (std::int64_t j = 0; j < panel_width; ++j) panel[j] = values[j % 4];
      for (std::int64_t i = 0; i < c.size(); ++i) c[i] = -0.0F;  // + -0: a sum of -0 stays -0
      kernel.real({.w = w.data(),
                   .row = 1,
                   .outputs = outputs,
                   .k = 1,
                   .panels = panel.data(),
                   .panel_count = 1,
                   .columns = panel_width,
                   .bias = nullptr,
                   .add = true,
                   .least = 0.0F,
                   .c = c.data(),
                   .stride = panel_width});
      for (std::int64_t i = 0; i < c.size(); i += 4) {
        ASSERT_TRUE(c[i] == 0 && std::signbit(c[i])) << kernel.float_name << " " << outputs << " " << c[i];
        ASSERT_TRUE(c[i + 1] == 0 && !std::signbit(c[i + 1])) << kernel.float_name << " " << c[i + 1];
        ASSERT_TRUE(std::isnan(c[i + 2])) << kernel.float_name << " " << outputs << " " << c[i + 2];
        ASSERT_EQ(c[i + 3], 2.0F) << kernel.float_name;
      }
    }
  }
}

/// Numbers whose sums round: a part of k after another is as good as all at once.
TEST(Gemm, FloatSumsDoNotDependOnHowTheyAreCut) {
  for (const GemmKernels& kernel : available_rows()) {
    Random random(6);
    constexpr std::int64_t outputs = 9, k = 300;
    std::vector<float> w(outputs * k), panel(k * panel_width), whole(outputs * panel_width), parts(whole.size());
    for (float& v : w) v = static_cast<float>(random.normal());
    for (float& v : panel) v = static_cast<float>(random.normal());
    FloatCall call{.w = w.data(),
                   .row = k,
                   .outputs = outputs,
                   .k = k,
                   .panels = panel.data(),
                   .panel_count = 1,
                   .columns = panel_width,
                   .bias = nullptr,
                   .add = false,
                   .c = whole.data(),
                   .stride = panel_width};
    kernel.real(call);
    call.c = parts.data();
    call.k = 100;
    for (int part = 0; part < 3; ++part, call.w += 100, call.panels += 100 * panel_width, call.add = true)
      kernel.real(call);
    EXPECT_EQ(parts, whole) << kernel.float_name;
  }
}

/// Numbers of any size, whose sums round: the bits of plain loops in double.
TEST(Gemm, DoubleSumsHaveTheSameBitsOnEveryInstructionSet) {
  for (const GemmKernels& kernel : available_rows()) {
    Random random(5);
    for (std::int64_t outputs = 1; outputs <= 8; ++outputs) {
      for (const std::int64_t k : {0, 1, 3, 27, 130}) {
        const Size s{outputs, k, 1, 0, panel_width + outputs % 3};
        Guarded<float> w(sz(outputs * k)), panel(sz(k * panel_width)), bias(sz(outputs)), c(result_count(s));
        Guarded<double> last(sz(panel_width));
        for (std::int64_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(random.normal());
        for (std::int64_t i = 0; i < panel.size(); ++i) panel[i] = static_cast<float>(random.normal());
        for (std::int64_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(random.normal());
        for (std::int64_t i = 0; i < last.size(); ++i) last[i] = random.normal();
        for (std::int64_t i = 0; i < c.size(); ++i) c[i] = 0.125F;
        const bool with_bias = k % 2 == 1, with_last = outputs % 2 == 1;
        kernel.twofold(w.data(), outputs, k, panel.data(), with_bias ? bias.data() : nullptr,
                       with_last ? last.data() : nullptr, c.data(), s.stride);
        const std::string what = text(s, kernel.double_name);
        for (std::int64_t o = 0; o < outputs; ++o) {
          for (std::int64_t j = 0; j < panel_width; ++j) {
            double sum = with_bias ? static_cast<double>(bias[o]) : 0.0;
            for (std::int64_t i = 0; i < k; ++i)
              sum += static_cast<double>(w[o * k + i]) * static_cast<double>(panel[i * panel_width + j]);
            if (with_last) sum += last[j];
            ASSERT_EQ(c[o * s.stride + j], static_cast<float>(sum)) << what << " at (" << o << ", " << j << ")";
          }
        }
        expect_gaps_untouched(c, s, panel_width, 0.125F, what);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Gemm, FloatPropagatesNanAndInfinity) {
  for (const GemmKernels& kernel : available_rows()) {
    Guarded<float> w(2), panel(2 * panel_width), c(panel_width);
    w[0] = 0, w[1] = 1;
    for (std::int64_t i = 0; i < panel.size(); ++i) panel[i] = 1;
    panel[3] = INFINITY;  // 0 * inf
    panel[panel_width + 5] = -INFINITY;
    kernel.real({.w = w.data(),
                 .row = 2,
                 .outputs = 1,
                 .k = 2,
                 .panels = panel.data(),
                 .panel_count = 1,
                 .columns = panel_width,
                 .bias = nullptr,
                 .add = false,
                 .c = c.data(),
                 .stride = panel_width});
    EXPECT_TRUE(std::isnan(c[3])) << kernel.float_name;
    EXPECT_EQ(c[5], -INFINITY) << kernel.float_name;
    EXPECT_EQ(c[0], 1.0F) << kernel.float_name;
  }
}

TEST(Gemm, NoRowsWriteNothing) {
  for (const GemmKernels& kernel : available_rows()) {
    Guarded<std::int8_t> w8(64);
    Guarded<std::uint32_t> w1(16);
    Guarded<std::int32_t> c(1);
    c[0] = untouched;
    kernel.int8(nullptr, 4, w8.data(), 0, 1, 1, c.data(), 16);
    kernel.binary(nullptr, 1, w1.data(), 0, 1, 1, c.data(), 16);
    EXPECT_EQ(c[0], untouched);
  }
}

TEST(Gemm, TheTableFallsBackDownwards) {
  std::size_t count = 0;
  const GemmKernels* table = gemm_table(count);
  ASSERT_GE(count, 1u);
  EXPECT_EQ(table[count - 1].isa, Isa::portable);
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) {
      EXPECT_GT(table[i - 1].isa, table[i].isa) << "fastest first";
    }
    EXPECT_STREQ(gemm_kernels(table[i].isa).int8_name, table[i].int8_name);
  }
}

TEST(GemmDeathTest, TheGuardPageIsOne) {
  Guarded<std::uint8_t> a(3);
  EXPECT_DEATH({ a[3] = 1; }, "");
}

}  // namespace
}  // namespace nnq::test
