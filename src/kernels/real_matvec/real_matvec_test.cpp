// Float matrix-vector kernels against sums in double: tails, batches, buffers that end where the memory ends; and the
// same bits whatever stands beside an output.
#include "kernels/real_matvec/real_matvec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

struct RealSize {
  std::int64_t outputs, inputs, batch;
  bool bias;
};

void fill(Guarded<float>& x, Random& random) {
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = random.uniform(-1, 1);
}

void check(const RealMatvec& row, const RealSize& s) {
  Random random(static_cast<std::uint64_t>(s.outputs * 1000 + s.inputs));
  const auto guarded = [](std::int64_t n) { return Guarded<float>(static_cast<std::size_t>(n)); };
  Guarded<float> w = guarded(s.outputs * s.inputs), x = guarded(s.batch * s.inputs), bias = guarded(s.outputs),
                 y = guarded(s.batch * s.outputs);
  fill(w, random);
  fill(x, random);
  fill(bias, random);
  row.run({w.data(), s.outputs, s.inputs, x.data(), s.batch, s.bias ? bias.data() : nullptr, y.data(), s.outputs});
  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t o = 0; o < s.outputs; ++o) {
      double sum = s.bias ? static_cast<double>(bias[o]) : 0, magnitude = std::abs(sum);
      for (std::int64_t i = 0; i < s.inputs; ++i) {
        const double product = static_cast<double>(w[o * s.inputs + i]) * static_cast<double>(x[b * s.inputs + i]);
        sum += product;
        magnitude += std::abs(product);
      }
      ASSERT_NEAR(y[b * s.outputs + o], sum, 1e-6 * magnitude + 1e-12)
          << row.name << " " << s.outputs << " x " << s.inputs << ", batch " << s.batch << ", output " << o;
      float alone = 0;
      row.run({w.data() + o * s.inputs, 1, s.inputs, x.data() + b * s.inputs, 1, s.bias ? bias.data() + o : nullptr,
               &alone, 1});
      ASSERT_EQ(alone, y[b * s.outputs + o]) << row.name << ": an output depends on those beside it";
    }
  }
}

TEST(RealMatvec, EveryRowSumsToRounding) {
  std::size_t rows = 0;
  const RealMatvec* table = real_matvec_table(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    if (table[r].isa > hardware_isa()) continue;
    for (const std::int64_t inputs : {0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 101, 300})
      for (const std::int64_t outputs : {1, 2, 3, 4, 7, 13})
        for (const std::int64_t batch : {1, 2, 3}) check(table[r], {outputs, inputs, batch, (inputs + batch) % 2 == 0});
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace nnq::test
