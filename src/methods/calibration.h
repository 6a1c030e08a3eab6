// Choosing the step of a uniform quantizer from data it will see. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nnq::methods {

/// Counts of observed values in 4096 equal bins over [-R, R]; R doubles when a larger value comes, so that batches may
/// be added one by one and the result depends only on the values (up to their order: not at all).
class Histogram {
 public:
  /// Throws nnq::Error on a NaN or an infinity.
  void add(const float* values, std::int64_t count);
  bool empty() const { return total_ == 0; }
  double low() const { return low_; }
  double high() const { return high_; }
  double total_magnitude() const { return magnitude_; }
  std::int64_t total() const { return total_; }

  /// Bin centres (the exact extremes for the outermost used bins) with their counts, ascending.
  std::vector<std::pair<double, double>> points() const;

 private:
  void widen(double magnitude);

  double range_ = 0, low_ = 0, high_ = 0, magnitude_ = 0;
  std::int64_t total_ = 0;
  std::vector<std::int64_t> bins_;
};

/// Weighted values a step is chosen for, ascending.
using Points = std::vector<std::pair<double, double>>;

/// Integer range of the codes: value = step * v, low <= v <= high. 1 bit signed is {-1, +1}.
struct CodeRange {
  int low = 0, high = 255;
};

struct UniformRange {
  double step = 1;
  int zero_point = 0;  // codes below 0; low == -zero_point (affine: chosen with the step)
};

/// method: "minmax" (no value clipped), "percentile" (`percentile` per cent of the values not clipped), "mse" (least
/// mean squared error over 100 thresholds), "entropy" (least Kullback-Leibler divergence of the distribution of |x|, as
/// TensorRT calibrates). All-zero or no data: step 1.
double choose_step(const Points& points, CodeRange range, const std::string& method, double percentile);

/// The same for levels that need not be symmetric: zero is always a level.
UniformRange choose_affine(const Points& points, int bits, const std::string& method, double percentile);

/// Mean squared error of clamp(rint(x / step), low, high) * step.
double quantization_error(const Points& points, double step, double low, double high);

}  // namespace nnq::methods
