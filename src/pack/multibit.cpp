#include "pack/multibit.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/clones.h"

namespace nnq::multibit {
namespace {

/// Up to this many bits, passing over the values once a threshold is faster than a search a value.
constexpr int kScanBits = 6;
constexpr std::int64_t kBlock = 512;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// The least float that counts as above the middle of low <= high; the middle itself counts with Ties::up.
float threshold_between(float low, float high, Ties ties) {
  const double middle = (static_cast<double>(low) + static_cast<double>(high)) / 2;
  const auto rounded = static_cast<float>(middle);
  const bool below = static_cast<double>(rounded) < middle;
  const bool excluded = ties == Ties::down && static_cast<double>(rounded) == middle;
  return below || excluded ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

NNQ_CLONES void scan_values(const float* x, float* out, std::int64_t n, const float* thresholds, const float* values,
                            int count) {
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t size = n - begin < kBlock ? n - begin : kBlock;
    float chosen[kBlock];
    const float* from = x + begin;
    for (std::int64_t i = 0; i < size; ++i) chosen[i] = values[0];
    for (int l = 1; l < count; ++l) {
      const float threshold = thresholds[l], value = values[l];
      for (std::int64_t i = 0; i < size; ++i) chosen[i] = from[i] >= threshold ? value : chosen[i];
    }
    __builtin_memcpy(out + begin, chosen, static_cast<std::size_t>(size) * sizeof(float));
  }
}

/// Position of the nearest level by bisecting the thresholds, a block of values at a time.
NNQ_CLONES void bisect(const float* x, std::uint8_t* position, std::int64_t n, const float* thresholds, int count) {
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t size = n - begin < kBlock ? n - begin : kBlock;
    std::int32_t low[kBlock];
    for (std::int64_t i = 0; i < size; ++i) low[i] = 0;
    for (int half = count / 2; half > 0; half /= 2)
      for (std::int64_t i = 0; i < size; ++i) low[i] += x[begin + i] >= thresholds[low[i] + half] ? half : 0;
    for (std::int64_t i = 0; i < size; ++i) position[begin + i] = static_cast<std::uint8_t>(low[i]);
  }
}

/// Codes of the nearest levels, whose thresholds ascend: each that is passed turns the code of the level below into
/// that above.
NNQ_CLONES void scan_codes(const float* x, std::uint8_t* out, std::int64_t n, const float* thresholds,
                           const std::uint8_t* codes, int count) {
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t size = n - begin < kBlock ? n - begin : kBlock;
    std::int32_t code[kBlock];
    for (std::int64_t i = 0; i < size; ++i) code[i] = codes[0];
    for (int l = 1; l < count; ++l) {
      const float threshold = thresholds[l];
      const std::int32_t change = codes[l] ^ codes[l - 1];
      for (std::int64_t i = 0; i < size; ++i) code[i] ^= x[begin + i] >= threshold ? change : 0;
    }
    for (std::int64_t i = 0; i < size; ++i) out[begin + i] = static_cast<std::uint8_t>(code[i]);
  }
}

using Floats = float __attribute__((vector_size(32)));
using Ints = std::int32_t __attribute__((vector_size(32)));
constexpr std::int64_t kLanes = 8;

/// Adds to counts[l] and sums[l] what x[size <= kBlock] has on level l and above. Eight running sums in a fixed
/// pattern, so that every instruction set adds in the same order.
NNQ_CLONES void scan_sums(const float* x, std::int64_t size, const float* thresholds, int count, double* counts,
                          double* sums) {
  Floats block[kBlock / kLanes];
  const std::int64_t vectors = (size + kLanes - 1) / kLanes;
  if (vectors > 0) block[vectors - 1] = Floats{} + __builtin_nanf("");  // passes no threshold
  __builtin_memcpy(block, x, static_cast<std::size_t>(size) * sizeof(float));
  for (int l = 0; l < count; ++l) {
    const Floats threshold = Floats{} + thresholds[l];
    Floats sum{};
    Ints passed{};
    for (std::int64_t i = 0; i < vectors; ++i) {
      const Ints mask = block[i] >= threshold;
      passed -= mask;
      sum += reinterpret_cast<Floats>(reinterpret_cast<Ints>(block[i]) & mask);
    }
    double total = 0;
    std::int32_t all = 0;
    for (std::int64_t k = 0; k < kLanes; ++k) {
      total += static_cast<double>(sum[k]);
      all += passed[k];
    }
    counts[l] += all;
    sums[l] += total;
  }
}

