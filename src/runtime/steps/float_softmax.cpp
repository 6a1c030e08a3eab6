// Softmax and LogSoftmax of floats. As the reference has them in double and rounded once at the end, but with
// exponentials many at a time and taken once: 2^n times a polynomial (Cody and Waite's reduction, Taylor's series to
// r^13: below 4e-18 for |r| <= ln 2 / 2), and sums in 8 lanes. Both are off by an ulp of a double or two, so that a
// float differs from the reference's, by its last bit, where a double lies next to the middle of two floats. The same
// bits on every instruction set and with any number of threads.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/clones.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

constexpr std::int64_t lanes = 8;

/// The largest of every lane, NaN left aside. count: a multiple of lanes.
NNQ_CLONES void largest_of_lanes(const float* __restrict x, std::int64_t count, float* __restrict largest) {
  for (std::int64_t first = 0; first < count; first += lanes) {
    for (std::int64_t i = 0; i < lanes; ++i) largest[i] = x[first + i] > largest[i] ? x[first + i] : largest[i];
  }
}

NNQ_CLONES void subtract_lanes(const float* __restrict x, const double* __restrict largest, std::int64_t count,
                               double* __restrict to) {
  for (std::int64_t first = 0; first < count; first += lanes) {
    for (std::int64_t i = 0; i < lanes; ++i) to[first + i] = static_cast<double>(x[first + i]) - largest[i];
  }
}

/// e^v of numbers that are not positive, in place; NaN stays.
NNQ_CLONES void exponentials(double* values, std::int64_t count) {
  constexpr double log2_e = 1.4426950408889634, ln2_high = 6.93147180369123816490e-01,
                   ln2_low = 1.90821492927058770002e-10, rounds = 6755399441055744.0;  // 1.5 * 2^52
  for (std::int64_t i = 0; i < count; ++i) {
    // At e^-700 a double still has all its bits and a float has none.
    const double v = values[i] < -700 ? -700 : values[i];
    const double shifted = v * log2_e + rounds, n = shifted - rounds;
    const double r = (v - n * ln2_high) - n * ln2_low;
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1;
    p = p * r + 1;
    // The low bits of `shifted` are n.
    const std::uint64_t exponent = (__builtin_bit_cast(std::uint64_t, shifted) + 1023) << 52;
    values[i] = p * __builtin_bit_cast(double, exponent);
  }
}

/// Sums of lanes, in their order.
NNQ_CLONES void add_lanes(const double* __restrict values, std::int64_t count, double* __restrict sums) {
  for (std::int64_t first = 0; first < count; first += lanes) {
    for (std::int64_t i = 0; i < lanes; ++i) sums[i] += values[first + i];
  }
}

NNQ_CLONES void divide_lanes(const double* __restrict values, const double* __restrict sums, std::int64_t count,
                             float* __restrict to) {
  for (std::int64_t first = 0; first < count; first += lanes) {
    for (std::int64_t i = 0; i < lanes; ++i) to[first + i] = static_cast<float>(values[first + i] / sums[i]);
  }
}

NNQ_CLONES void subtract_logs(const float* __restrict x, const double* __restrict largest,
                              const double* __restrict logs, std::int64_t count, float* __restrict to) {
  for (std::int64_t first = 0; first < count; first += lanes) {
    for (std::int64_t i = 0; i < lanes; ++i)
      to[first + i] = static_cast<float>(static_cast<double>(x[first + i]) - largest[i] - logs[i]);
  }
}

/// How a tensor is seen: `outer` times `length` numbers that belong together, `inner` apart.
struct Lines {
  std::int64_t outer = 1, length = 1, inner = 1;
};

