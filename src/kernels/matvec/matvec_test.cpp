// Matrix-vector kernels against a naive loop over the codes: every width, tails, batches, extreme values, buffers that
// end where the memory ends.
#include "kernels/matvec/matvec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };
constexpr std::int32_t untouched = 0x5a5a5a5a;

struct Size {
  int bits;
  std::int64_t outputs, inputs, batch, gap;
};

/// 0: random; 1: largest codes on the smallest inputs; 2: largest on largest.
struct Operands {
  Operands(const Size& s, int extreme, Random& random)
      : codes(sz(s.outputs * s.inputs)),
        stride((s.inputs + matvec_padding - 1) / matvec_padding * matvec_padding),
        inputs(sz(s.batch * stride)) {
    for (std::uint8_t& c : codes)
      c = static_cast<std::uint8_t>(extreme != 0 ? (1 << s.bits) - 1 : random.below(std::uint64_t{1} << s.bits));
    for (std::int64_t b = 0; b < s.batch; ++b) {
      for (std::int64_t k = 0; k < stride; ++k)
        inputs[b * stride + k] =
            static_cast<std::int8_t>(k >= s.inputs  ? 0
                                     : extreme == 1 ? -128
                                     : extreme == 2 ? 127
                                                    : static_cast<std::int64_t>(random.below(256)) - 128);
    }
  }
  std::vector<std::uint8_t> codes;
  std::int64_t stride;
  Guarded<std::int8_t> inputs;
};

void check(const Size& s, int extreme, Random& random) {
  Operands x(s, extreme, random);
  MatvecPanels packed;
  packed.pack(x.codes.data(), s.outputs, s.inputs, s.bits);
  const std::int64_t bytes = packed.panels * packed.panel_bytes(), columns = packed.panels * matvec_panel,
                     stride = columns + s.gap;
  Guarded<std::uint8_t> panels(sz(bytes));  // whole lines of 64 bytes up to the guard page
  std::memcpy(panels.data(), packed.bytes.data(), sz(bytes));
  static const std::vector<Matvec> rows = rows_of(matvec_table);
  for (const Matvec& row : rows) {
    Guarded<std::int32_t> sums(sz((s.batch - 1) * stride + columns));
    for (std::int64_t i = 0; i < sums.size(); ++i) sums[i] = untouched;
    row.run(
        {x.inputs.data(), x.stride, s.batch, s.bits, panels.data(), packed.panels, packed.blocks, sums.data(), stride});
    for (std::int64_t i = 0; i < sums.size(); ++i) {
      const std::int64_t b = i / stride, o = i % stride;
      std::int64_t expected = o < columns ? 0 : untouched;
      for (std::int64_t k = 0; o < s.outputs && k < s.inputs; ++k)
        expected += std::int64_t{x.codes[sz(o * s.inputs + k)]} * x.inputs[b * x.stride + k];
      ASSERT_EQ(sums[i], expected) << row.name << ", " << s.bits << " bits, " << s.outputs << " x " << s.inputs
                                   << ", batch " << s.batch << ", row " << b << ", output " << o;
    }
  }
}

TEST(Matvec, SumsOfEveryWidth) {
  Random random(21);
  for (const int bits : {1, 2, 3, 4, 8}) {
    for (const std::int64_t inputs : {1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300, 1031}) {
      for (const std::int64_t outputs : {1, 4, 5, 8, 13, 23}) {
        const std::int64_t batch = 1 + static_cast<std::int64_t>(random.below(matvec_batch)), gap = inputs % 3;
        check({bits, outputs, inputs, batch, gap}, 0, random);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Matvec, EveryBatch) {
  Random random(22);
  for (const int bits : {1, 2, 3, 4, 8}) {
    for (std::int64_t batch = 1; batch <= matvec_batch; ++batch) check({bits, 9, 200, batch, 1}, 0, random);
  }
}

TEST(Matvec, NothingSaturates) {
  Random random(23);
  for (const int bits : {1, 2, 3, 4, 8}) {
    for (const int extreme : {1, 2}) {
      check({bits, 6, 4096, 3, 0}, extreme, random);
      check({bits, 2, 60001, 1, 0}, extreme, random);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Matvec, EveryBitOfMemoryIsAWeight) {
  for (const int bits : {1, 2, 3, 4, 8}) {
    const std::vector<std::uint8_t> codes(sz(64 * 1024), 0);
    MatvecPanels packed;
    packed.pack(codes.data(), 64, 1024, bits);
    EXPECT_EQ(packed.panels * packed.panel_bytes(), 64 * 1024 * bits / 8) << bits;
  }
}

TEST(Matvec, InputsBecomeSignedAndArePadded) {
  const std::vector<std::uint8_t> codes{0, 128, 255, 7};
  std::vector<std::int8_t> to(8, 99);
  EXPECT_EQ(matvec_inputs(codes.data(), 4, 7, to.data()), 390);
  EXPECT_EQ(to, (std::vector<std::int8_t>{-128, 0, 127, -121, 0, 0, 0, 99}));
}

TEST(Matvec, TheFirstRowThatFitsIsTaken) {
  EXPECT_STREQ(matvec_kernel(Isa::portable).name, "matvec_portable");
  std::size_t rows = 0;
  const Matvec* table = matvec_table(rows);
  for (std::size_t r = 0; r < rows; ++r) EXPECT_EQ(matvec_kernel(table[r].isa).name, table[r].name);
}

}  // namespace
}  // namespace nnq::test
