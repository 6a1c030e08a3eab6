#include "methods/calibration.h"

#include <algorithm>
#include <cmath>

#include "nnq/error.h"

namespace nnq::methods {
namespace {

constexpr std::int64_t kBins = 4096;
constexpr double kLeastStep = 1e-30;
constexpr int kThresholds = 100;

double usable(double step) { return std::isfinite(step) && step > kLeastStep ? step : kLeastStep; }

double largest(const Points& points) {
  return points.empty() ? 0 : std::max(std::fabs(points.front().first), std::fabs(points.back().first));
}

/// Least t such that at least `share` of the weight has |x| <= t.
double magnitude_quantile(const Points& points, double share) {
  Points magnitudes = points;
  for (auto& [value, weight] : magnitudes) value = std::fabs(value);
  std::sort(magnitudes.begin(), magnitudes.end());
  double total = 0, seen = 0;
  for (const auto& point : magnitudes) total += point.second;
  for (const auto& [value, weight] : magnitudes) {
    seen += weight;
    if (seen >= share * total) return value;
  }
  return largest(points);
}

/// Value below which `share` of the weight lies.
double quantile(const Points& points, double share) {
  double total = 0, seen = 0;
  for (const auto& point : points) total += point.second;
  for (const auto& [value, weight] : points) {
    seen += weight;
    if (seen >= share * total) return value;
  }
  return points.empty() ? 0 : points.back().first;
}

/// Divergence of `reference` (first `used` of the bins, the rest added to the last) from itself merged to `levels`.
double divergence(const std::vector<double>& bins, std::size_t used, std::size_t levels) {
  std::vector<double> reference(bins.begin(), bins.begin() + static_cast<std::ptrdiff_t>(used));
  for (std::size_t i = used; i < bins.size(); ++i) reference[used - 1] += bins[i];
  std::vector<double> merged(used, 0);
  for (std::size_t level = 0; level < levels; ++level) {
    const std::size_t first = level * used / levels, last = (level + 1) * used / levels;
    double sum = 0, filled = 0;
    for (std::size_t i = first; i < last; ++i) {
      sum += bins[i];
      filled += bins[i] > 0 ? 1 : 0;
    }
    for (std::size_t i = first; i < last; ++i)
      if (bins[i] > 0) merged[i] = sum / filled;
  }
  double p_total = 0, q_total = 0, result = 0;
  for (std::size_t i = 0; i < used; ++i) {
    p_total += reference[i];
    q_total += merged[i];
  }
  if (p_total == 0 || q_total == 0) return 1e300;
  for (std::size_t i = 0; i < used; ++i) {
    if (reference[i] == 0) continue;
    const double p = reference[i] / p_total;
    const double q = merged[i] > 0 ? merged[i] / q_total : 1e-9;  // a clipped bin nothing stands for
    result += p * std::log(p / q);
  }
  return result;
}

double entropy_threshold(const Points& points, std::size_t levels) {
  constexpr std::size_t count = 2048;
  const double top = largest(points);
  std::vector<double> bins(count, 0);
  for (const auto& [value, weight] : points)
    bins[std::min(count - 1, static_cast<std::size_t>(std::fabs(value) / top * static_cast<double>(count)))] += weight;
  bins[0] = bins[1];  // exact zeros are exact at every step and would hide the rest
  double best = 1e301;
  std::size_t chosen = count;
  for (std::size_t used = std::max<std::size_t>(levels, count / 16); used <= count; used += 16) {
    const double d = divergence(bins, used, levels);
    if (d < best) {
      best = d;
      chosen = used;
    }
  }
  return top * (static_cast<double>(chosen)) / static_cast<double>(count);
}

}  // namespace

void Histogram::widen(double magnitude) {
  if (range_ == 0) {
    range_ = std::exp2(std::ceil(std::log2(std::max(magnitude, 1e-30))));
    bins_.assign(kBins, 0);
  }
  while (magnitude > range_) {
    std::vector<std::int64_t> merged(kBins, 0);
    for (std::int64_t i = 0; i < kBins; ++i)
      merged[static_cast<std::size_t>(kBins / 2 + (i >= kBins / 2 ? (i - kBins / 2) / 2 : (i - kBins / 2 - 1) / 2))] +=
          bins_[static_cast<std::size_t>(i)];
    bins_ = std::move(merged);
    range_ *= 2;
  }
}

void Histogram::add(const float* values, std::int64_t count) {
  double magnitude = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    NNQ_CHECK(std::isfinite(values[i]), "calibration met a NaN or an infinity", {},
              "are the inputs as the model expects?");
    magnitude = std::max(magnitude, static_cast<double>(std::fabs(values[i])));
  }
  if (count == 0) return;
  widen(magnitude);
  const double per_unit = kBins / 2 / range_;
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<double>(values[i]);
    const auto bin = static_cast<std::int64_t>(std::floor(x * per_unit)) + kBins / 2;
    ++bins_[static_cast<std::size_t>(std::clamp<std::int64_t>(bin, 0, kBins - 1))];
    low_ = total_ == 0 && i == 0 ? x : std::min(low_, x);
    high_ = total_ == 0 && i == 0 ? x : std::max(high_, x);
    sum += std::fabs(x);
  }
  magnitude_ += sum;
  total_ += count;
}