/// Sum of |x| in double, eight running sums in a fixed pattern.
NNQ_CLONES double sum_of_magnitudes(const float* x, std::int64_t n) {
  constexpr std::int64_t lanes = 8;
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::int64_t l = 0; l < lanes; ++l) sums[l] += static_cast<double>(__builtin_fabsf(x[i + l]));
  double total = 0;
  for (const double sum : sums) total += sum;
  for (; i < n; ++i) total += static_cast<double>(__builtin_fabsf(x[i]));
  return total;
}

/// codes |= bit where residual >= 0.
NNQ_CLONES void add_signs(const float* residual, std::uint8_t* codes, std::int64_t n, int bit) {
  for (std::int64_t i = 0; i < n; ++i)
    codes[i] = static_cast<std::uint8_t>(codes[i] | (residual[i] >= 0 ? 1 << bit : 0));
}

/// residual -= alpha * sign(residual).
NNQ_CLONES void take_off(float* residual, std::int64_t n, float alpha) {
  for (std::int64_t i = 0; i < n; ++i) residual[i] -= residual[i] >= 0 ? alpha : -alpha;
}

void look_up(const float* table, const std::uint8_t* codes, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = table[codes[i]];
}

struct Table {
  Table(std::span<const float> basis, Digits digits) {
    for (int code = 0; code < 1 << basis.size(); ++code) values[at(code)] = level_of(basis, digits, code);
  }
  std::array<float, kMaxLevels> values;  // of the codes that there are
};

