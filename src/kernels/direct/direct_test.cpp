// Direct kernels against a naive loop: rows anywhere, offsets in any order, tails, extreme values, buffers that end
// where the memory ends.
#include "kernels/direct/direct.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "core/random.h"
#include "kernels/guarded.h"
#include "runtime/steps/layer.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };
constexpr std::int32_t untouched = 0x5a5a5a5a;

/// A call on random memory. Row starts and offsets are random, so rows overlap, and half of them run backwards.
struct Product {
  Product(std::int64_t rows, std::int64_t steps, std::int64_t panels, std::int64_t panel, std::int64_t unit,
          std::int64_t unit_bytes, Random& random)
      : columns(panels * panel),
        data(sz(steps * unit + rows * 3)),
        weights(sz(panels * steps * unit_bytes)),
        start(sz(columns)),
        stride(columns + (rows * steps) % 5),
        sums(sz(rows > 0 ? (rows - 1) * stride + columns : 1)) {
    for (std::int64_t k = 0; k < steps; ++k) offsets.push_back(k * unit);
    // In any order, or in two pieces that are in order.
    const bool scattered = random.below(2) == 0;
    for (std::int64_t k = steps; scattered && k > 1; --k)
      std::swap(offsets[sz(k - 1)],
                offsets[sz(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(k))))]);
    if (!scattered)
      std::rotate(offsets.begin(),
                  offsets.begin() + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(steps))) /
                                        (random.below(2) == 0 ? 1 : steps),
                  offsets.end());
    for (std::int64_t r = 0; r < rows; ++r)
      list.push_back({data.data() + random.below(static_cast<std::uint64_t>(rows * 3 + 1)), start.data()});
    if (rows > 0) list.back().data = data.data() + rows * 3;  // the last byte is read
    for (std::int64_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(random.next());
    for (std::int64_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<std::uint8_t>(random.next());
    for (std::int64_t i = 0; i < start.size(); ++i) start[i] = static_cast<std::int32_t>(random.below(2001)) - 1000;
    for (std::int64_t i = 0; i < sums.size(); ++i) sums[i] = untouched;
    call = {list.data(), rows, offsets.data(), steps, weights.data(), panels, sums.data(), stride, 1, nullptr};
  }

  /// value(row, column) without the start.
  template <class F>
  void expect(const char* name, F&& value) {
    for (std::int64_t i = 0; i < sums.size() && call.row_count > 0; ++i) {
      const std::int64_t r = i / stride, o = i % stride;
      if (o >= columns)
        ASSERT_EQ(sums[i], untouched) << name << ": wrote into the gap";
      else
        ASSERT_EQ(sums[i], start[o] + value(list[sz(r)].data, o))
            << name << " rows " << call.row_count << " steps " << call.steps << " panels " << call.panel_count
            << " at (" << r << ", " << o << ")";
    }
  }

  std::int64_t columns;
  Guarded<std::uint8_t> data, weights;
  Guarded<std::int32_t> start;
  std::int64_t stride;
  Guarded<std::int32_t> sums;
  std::vector<std::int64_t> offsets;
  std::vector<DirectRow> list;
  DirectCall call;
};

