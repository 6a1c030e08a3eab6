// Every row of the table of vector counts against a count bit by bit.
#include "kernels/vector_counts/vector_counts.h"

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

/// Draws planes (`full`: every bit set, the largest counts) and compares all counts.
void check(const VectorKernel& kernel, std::int64_t inputs, std::int64_t panels, int weight_planes, int code_planes,
           bool full, Random& random) {
  const std::int64_t words = (inputs + 63) / 64, bytes = vector_weight_bytes(inputs),
                     stride = panels * vector_panel + 8;
  Guarded<std::uint64_t> codes(sz(code_planes * words));
  Guarded<std::uint8_t> weights(sz(panels * weight_planes * bytes * vector_panel)),
      tables(sz(vector_table_bytes(inputs, code_planes)));
  Guarded<std::int32_t> counts(sz(((weight_planes * code_planes - 1) * stride) + panels * vector_panel));
  for (std::int64_t i = 0; i < codes.size(); ++i) {
    const std::int64_t left = inputs - i % words * 64;
    codes[i] = (full ? ~std::uint64_t{0} : random.next()) & (left >= 64 ? ~std::uint64_t{0} : (1ULL << left) - 1);
  }
  // Bits beyond the inputs are 0 in both; here they are set in the weights, and must not count.
  for (std::int64_t i = 0; i < weights.size(); ++i)
    weights[i] = full ? std::uint8_t{255} : static_cast<std::uint8_t>(random.next());
  for (std::int64_t i = 0; i < counts.size(); ++i) counts[i] = -1;
  const VectorCall call{codes.data(), code_planes,   weights.data(), weight_planes, inputs,
                        panels,       counts.data(), stride,         tables.data()};
  kernel.fill(call);
  kernel.counts(call);
  for (int p = 0; p < weight_planes; ++p) {
    for (int q = 0; q < code_planes; ++q) {
      for (std::int64_t o = 0; o < panels * vector_panel; ++o) {
        std::int32_t expected = 0;
        for (std::int64_t i = 0; i < inputs; ++i) {
          const std::uint8_t byte =
              weights[((o / vector_panel * weight_planes + p) * bytes + i / 8) * vector_panel + o % vector_panel];
          expected += static_cast<std::int32_t>(codes[q * words + i / 64] >> (i % 64) & 1U) & (byte >> (i % 8) & 1);
        }
        ASSERT_EQ(counts[(p * code_planes + q) * stride + o], expected)
            << kernel.name << ": " << inputs << " inputs, planes " << p << ", " << q << ", output " << o;
      }
    }
  }
}

TEST(VectorCounts, EveryLengthAndNumberOfPlanes) {
  for (const VectorKernel& kernel : rows_of(vector_table)) {
    Random random(1);
    for (const std::int64_t inputs : {1, 3, 4, 8, 23, 24, 25, 63, 64, 65, 128, 200, 239, 240, 241, 300, 1024}) {
      for (const int planes : {1, 2, 3, 4}) {
        check(kernel, inputs, 1 + inputs % 2, 1 + static_cast<int>(inputs % 3), planes, false, random);
        if (HasFatalFailure()) return;
        check(kernel, inputs, 1, 1, planes, true, random);
        if (HasFatalFailure()) return;
      }
    }
    check(kernel, 300, 2, 8, 8, false, random);
  }
}

TEST(VectorCounts, CountsBeyondSixteenBits) {
  for (const VectorKernel& kernel : rows_of(vector_table)) {
    Random random(2);
    for (const std::int64_t inputs : {61439, 61440, 61441, 140000}) {
      for (const bool full : {false, true}) {
        check(kernel, inputs, 1, 1, 2, full, random);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(VectorCounts, NoInputsCountNothing) {
  for (const VectorKernel& kernel : rows_of(vector_table)) {
    Random random(3);
    check(kernel, 0, 1, 2, 2, false, random);
  }
}

}  // namespace
}  // namespace nnq::test
