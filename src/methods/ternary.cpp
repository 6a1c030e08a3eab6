#include "methods/ternary.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace nnq::methods {

float kept_mean(const float* w, std::int64_t n, float threshold) {
  double sum = 0;
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const float magnitude = std::fabs(w[i]);
    if (!(magnitude > threshold)) continue;
    sum += static_cast<double>(magnitude);
    ++kept;
  }
  return kept > 0 ? static_cast<float>(sum / static_cast<double>(kept)) : 0.0F;
}

Ternary ternary_by_mean(const float* w, std::int64_t n, double factor) {
  if (n == 0) return {};
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(std::fabs(w[i]));
  const auto threshold = static_cast<float>(factor * (sum / static_cast<double>(n)));
  return {threshold, kept_mean(w, n, threshold)};
}

Ternary ternary_exact(const float* w, std::int64_t n) {
  std::vector<float> magnitudes(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) magnitudes[static_cast<std::size_t>(i)] = std::fabs(w[i]);
  std::sort(magnitudes.begin(), magnitudes.end(), std::greater<>());
  double sum = 0, best = 0;
  Ternary chosen{.threshold = n > 0 ? magnitudes[0] : 0.0F, .scale = 0};
  for (std::size_t kept = 1; kept <= magnitudes.size(); ++kept) {
    sum += static_cast<double>(magnitudes[kept - 1]);
    const float next = kept < magnitudes.size() ? magnitudes[kept] : 0.0F;
    if (!(magnitudes[kept - 1] > next)) continue;  // equal magnitudes are kept together
    const auto count = static_cast<double>(kept);
    if (sum * sum / count <= best) continue;
    best = sum * sum / count;
    chosen = {.threshold = next, .scale = static_cast<float>(sum / count)};
  }
  return chosen;
}

at::Tensor ternary_codes(const at::Tensor& w, const at::Tensor& threshold) {
  return w.gt(threshold).to(at::kByte).add_(1).sub_(w.lt(-threshold).to(at::kByte));
}

}  // namespace nnq::methods
