// Levels of a learned basis (src/pack/multibit.h): the decomposition of a row, as a recurrent network quantizes its
// state at every step, and of a 4096 x 1024 matrix on one thread; nearest levels and bins of activations.
#include <benchmark/benchmark.h>

#include <vector>

#include "core/random.h"
#include "pack/multibit.h"

namespace {

namespace multibit = nnq::multibit;

std::vector<float> normal(std::int64_t n) {
  nnq::Random random(1, 1);
  std::vector<float> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(static_cast<float>(random.normal()));
  return x;
}

/// Rows of 1024 or so, `bits` bits, two cycles.
void decompose(benchmark::State& state) {
  const std::int64_t rows = state.range(0), n = state.range(1);
  const int bits = static_cast<int>(state.range(2));
  const std::vector<float> x = normal(rows * n);
  std::vector<float> values(static_cast<std::size_t>(n));
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(n));
  float alpha[multibit::kMaxBits];
  for (auto _ : state)
    for (std::int64_t r = 0; r < rows; ++r) {
      multibit::decompose(x.data() + r * n, n, bits, multibit::Search::alternating, 2, alpha, codes.data(),
                          values.data());
      benchmark::DoNotOptimize(values.data());
    }
  state.SetItemsProcessed(state.iterations() * rows * n);
}
BENCHMARK(decompose)
    ->ArgNames({"rows", "n", "bits"})
    ->Args({1, 300, 2})
    ->Args({1, 300, 3})
    ->Args({1, 1024, 2})
    ->Args({1, 1024, 3})
    ->Args({4096, 1024, 3})
    ->Unit(benchmark::kMicrosecond);

std::vector<float> basis(int bits) {
  std::vector<float> v;
  for (int j = 0; j < bits; ++j) v.push_back(0.1F * static_cast<float>(1 << j));
  return v;
}

constexpr std::int64_t kCount = 1 << 15;

void quantize(benchmark::State& state) {
  const multibit::Levels levels(basis(static_cast<int>(state.range(0))), multibit::Digits::bits, multibit::Ties::down);
  const std::vector<float> x = normal(kCount);
  std::vector<float> out(x.size());
  for (auto _ : state) {
    multibit::quantize(levels, x.data(), out.data(), kCount);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * kCount);
}
BENCHMARK(quantize)->ArgName("bits")->DenseRange(1, 8)->Unit(benchmark::kMicrosecond);

void accumulate(benchmark::State& state) {
  const multibit::Levels levels(basis(static_cast<int>(state.range(0))), multibit::Digits::bits, multibit::Ties::down);
  const std::vector<float> x = normal(kCount);
  multibit::Bins bins;
  for (auto _ : state) {
    multibit::accumulate(levels, x.data(), kCount, bins);
    benchmark::DoNotOptimize(&bins);
  }
  state.SetItemsProcessed(state.iterations() * kCount);
}
BENCHMARK(accumulate)->ArgName("bits")->DenseRange(1, 8)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