template <class F>
void each_size(F&& f) {
  for (const std::int64_t steps : {1, 2, 3, 5, 8, 17, 40}) {
    for (const std::int64_t rows : {0, 1, 2, 3, 4, 5, 6, 7, 9, 13}) {
      for (const std::int64_t panels : {1, 2, 3}) {
        f(rows, steps, panels);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
  // Beyond the blocks in which the portable rows sum: 48 rows, 72 or 124 steps.
  for (const std::int64_t steps : {72, 73, 124, 125, 260}) {
    for (const std::int64_t rows : {1, 48, 51}) {
      f(rows, steps, 2);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

std::int32_t int8_sum(const Product& s, const std::uint8_t* row, std::int64_t o, std::uint8_t* weights) {
  std::int32_t sum = 0;
  for (std::int64_t k = 0; k < s.call.steps; ++k) {
    for (std::int64_t i = 0; i < 4; ++i)
      sum += row[s.offsets[sz(k)] + i] *
             static_cast<std::int8_t>(weights[((o / 16 * s.call.steps + k) * 16 + o % 16) * 4 + i]);
  }
  return sum;
}

TEST(Direct, Int8) {
  for (const DirectKernels& kernels : rows_of(direct_table)) {
    Random random(1);
    each_size([&](std::int64_t rows, std::int64_t steps, std::int64_t panels) {
      for (const int extreme : {0, 1, 2}) {
        Product s(rows, steps, panels, 16, 4, 64, random);
        for (std::int64_t i = 0; extreme != 0 && i < s.data.size(); ++i) s.data[i] = 255;
        for (std::int64_t i = 0; extreme != 0 && i < s.weights.size(); ++i) s.weights[i] = extreme == 1 ? 0x80 : 0x7f;
        kernels.int8(s.call);
        s.expect(kernels.int8_name,
                 [&](const std::uint8_t* row, std::int64_t o) { return int8_sum(s, row, o, s.weights.data()); });
        if (::testing::Test::HasFatalFailure()) return;
      }
    });
  }
}

TEST(Direct, Wide) {
  for (const DirectKernels& kernels : rows_of(direct_table)) {
    if (kernels.wide == nullptr) continue;
    Random random(1);
    each_size([&](std::int64_t rows, std::int64_t steps, std::int64_t panels) {
      for (const int extreme : {0, 1, 2}) {
        Product s(rows, steps, panels, 16, 4, 32, random);
        for (DirectRow& row : s.list) row.data = s.data.data() + (row.data - s.data.data()) / 2 * 2;
        for (std::int64_t i = 0; i < s.data.size(); ++i) {
          if (extreme != 0 || i % 2 != 0) s.data[i] = i % 2 != 0 ? 0 : 255;
        }
        for (std::int64_t i = 0; extreme != 0 && i < s.weights.size(); ++i) s.weights[i] = extreme == 1 ? 0x80 : 0x7f;
        kernels.wide(s.call);
        s.expect(kernels.wide_name, [&](const std::uint8_t* row, std::int64_t o) {
          std::int32_t sum = 0;
          for (std::int64_t k = 0; k < steps; ++k) {
            for (std::int64_t i = 0; i < 2; ++i)
              sum += row[s.offsets[sz(k)] + 2 * i] *
                     static_cast<std::int8_t>(s.weights[((o / 16 * steps + k) * 16 + o % 16) * 2 + i]);
          }
          return sum;
        });
        if (::testing::Test::HasFatalFailure()) return;
      }
    });
  }
}

TEST(Direct, CodesAreWidenedInPlaceAndNotBeyond) {
  for (const DirectKernels& kernels : rows_of(direct_table)) {
    if (kernels.widen == nullptr) continue;
    for (const std::int64_t count : {0, 1, 15, 16, 17, 31, 32, 100}) {
      Guarded<std::uint8_t> codes(sz(count)), wide(sz(2 * count));
      for (std::int64_t i = 0; i < count; ++i) codes[i] = static_cast<std::uint8_t>(255 - i);
      kernels.widen(codes.data(), wide.data(), count);
      for (std::int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(wide[2 * i], codes[i]);
        ASSERT_EQ(wide[2 * i + 1], 0);
      }
    }
  }
}

/// Codes 0 .. largest and weights low .. high; with the proven number of steps nothing may differ, even at the
/// extremes.
void check_narrow(const DirectKernels& kernels, std::int64_t rows, std::int64_t steps, std::int64_t panels, int largest,
                  int low, int high, int fill, Random& random) {
  Product s(rows, steps, panels, 16, 4, 64, random);
  for (std::int64_t i = 0; i < s.data.size(); ++i)
    s.data[i] = static_cast<std::uint8_t>(fill != 0 ? largest : s.data[i] % (largest + 1));
  for (std::int64_t i = 0; i < s.weights.size(); ++i) {
    const int w = fill == 1 ? low : fill == 2 ? high : low + s.weights[i] % (high - low + 1);
    s.weights[i] = static_cast<std::uint8_t>(w);
  }
  s.call.narrow_steps = narrow_steps(reinterpret_cast<const std::int8_t*>(s.weights.data()), panels, steps, largest);
  ASSERT_GE(s.call.narrow_steps, 1);
  kernels.narrow(s.call);
  s.expect(kernels.narrow_name,
           [&](const std::uint8_t* row, std::int64_t o) { return int8_sum(s, row, o, s.weights.data()); });
}

TEST(Direct, NarrowKeepsEverySumItWasProvenFor) {
  for (const DirectKernels& kernels : rows_of(direct_table)) {
    if (kernels.narrow == nullptr) continue;
    Random random(2);
    each_size([&](std::int64_t rows, std::int64_t steps, std::int64_t panels) {
      for (const int fill : {0, 1, 2}) {
        check_narrow(kernels, rows, steps, panels, 15, -8, 7, fill, random);
        if (::testing::Test::HasFatalFailure()) return;
        // One pair fills 16 bits; two pairs do.
        check_narrow(kernels, rows, steps, panels, 255, -64, 64, fill, random);
        if (::testing::Test::HasFatalFailure()) return;
        check_narrow(kernels, rows, steps, panels, 255, -32, 31, fill, random);
        if (::testing::Test::HasFatalFailure()) return;
      }
    });
    check_narrow(kernels, 7, 1000, 2, 15, -8, 7, 1, random);
    check_narrow(kernels, 7, 1000, 2, 3, -128, 127, 2, random);
  }
}

TEST(Direct, NarrowStepsAreProvenFromTheWeights) {
  std::vector<std::int8_t> w(64 * 300, 0);
  EXPECT_EQ(narrow_steps(w.data(), 1, 300, 255), 300) << "nothing can overflow";
  w[0] = 64, w[1] = 64;  // 128 * 255 = 32640
  EXPECT_EQ(narrow_steps(w.data(), 1, 300, 255), 300);
  w[1] = 65;  // 129 * 255 = 32895
  EXPECT_EQ(narrow_steps(w.data(), 1, 300, 255), 0);
  w[1] = -65;  // 64 and -65 in one pair never add up
  EXPECT_EQ(narrow_steps(w.data(), 1, 300, 255), 300);
  w[64] = 65;  // 64 + 65 in one lane, two steps
  EXPECT_EQ(narrow_steps(w.data(), 1, 300, 255), 1);
  std::fill(w.begin(), w.end(), std::int8_t{-8});
  EXPECT_EQ(narrow_steps(w.data(), 1, 300, 15), 128) << "136 steps of 240 reach 32768";
}

TEST(Direct, Binary) {
  for (const DirectKernels& kernels : rows_of(direct_table)) {
    Random random(3);
    each_size([&](std::int64_t rows, std::int64_t steps, std::int64_t panels) {
      for (const bool all : {false, true}) {  // all: every bit differs, the largest counts in a byte
        Product s(rows, steps, panels, 16, 4, 64, random);
        for (std::int64_t i = 0; all && i < s.data.size(); ++i) s.data[i] = 0xff;
        for (std::int64_t i = 0; all && i < s.weights.size(); ++i) s.weights[i] = 0;
        kernels.binary(s.call);
        s.expect(kernels.binary_name, [&](const std::uint8_t* row, std::int64_t o) {
          std::int32_t mismatches = 0;
          for (std::int64_t k = 0; k < steps; ++k) {
            for (std::int64_t i = 0; i < 4; ++i) {
              const int both = row[s.offsets[sz(k)] + i] ^ s.weights[((o / 16 * steps + k) * 16 + o % 16) * 4 + i];
              mismatches += std::popcount(static_cast<unsigned>(both));
            }
          }
          return -2 * mismatches;
        });
        if (::testing::Test::HasFatalFailure()) return;
      }
    });
  }
}

TEST(Direct, Ternary) {
  for (const DirectKernels& kernels : rows_of(direct_table)) {
    if (kernels.ternary == nullptr) continue;
    Random random(6);
    each_size([&](std::int64_t rows, std::int64_t steps, std::int64_t panels) {
      for (const bool all : {false, true}) {  // all: every bit differs, no weight is 0
        Product s(rows, steps, panels, 16, 4, 128, random);
        for (std::int64_t i = 0; all && i < s.data.size(); ++i) s.data[i] = 0xff;
        for (std::int64_t i = 0; all && i < s.weights.size(); ++i) s.weights[i] = i / (steps * 64) % 2 == 0 ? 0 : 0xff;
        kernels.ternary(s.call);
        s.expect(kernels.ternary_name, [&](const std::uint8_t* row, std::int64_t o) {
          std::int32_t mismatches = 0;
          for (std::int64_t k = 0; k < steps; ++k) {
            for (std::int64_t i = 0; i < 4; ++i) {
              const std::int64_t at = ((o / 16 * 2 * steps + k) * 16 + o % 16) * 4 + i;
              const int both = (row[s.offsets[sz(k)] + i] ^ s.weights[at]) & s.weights[at + steps * 64];
              mismatches += std::popcount(static_cast<unsigned>(both));
            }
          }
          return -2 * mismatches;
        });
        if (::testing::Test::HasFatalFailure()) return;
      }
    });
  }
}

/// lookups: of nibbles, a byte; triples have three a unit.
void check_lookup(const LookupKernel& kernel, std::int64_t rows, std::int64_t steps, std::int64_t panels, int lookups,
                  int largest, int shift, bool full, Random& random) {
  const bool triples = kernel.form == LookupForm::triples;
  const int unit = triples ? 3 : 2 * lookups, entries = triples ? 64 : 16;
  const std::int64_t panel = kernel.panel;
  Product s(rows, steps, panels, panel, 2, unit * panel, random);
  Guarded<std::uint8_t> tables(triples ? 64 * 64 : sz(256 * lookups * 16));
  for (std::int64_t i = 0; i < tables.size(); ++i)
    tables[i] = static_cast<std::uint8_t>(
        full ? largest : static_cast<int>(random.below(static_cast<std::uint64_t>(largest + 1))));
  // Two tables belong to the byte's nibbles.
  for (std::int64_t i = 0; !triples && lookups == 2 && i < tables.size(); ++i) {
    const std::int64_t byte = i / 32, nibble = i % 32 < 16 ? byte & 15 : byte >> 4;
    tables[i] = tables[nibble * 32 + i % 16];
  }
  for (std::int64_t i = 0; i < s.weights.size(); ++i)
    s.weights[i] = static_cast<std::uint8_t>(s.weights[i] & (entries - 1));
  const std::int64_t units = 255 / (largest * unit);
  const LookupTables lookup{tables.data(), lookups, shift, units, 65535 / (largest * unit) / units * units};
  s.call.lookup = &lookup;
  kernel.kernel(s.call);
  s.expect(kernel.name, [&](const std::uint8_t* row, std::int64_t o) {
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < steps; ++k) {
      const std::uint8_t* const at = row + s.offsets[sz(k)];
      for (int l = 0; l < unit; ++l) {
        const int table = triples ? (at[0] | at[1] << 8) >> (6 * l) & 63 : at[l / lookups] * lookups + l % lookups;
        sum += tables[table * entries + s.weights[((o / panel * steps + k) * unit + l) * panel + o % panel]];
      }
    }
    return sum << shift;
  });
}

TEST(Direct, Lookup) {
  Random random(4);
  for (const LookupKernel& kernel : lookup_table()) {
    if (kernel.isa > hardware_isa()) continue;
    const bool triples = kernel.form == LookupForm::triples;
    const int two = triples ? 3 : kernel.most_lookups;
    each_size([&](std::int64_t rows, std::int64_t steps, std::int64_t panels) {
      check_lookup(kernel, rows, steps, panels, triples ? 3 : 1, 24, 0, false, random);
      check_lookup(kernel, rows, steps, panels, two, 4, 1, false, random);
      check_lookup(kernel, rows, steps, panels, two, 5, 0, true, random);  // the largest of which two share a byte
      check_lookup(kernel, rows, steps, panels, two, 6, 0, true, random);
      check_lookup(kernel, rows, steps, panels, two, 18, 0, true, random);
      check_lookup(kernel, rows, steps, panels, two, 63, 0, true, random);  // one unit fills a byte, or nearly
      check_lookup(kernel, rows, steps, panels, two, triples ? 85 : 127 / two, 0, true, random);
    });
    // Several blocks of rows, and rows too long for one, where two rows are looked up at once.
    check_lookup(kernel, 31, 300, 3, two, 4, 1, false, random);
    for (int i = 0; i < 3; ++i) check_lookup(kernel, 7, 1024, 2, two, 5, 0, false, random);
    check_lookup(kernel, 7, 1025, 2, two, 4, 1, true, random);
    // More than 16 bits hold.
    check_lookup(kernel, 5, 3000, 1, two, 18, 0, true, random);
    check_lookup(kernel, 5, 2000, 3, triples ? 3 : 1, triples ? 85 : 127, 0, true, random);
  }
}

TEST(Direct, PackingOfTwoBitCodes) {
  Random random(5);
  for (const DirectKernels& kernels : rows_of(direct_table)) {
    for (std::int64_t count = 1; count < 150; ++count) {
      Guarded<std::uint8_t> codes(sz(count)), packed(sz((count + 7) / 8 * 2));
      for (std::int64_t i = 0; i < count; ++i) codes[i] = static_cast<std::uint8_t>(random.next());
      for (std::int64_t i = 0; i < packed.size(); ++i) packed[i] = 0xff;
      const int shift = static_cast<int>(random.below(4)) * 2;
      kernels.pack(codes.data(), packed.data(), count, shift);
      for (std::int64_t i = 0; i < packed.size() * 4; ++i)
        ASSERT_EQ(packed[i / 4] >> (i % 4 * 2) & 3, i < count ? codes[i] >> shift & 3 : 0) << count << " at " << i;
    }
  }
}

}  // namespace
}  // namespace nnq::test