Points Histogram::points() const {
  Points result;
  const double width = 2 * range_ / kBins;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(bins_.size()); ++i) {
    const auto weight = static_cast<double>(bins_[static_cast<std::size_t>(i)]);
    if (weight > 0) result.emplace_back((static_cast<double>(i - kBins / 2) + 0.5) * width, weight);
  }
  if (!result.empty()) {
    result.front().first = low_;
    result.back().first = high_;
  }
  return result;
}

double quantization_error(const Points& points, double step, double low, double high) {
  constexpr double to_even = 0x1.8p52;  // adding and subtracting it rounds to an integer, ties to even, in vector code
  const double per_step = 1 / step;
  double error = 0, total = 0;
  for (const auto& [value, weight] : points) {
    const double rounded = (value * per_step + to_even) - to_even;
    const double raised = rounded > low ? rounded : low;
    const double miss = value - (raised < high ? raised : high) * step;
    error += weight * miss * miss;
    total += weight;
  }
  return total > 0 ? error / total : 0;
}

double choose_step(const Points& points, CodeRange range, const std::string& method, double percentile) {
  const double top = largest(points);
  if (top == 0) return 1;
  if (range.low == -1 && range.high == 1) {  // signs: the mean magnitude has the least squared error
    double sum = 0, total = 0;
    for (const auto& [value, weight] : points) {
      sum += std::fabs(value) * weight;
      total += weight;
    }
    return usable(sum / total);
  }
  // An unsigned code clips what is negative whatever the step is.
  const double reach = range.low == 0 ? std::max(points.back().first, 0.0) : top;
  if (reach == 0) return 1;
  const double levels = std::max(range.high, 1);
  if (method == "minmax") return usable(reach / levels);
  if (method == "percentile") {
    const double t = range.low == 0 ? std::max(quantile(points, percentile / 100), 0.0)
                                    : magnitude_quantile(points, percentile / 100);
    return usable((t > 0 ? t : reach) / levels);
  }
  if (method == "entropy") return usable(entropy_threshold(points, static_cast<std::size_t>(levels) + 1) / levels);
  double best = -1, chosen = reach / levels;
  for (int i = kThresholds; i >= 1; --i) {
    const double step = usable(reach * i / kThresholds / levels);
    const double error = quantization_error(points, step, range.low, range.high);
    if (best < 0 || error < best) {
      best = error;
      chosen = step;
    }
  }
  return usable(chosen);
}

UniformRange choose_affine(const Points& points, int bits, const std::string& method, double percentile) {
  const double codes = (1 << bits) - 1;
  if (largest(points) == 0) return {1, 0};
  double low = std::min(points.front().first, 0.0), high = std::max(points.back().first, 0.0);
  const auto range_of = [&](double from, double to) {
    UniformRange range;
    range.step = usable((to - from) / codes);
    range.zero_point = static_cast<int>(std::clamp(std::nearbyint(-from / range.step), 0.0, codes));
    return range;
  };
  if (method == "percentile") {
    const double tail = (100 - percentile) / 200;
    low = std::min(quantile(points, tail), 0.0);
    high = std::max(quantile(points, 1 - tail), 0.0);
    if (low == high) return range_of(std::min(points.front().first, 0.0), std::max(points.back().first, 0.0));
  }
  if (method == "entropy") {
    const double share =
        entropy_threshold(points, static_cast<std::size_t>((static_cast<int>(codes) + 1) / 2)) / largest(points);
    return range_of(low * share, high * share);
  }
  if (method != "mse") return range_of(low, high);
  double best = -1;
  UniformRange chosen;
  for (int i = kThresholds; i >= 1; --i) {
    const UniformRange range = range_of(low * i / kThresholds, high * i / kThresholds);
    const double error = quantization_error(points, range.step, -range.zero_point, codes - range.zero_point);
    if (best < 0 || error < best) {
      best = error;
      chosen = range;
    }
  }
  return chosen;
}

}  // namespace nnq::methods