/// Blocks of numbers in lanes: one line that lies in one piece takes them all, of others each takes one.
class FloatSoftmax final : public PreparedStep {
 public:
  FloatSoftmax(const PlanContext& plan, const Step& step, const Lines& lines)
      : x_(plan.slot(step.inputs[0])), y_(plan.slot(step.outputs[0])), lines_(lines), log_(step.node.is("LogSoftmax")) {
    kernel = log_ ? "log_softmax_float" : "softmax_float";
    count_ = whole() ? (lines.length + lanes - 1) / lanes * lanes : lines.length * lanes;
    in_row_ = whole() ? 1 : (lines.inner + lanes - 1) / lanes;
    blocks_ = lines.outer * in_row_;
    parts_ = std::min<std::int64_t>(blocks_, plan.threads * 4);
    part_bytes_ = static_cast<std::size_t>(count_) * (sizeof(double) + 2 * sizeof(float));
    scratch_bytes = part_bytes_ * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      auto* const powers = reinterpret_cast<double*>(scratch + part_bytes_ * static_cast<std::size_t>(part));
      auto* const numbers = reinterpret_cast<float*>(powers + count_);
      for (std::int64_t i = blocks_ * part / parts_; i < blocks_ * (part + 1) / parts_; ++i) {
        const std::int64_t column = i % in_row_ * lanes, first = i / in_row_ * lines_.length * lines_.inner + column;
        block(x_.as<float>() + first, y_.as<float>() + first, std::min(lanes, lines_.inner - column), numbers, powers);
      }
    });
    return {};
  }

 private:
  bool whole() const { return lines_.inner == 1; }

  /// used: lines of the block, where it has several; lanes without one repeat the last.
  void block(const float* x, float* y, std::int64_t used, float* numbers, double* powers) const {
    const std::int64_t length = lines_.length, inner = lines_.inner;
    if (whole()) {
      std::copy(x, x + length, numbers);
      std::fill(numbers + length, numbers + count_, x[length - 1]);
    } else {
      for (std::int64_t k = 0; k < length; ++k) {
        for (std::int64_t i = 0; i < lanes; ++i) numbers[k * lanes + i] = x[k * inner + std::min(i, used - 1)];
      }
    }
    float* const made = numbers + count_;
    compute(numbers, powers, made);
    if (whole()) {
      std::copy(made, made + length, y);
    } else {
      for (std::int64_t k = 0; k < length; ++k) std::copy_n(made + k * lanes, used, y + k * inner);
    }
  }

  void compute(const float* numbers, double* powers, float* made) const {
    float highest[lanes];
    double largest[lanes], sums[lanes] = {};
    std::fill_n(highest, lanes, -std::numeric_limits<float>::infinity());
    largest_of_lanes(numbers, count_, highest);
    if (whole()) std::fill_n(highest, lanes, *std::max_element(highest, highest + lanes));
    std::copy(highest, highest + lanes, largest);
    subtract_lanes(numbers, largest, count_, powers);
    exponentials(powers, count_);
    if (whole()) std::fill(powers + lines_.length, powers + count_, 0.0);
    add_lanes(powers, count_, sums);
    if (whole()) std::fill_n(sums, lanes, std::accumulate(sums, sums + lanes, 0.0));
    if (!log_) return divide_lanes(powers, sums, count_, made);
    for (double& sum : sums) sum = std::log(sum);
    subtract_logs(numbers, largest, sums, count_, made);
  }

  const Slot& x_;
  const Slot& y_;
  Lines lines_;
  bool log_;
  std::int64_t count_ = 0, in_row_ = 1, blocks_ = 0, parts_ = 0;  // count_: numbers of a block
  std::size_t part_bytes_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_float_softmax(const PlanContext& plan, const Step& step) {
  const Shape& shape = plan.slot(step.inputs[0]).shape;
  const auto rank = static_cast<std::int64_t>(shape.size());
  const bool flattens = step.opset < 13;  // the rest of the dimensions belongs to a line
  std::int64_t axis = step.node.get_int("axis", flattens ? 1 : -1);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank) return nullptr;
  Lines lines;
  for (std::int64_t d = 0; d < rank; ++d) {
    std::int64_t& part = d < axis ? lines.outer : d == axis || flattens ? lines.length : lines.inner;
    part *= shape[static_cast<std::size_t>(d)];
  }
  return std::make_unique<FloatSoftmax>(plan, step, lines);
}

}  // namespace nnq
