// AVX2, one and two bits: the vector is read twice for the greedy start and once a cycle. What least
// squares needs, the number and the sum of the values with each code, is summed up under masks: every value goes to
// every bin, as itself or as zero, so that sums come about in the order in which multibit::accumulate() adds.
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/decompose/decompose.h"
#include "kernels/unrolled.h"
#include "pack/multibit.h"

namespace nnq::avx2 {
namespace {

constexpr std::int64_t lanes = 8;
/// Where a scale is beyond it or no number, levels may overflow: such vectors are left to the reference.
constexpr float largest = 1e30F;

/// All bits of the lanes below n.
inline __m256 first(std::int64_t n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_castsi256_ps(
      _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(std::min<std::int64_t>(n, lanes))), index));
}

inline double sum_of(__m256d v) {
  alignas(32) double four[4];
  _mm256_store_pd(four, v);
  return (four[0] + four[1]) + (four[2] + four[3]);
}

/// Sum of |x| as multibit.cpp adds it: eight running sums, behind them the last values one after another.
class Magnitudes {
 public:
  void add(__m256 x) {
    const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x);
    low_ = _mm256_add_pd(low_, _mm256_cvtps_pd(_mm256_castps256_ps128(size)));
    high_ = _mm256_add_pd(high_, _mm256_cvtps_pd(_mm256_extractf128_ps(size, 1)));
  }
  /// `rest`: the last values, of which `left` < 8 count.
  [[gnu::noinline]] double total(__m256 rest, std::int64_t left) const {
    alignas(32) double eight[lanes];
    alignas(32) float last[lanes];
    _mm256_store_pd(eight, low_);
    _mm256_store_pd(eight + 4, high_);
    _mm256_store_ps(last, rest);
    double total = 0;
    for (const double sum : eight) total += sum;
    for (std::int64_t i = 0; i < left; ++i) total += static_cast<double>(std::fabs(last[i]));
    return total;
  }

 private:
  __m256d low_ = _mm256_setzero_pd(), high_ = _mm256_setzero_pd();
};

/// Number and sum of the values in each of so many bins.
template <int Count>
struct Bins {
  __m256d sums[Count];
  std::int64_t counts[Count] = {};
  Bins() {
    unrolled<Count>([&](auto b) { sums[b] = _mm256_setzero_pd(); });
  }
  void add(__m256 x, const __m256 (&in)[Count]) {
    unrolled<Count>([&](auto b) {
      const __m256 kept = _mm256_and_ps(x, in[b]);
      sums[b] = _mm256_add_pd(sums[b], _mm256_cvtps_pd(_mm256_castps256_ps128(kept)));
      sums[b] = _mm256_add_pd(sums[b], _mm256_cvtps_pd(_mm256_extractf128_ps(kept, 1)));
      counts[b] += std::popcount(static_cast<unsigned>(_mm256_movemask_ps(in[b])));
    });
  }
};

/// Least squares of multibit.cpp for one or two planes of signs, the same operations written out. It leaves alpha as it
/// is where the other does.
void fit(int bits, const double* sum, const double* count, float* alpha) {
  constexpr double ridge = multibit::alternating_ridge;
  double diagonal = 0, right[2] = {};
  for (int c = 0; c < 1 << bits; ++c) {
    diagonal += count[c];
    for (int i = 0; i < bits; ++i) right[i] += (c >> i & 1) != 0 ? sum[c] : -sum[c];
  }
  diagonal += ridge;
  for (int i = 0; i < bits; ++i) right[i] += ridge * static_cast<double>(alpha[i]);
  const double a = std::sqrt(diagonal);
  right[0] /= a;
  if (bits == 2) {
    const double both = (count[0] - count[1]) + (count[3] - count[2]), b = both / a, rest = diagonal - b * b;
    if (!(rest > diagonal * 1e-14)) return;
    const double d = std::sqrt(rest);
    right[1] -= b * right[0];
    right[1] /= d;
    right[1] /= d;
    right[0] -= b * right[1];
  }
  right[0] /= a;
  for (int i = 0; i < bits; ++i)
    if (!std::isfinite(static_cast<float>(right[i]))) return;
  for (int i = 0; i < bits; ++i) alpha[i] = static_cast<float>(right[i]);
}

template <int Bits>
class Decomposition {
 public:
  explicit Decomposition(const DecomposeCall& call)
      : x_(call.x), count_(call.count), whole_(call.count / lanes * lanes), rest_(first(call.count - whole_)) {}

  /// false: left undone.
  bool run(const DecomposeCall& call) {
    if (!greedy()) return false;
    for (int cycle = 0; cycle < call.cycles; ++cycle) {
      if (cycle > 0) collect_nearest();
      fit(Bits, sum_, number_, alpha_);
      for (const float a : alpha_)
        if (!(std::fabs(a) < largest)) return false;
      find_levels();
    }
    std::copy_n(alpha_, Bits, call.alpha);
    encode(call.codes);
    return true;
  }

 private:
  static constexpr int levels = 1 << Bits;

