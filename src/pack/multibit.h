// Quantizers whose levels are sums over a small basis, q = e . v: LQ-Nets (Zhang et al. 2018, arXiv:1807.10029, secs.
// 3.1 and 3.2) and alternating multi-bit quantization (Xu et al. 2018, arXiv:1802.00150, secs. 3 and 4). Torch-free and
// without exceptions: training calls it a row at a time, the runtime on a recurrent network's state at every step.
// Results do not depend on the number of threads: callers cut their data in fixed pieces.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace nnq::multibit {

inline constexpr int kMaxBits = 8;
inline constexpr int kMaxLevels = 1 << kMaxBits;

/// What stands before each number of the basis. Bit k of a code belongs to basis[k]; bit 1 is +1.
enum class Digits : std::uint8_t {
  signs,  // -1, +1
  bits,   // 0, 1
};
/// The level of a value midway between two: the upper one (alternating) or the lower one (LQ-Nets).
enum class Ties : std::uint8_t { up, down };

/// Level of `code`, in the float32 arithmetic of Encoding::level() (bit planes): -(v_0 + v_1 + ...) and then 2 v_k for
/// each bit that is set; with digits 0 and 1, the sum of v_k over the bits that are set.
float level_of(std::span<const float> basis, Digits digits, int code);
/// values = level_of(basis, digits, code) of each code.
void levels_of(std::span<const float> basis, Digits digits, const std::uint8_t* codes, float* values, std::int64_t n);

/// Rounds a basis to multiples of the last bit of its largest level, |v_0| + |v_1| + ...: every level is then the exact
/// sum of its parts, and a layer computed from the parts is the layer computed from the levels.
void to_grid(std::span<float> basis);

/// All 2^bits levels of a basis in ascending order, each with its code. Basis values may cross or be negative.
struct Levels {
  Levels(std::span<const float> basis, Digits digits, Ties ties);

  // The first `count` of each; the rest is left as it comes: a vector of a few bits is quantized in less time than it
  // takes to clear them.
  int count = 0;                               // 2^bits
  std::array<float, kMaxLevels> values;        // ascending
  std::array<std::uint8_t, kMaxLevels> codes;  // of each level
  std::array<float, kMaxLevels> thresholds;    // [0] is -infinity; x >= thresholds[l]: x is on level l or above
  float lowest() const { return values[0]; }
  float highest() const { return values[static_cast<std::size_t>(count) - 1]; }
};

/// out = the nearest level of each value (NaN: the lowest). out may be x.
void quantize(const Levels& levels, const float* x, float* out, std::int64_t n);
/// codes = the code of the nearest level of each value.
void encode(const Levels& levels, const float* x, std::uint8_t* codes, std::int64_t n);

/// How many values have each code and what they sum to: all that least squares needs of the data, however long it is.
struct Bins {
  std::array<double, kMaxLevels> count{}, sum{};  // by code
  void add(const Bins& other);
};

/// Adds the values to the bins of their nearest levels.
void accumulate(const Levels& levels, const float* x, std::int64_t n, Bins& bins);
/// Adds the values to the bins of their given codes, of `bits` bits.
void accumulate(int bits, const std::uint8_t* codes, const float* x, std::int64_t n, Bins& bins);

/// basis = argmin over v of sum (x - e . v)^2 + ridge |v - start|^2 for the codes in `bins`, that is
/// (B B^T + ridge I) v = B x + ridge start. Returns false and leaves `basis` as it is when the system is singular (no
/// ridge and a plane that never changes) or a value is not finite. start and basis may be the same.
bool least_squares(const Bins& bins, Digits digits, double ridge, std::span<const float> start, std::span<float> basis);

/// What keeps the system of least squares solvable when two planes of signs agree: pulls towards the last scales.
inline constexpr double alternating_ridge = 1e-6;

/// How alternating multi-bit quantization looks for scales and signs.
enum class Search : std::uint8_t {
  greedy,       // b_i = sign of the residual, alpha_i = its mean magnitude
  refined,      // the same, but all scales so far by least squares after each new b_i
  alternating,  // greedy, then `cycles` times: least squares for the scales, nearest levels for the signs
};

/// Decomposes x[n] into sum_i alpha_i b_i with b_i in {-1, +1}^n: alpha[bits], codes[n] (bit i: b_i = +1) and
/// values[n] = level_of(alpha, signs, code). sign(0) = +1. n = 0 or all zeros: alpha = 0. `values` must not be x.
void decompose(const float* x, std::int64_t n, int bits, Search search, int cycles, float* alpha, std::uint8_t* codes,
               float* values);

}  // namespace nnq::multibit