/// Symmetric positive definite system of k rows, by Cholesky's factors; false when it is singular.
bool solve(std::array<std::array<double, kMaxBits>, kMaxBits>& a, std::array<double, kMaxBits>& b, int k) {
  double largest = 0;
  for (int i = 0; i < k; ++i) largest = std::max(largest, a[at(i)][at(i)]);
  for (int i = 0; i < k; ++i) {
    for (int j = 0; j <= i; ++j) {
      double sum = a[at(i)][at(j)];
      for (int m = 0; m < j; ++m) sum -= a[at(i)][at(m)] * a[at(j)][at(m)];
      if (i != j) {
        a[at(i)][at(j)] = sum / a[at(j)][at(j)];
      } else if (sum > largest * 1e-14) {
        a[at(i)][at(i)] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  for (int i = 0; i < k; ++i) {
    for (int m = 0; m < i; ++m) b[at(i)] -= a[at(i)][at(m)] * b[at(m)];
    b[at(i)] /= a[at(i)][at(i)];
  }
  for (int i = k - 1; i >= 0; --i) {
    for (int m = i + 1; m < k; ++m) b[at(i)] -= a[at(m)][at(i)] * b[at(m)];
    b[at(i)] /= a[at(i)][at(i)];
  }
  return true;
}

void fit_scales(int bits, const std::uint8_t* codes, const float* x, std::int64_t n, std::span<float> alpha) {
  Bins bins;
  accumulate(bits, codes, x, n, bins);
  least_squares(bins, Digits::signs, alternating_ridge, alpha, alpha);
}

}  // namespace

float level_of(std::span<const float> basis, Digits digits, int code) {
  float value = 0;
  if (digits == Digits::signs) {
    for (const float v : basis) value += v;
    value = -value;
  }
  for (std::size_t k = 0; k < basis.size(); ++k)
    if ((code >> k & 1) != 0) value += digits == Digits::signs ? 2 * basis[k] : basis[k];
  return value;
}

void levels_of(std::span<const float> basis, Digits digits, const std::uint8_t* codes, float* values, std::int64_t n) {
  look_up(Table(basis, digits).values.data(), codes, values, n);
}

void to_grid(std::span<float> basis) {
  constexpr int least_exponent = -149;    // of a float
  constexpr double most_units = 1 << 24;  // a sum of as many is exact in float32
  double top = 0;
  for (const float v : basis) top += std::fabs(static_cast<double>(v));
  if (!(top > 0) || !std::isfinite(top)) return;
  int exponent = 0;
  std::frexp(top, &exponent);
  double unit = std::ldexp(1.0, std::max(exponent - 24, least_exponent)), units = 0;
  const auto rounded = [&](float v) { return std::nearbyint(static_cast<double>(v) / unit); };
  for (const float v : basis) units += std::fabs(rounded(v));
  if (units > most_units) unit *= 2;
  for (float& v : basis) v = static_cast<float>(rounded(v) * unit);
}

Levels::Levels(std::span<const float> basis, Digits digits, Ties ties) : count(1 << basis.size()) {
  const Table table(basis, digits);
  const auto n = at(count);
  std::iota(codes.begin(), codes.begin() + count, std::uint8_t{0});
  // NaN has no place in an order: such levels stay as they are, and mean nothing.
  if (std::none_of(table.values.begin(), table.values.begin() + count, [](float v) { return std::isnan(v); }))
    std::sort(codes.begin(), codes.begin() + count, [&](std::uint8_t a, std::uint8_t b) {
      const float left = table.values[a], right = table.values[b];
      return left < right || (left == right && a < b);
    });
  for (std::size_t l = 0; l < n; ++l) values[l] = table.values[codes[l]];
  thresholds[0] = -std::numeric_limits<float>::infinity();
  for (std::size_t l = 1; l < n; ++l) thresholds[l] = threshold_between(values[l - 1], values[l], ties);
}

void quantize(const Levels& levels, const float* x, float* out, std::int64_t n) {
  if (levels.count <= 1 << kScanBits)
    return scan_values(x, out, n, levels.thresholds.data(), levels.values.data(), levels.count);
  std::uint8_t position[kBlock];
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t size = std::min(kBlock, n - begin);
    bisect(x + begin, position, size, levels.thresholds.data(), levels.count);
    look_up(levels.values.data(), position, out + begin, size);
  }
}

void encode(const Levels& levels, const float* x, std::uint8_t* codes, std::int64_t n) {
  if (levels.count <= 1 << kScanBits)
    return scan_codes(x, codes, n, levels.thresholds.data(), levels.codes.data(), levels.count);
  bisect(x, codes, n, levels.thresholds.data(), levels.count);
  for (std::int64_t i = 0; i < n; ++i) codes[i] = levels.codes[codes[i]];
}

void Bins::add(const Bins& other) {
  for (std::size_t c = 0; c < count.size(); ++c) {
    count[c] += other.count[c];
    sum[c] += other.sum[c];
  }
}

void accumulate(int bits, const std::uint8_t* codes, const float* x, std::int64_t n, Bins& bins) {
  constexpr std::size_t ways = 4;  // so that one bin's sum need not wait for the last
  double sums[ways][kMaxLevels], counts[ways][kMaxLevels];
  const std::size_t levels = std::size_t{1} << bits;
  for (std::size_t w = 0; w < ways; ++w) {
    std::fill_n(sums[w], levels, 0.0);
    std::fill_n(counts[w], levels, 0.0);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const std::size_t w = static_cast<std::size_t>(i) % ways;
    sums[w][codes[i]] += static_cast<double>(x[i]);
    counts[w][codes[i]] += 1;
  }
  for (std::size_t c = 0; c < levels; ++c) {
    bins.sum[c] += (sums[0][c] + sums[1][c]) + (sums[2][c] + sums[3][c]);
    bins.count[c] += (counts[0][c] + counts[1][c]) + (counts[2][c] + counts[3][c]);
  }
}

void accumulate(const Levels& levels, const float* x, std::int64_t n, Bins& bins) {
  if (levels.count > 1 << kScanBits) {
    int bits = 0;
    while (1 << bits < levels.count) ++bits;
    std::uint8_t codes[kBlock];
    for (std::int64_t begin = 0; begin < n; begin += kBlock) {
      const std::int64_t size = std::min(kBlock, n - begin);
      encode(levels, x + begin, codes, size);
      accumulate(bits, codes, x + begin, size, bins);
    }
    return;
  }
  double counts[(1 << kScanBits) + 1] = {}, sums[(1 << kScanBits) + 1] = {};
  for (std::int64_t begin = 0; begin < n; begin += kBlock)
    scan_sums(x + begin, std::min(kBlock, n - begin), levels.thresholds.data(), levels.count, counts, sums);
  for (int l = 0; l < levels.count; ++l) {
    bins.count[levels.codes[at(l)]] += counts[l] - counts[l + 1];
    bins.sum[levels.codes[at(l)]] += sums[l] - sums[l + 1];
  }
}

bool least_squares(const Bins& bins, Digits digits, double ridge, std::span<const float> start,
                   std::span<float> basis) {
  const int bits = static_cast<int>(basis.size());
  std::array<std::array<double, kMaxBits>, kMaxBits> gram{};
  std::array<double, kMaxBits> right{};
  const auto digit = [&](int code, int k) {
    return digits == Digits::signs ? static_cast<double>(2 * (code >> k & 1) - 1) : static_cast<double>(code >> k & 1);
  };
  for (int code = 0; code < 1 << bits; ++code) {
    if (bins.count[at(code)] == 0) continue;
    for (int i = 0; i < bits; ++i) {
      right[at(i)] += digit(code, i) * bins.sum[at(code)];
      for (int j = 0; j <= i; ++j) gram[at(i)][at(j)] += digit(code, i) * digit(code, j) * bins.count[at(code)];
    }
  }
  for (int i = 0; i < bits; ++i) {
    gram[at(i)][at(i)] += ridge;
    right[at(i)] += ridge * static_cast<double>(start[at(i)]);
  }
  if (!solve(gram, right, bits)) return false;
  for (int i = 0; i < bits; ++i)
    if (!std::isfinite(static_cast<float>(right[at(i)]))) return false;
  for (int i = 0; i < bits; ++i) basis[at(i)] = static_cast<float>(right[at(i)]);
  return true;
}

void decompose(const float* x, std::int64_t n, int bits, Search search, int cycles, float* alpha, std::uint8_t* codes,
               float* values) {
  std::fill_n(alpha, bits, 0.0F);
  if (n == 0) return;
  std::fill_n(codes, n, std::uint8_t{0});
  float* residual = values;
  std::copy_n(x, n, residual);
  for (int bit = 0; bit < bits; ++bit) {
    alpha[bit] = static_cast<float>(sum_of_magnitudes(residual, n) / static_cast<double>(n));
    add_signs(residual, codes, n, bit);
    if (search != Search::refined) {
      take_off(residual, n, alpha[bit]);
      continue;
    }
    const std::span<float> found(alpha, at(bit) + 1);
    fit_scales(bit + 1, codes, x, n, found);
    look_up(Table(found, Digits::signs).values.data(), codes, residual, n);
    for (std::int64_t i = 0; i < n; ++i) residual[i] = x[i] - residual[i];
  }
  const std::span<float> scales(alpha, at(bits));
  if (search == Search::alternating)
    for (int cycle = 0; cycle < cycles; ++cycle) {
      fit_scales(bits, codes, x, n, scales);
      encode(Levels(scales, Digits::signs, Ties::up), x, codes, n);
    }
  look_up(Table(scales, Digits::signs).values.data(), codes, values, n);
}

}  // namespace nnq::multibit
