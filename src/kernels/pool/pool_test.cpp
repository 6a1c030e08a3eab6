// Every row of the pooling table against a naive loop.
#include "kernels/pool/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

template <class T, class Best>
void check(PoolKernel kernel, std::int64_t elements, std::int64_t taps, std::int64_t count, bool flips, Random& random,
           Best&& best) {
  const std::int64_t bytes = elements * static_cast<std::int64_t>(sizeof(T)), step = 2 * elements;
  Guarded<T> in(sz((count - 1) * step + taps * elements)), out(sz(count * elements)), flip(sz(elements));
  for (std::int64_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(random.next());
  for (std::int64_t i = 0; i < elements; ++i) flip[i] = static_cast<T>(random.below(2) == 0 ? 0 : -1);
  std::vector<std::int64_t> offsets;
  for (std::int64_t t = 0; t < taps; ++t) offsets.push_back(t * bytes);
  kernel({reinterpret_cast<const std::uint8_t*>(in.data()), step * static_cast<std::int64_t>(sizeof(T)), offsets.data(),
          taps, flips ? reinterpret_cast<const std::uint8_t*>(flip.data()) : nullptr, bytes, out.data(), count});
  for (std::int64_t p = 0; p < count; ++p) {
    for (std::int64_t c = 0; c < elements; ++c) {
      T expected = in[p * step + c];
      for (std::int64_t t = 1; t < taps; ++t)
        expected = best(expected, in[p * step + t * elements + c], flips && flip[c] != 0);
      ASSERT_EQ(out[p * elements + c], expected) << elements << " elements, " << taps << " taps, at " << p << ", " << c;
    }
  }
}

TEST(Pool, LargestAndSmallest) {
  for (const PoolKernels& kernels : rows_of(pool_table)) {
    Random random(1);
    for (const std::int64_t n : {1, 3, 7, 8, 9, 16, 31, 32, 33, 63, 64, 65, 100}) {
      for (const std::int64_t taps : {1, 2, 4, 9}) {
        for (const bool flips : {false, true}) {
          const auto ordered = [](auto a, auto b, bool least) { return least ? std::min(a, b) : std::max(a, b); };
          check<std::uint8_t>(kernels.max_bytes, n, taps, 3, flips, random, ordered);
          check<std::int32_t>(kernels.max_sums, n, taps, 3, flips, random, ordered);
          check<std::uint32_t>(kernels.max_bits, n, taps, 3, flips, random,
                               [](std::uint32_t a, std::uint32_t b, bool all) { return all ? a & b : a | b; });
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(Pool, SumsOfBytes) {
  for (const PoolKernels& kernels : rows_of(pool_table)) {
    Random random(2);
    for (const std::int64_t channels : {1, 15, 16, 17, 40, 64}) {
      for (const std::int64_t positions : {1, 2, 49, 256}) {
        Guarded<std::uint8_t> in(sz(positions * channels));
        Guarded<std::int32_t> sums(sz(channels));
        for (std::int64_t i = 0; i < in.size(); ++i)
          in[i] = positions == 256 ? std::uint8_t{255} : static_cast<std::uint8_t>(random.next());
        for (std::int64_t c = 0; c < channels; ++c) sums[c] = static_cast<std::int32_t>(c) - 7;
        kernels.sum_bytes(in.data(), positions, channels, sums.data());
        for (std::int64_t c = 0; c < channels; ++c) {
          std::int32_t expected = static_cast<std::int32_t>(c) - 7;
          for (std::int64_t p = 0; p < positions; ++p) expected += in[p * channels + c];
          ASSERT_EQ(sums[c], expected) << kernels.name << " " << channels << " channels, " << positions;
        }
      }
    }
  }
}

}  // namespace
}  // namespace nnq::test