  __m256 tail() const { return _mm256_maskload_ps(x_ + whole_, _mm256_castps_si256(rest_)); }
  void keep(const Bins<levels>& bins, const std::uint8_t* codes) {
    for (int b = 0; b < levels; ++b) {
      sum_[codes[b]] = sum_of(bins.sums[b]);
      number_[codes[b]] = static_cast<double>(bins.counts[b]);
    }
  }

  /// Scale by scale, the mean magnitude of what the signs so far have left; bins of the codes.
  bool greedy() {
    Magnitudes all;
    for (std::int64_t i = 0; i < whole_; i += lanes) all.add(_mm256_loadu_ps(x_ + i));
    alpha_[0] = static_cast<float>(all.total(tail(), count_ - whole_) / static_cast<double>(count_));
    if (!(alpha_[0] < largest)) return false;
    const __m256 zero = _mm256_setzero_ps(), plus = _mm256_set1_ps(alpha_[0]), minus = _mm256_set1_ps(-alpha_[0]);
    Magnitudes left;
    Bins<levels> bins;
    const auto step = [&](__m256 x, __m256 valid) {
      const __m256 up = _mm256_cmp_ps(x, zero, _CMP_GE_OQ);
      if constexpr (Bits == 1) {
        bins.add(x, {_mm256_andnot_ps(up, valid), _mm256_and_ps(up, valid)});
        return zero;
      } else {
        const __m256 residual = _mm256_sub_ps(x, _mm256_blendv_ps(minus, plus, up)),
                     high = _mm256_and_ps(_mm256_cmp_ps(residual, zero, _CMP_GE_OQ), valid),
                     low = _mm256_andnot_ps(high, valid);
        bins.add(x, {_mm256_andnot_ps(up, low), _mm256_and_ps(up, low), _mm256_andnot_ps(up, high),
                     _mm256_and_ps(up, high)});
        return residual;
      }
    };
    const __m256 every = first(lanes);
    for (std::int64_t i = 0; i < whole_; i += lanes) left.add(step(_mm256_loadu_ps(x_ + i), every));
    const __m256 last = step(tail(), rest_);
    if constexpr (Bits == 2)
      alpha_[1] = static_cast<float>(left.total(last, count_ - whole_) / static_cast<double>(count_));
    constexpr std::uint8_t order[] = {0, 1, 2, 3};
    keep(bins, order);
    return true;
  }

  void find_levels() {
    const multibit::Levels found(alpha_, multibit::Digits::signs, multibit::Ties::up);
    std::copy_n(found.codes.begin(), levels, codes_);
    std::copy_n(found.thresholds.begin() + 1, levels - 1, thresholds_);
  }

  /// Bins of the nearest levels.
  void collect_nearest() {
    Bins<levels> bins;
    const auto step = [&](__m256 x, __m256 valid) {
      __m256 in[levels], passed = valid;
      unrolled<levels - 1>([&](auto l) {
        // Thresholds ascend: what passes one has passed those below it.
        const __m256 above = _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(thresholds_[l]), _CMP_GE_OQ), valid);
        in[l] = _mm256_andnot_ps(above, passed);
        passed = above;
      });
      in[levels - 1] = passed;
      bins.add(x, in);
    };
    const __m256 every = first(lanes);
    for (std::int64_t i = 0; i < whole_; i += lanes) step(_mm256_loadu_ps(x_ + i), every);
    step(tail(), rest_);
    keep(bins, codes_);
  }

  /// Codes of the nearest levels of eight values, in 32-bit lanes.
  __m256i eight_codes(const float* x) const {
    const __m256 v = _mm256_loadu_ps(x);
    __m256i code = _mm256_set1_epi32(codes_[0]);
    unrolled<levels - 1>([&](auto l) {
      const __m256 above = _mm256_cmp_ps(v, _mm256_set1_ps(thresholds_[l]), _CMP_GE_OQ);
      const __m256i change = _mm256_set1_epi32(codes_[l] ^ codes_[l + 1]);
      code = _mm256_xor_si256(code, _mm256_and_si256(_mm256_castps_si256(above), change));
    });
    return code;
  }
  void encode(std::uint8_t* to) const {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (std::int64_t i = 0; i < count_; i += 4 * lanes) {
      i = std::min(i, count_ - 4 * lanes);  // some a second time
      const __m256i low = _mm256_packs_epi32(eight_codes(x_ + i), eight_codes(x_ + i + 8)),
                    high = _mm256_packs_epi32(eight_codes(x_ + i + 16), eight_codes(x_ + i + 24));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i),
                          _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
    }
  }

  const float* x_;
  std::int64_t count_, whole_;
  __m256 rest_;  // lanes of tail() that are values
  float alpha_[Bits] = {};
  double sum_[levels] = {}, number_[levels] = {};  // by code
  std::uint8_t codes_[levels] = {};                // of the levels, ascending
  float thresholds_[levels - 1] = {};              // between them
};

}  // namespace

void decompose_vector(const DecomposeCall& call) noexcept {
  const bool done =
      call.count >= 4 * lanes && call.count < std::int64_t{1} << 31 && call.cycles > 0 &&
      ((call.bits == 1 && Decomposition<1>(call).run(call)) || (call.bits == 2 && Decomposition<2>(call).run(call)));
  if (!done) portable::decompose_vector(call);
}

}  // namespace nnq::avx2
