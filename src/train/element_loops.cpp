#include "train/element_loops.h"

#include <cmath>

// One body, three instruction sets; -O3 for the vectoriser, and no reassociation, so lanes do not change results.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define NNQ_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3,no-trapping-math")))
#else
#define NNQ_CLONES
#endif

namespace nnq::train {

NNQ_CLONES void quantize_codes(const float* __restrict x, float* __restrict out, std::int64_t n, float scale, float low,
                               float high) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = std::rint(x[i] / scale);
    const float floored = v > low ? v : low;  // NaN compares false
    out[i] = floored < high ? floored : high;
  }
}

NNQ_CLONES void sign_codes(const float* __restrict x, float* __restrict out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] >= 0 ? 1.0f : -1.0f;
}

NNQ_CLONES void quantize_values(const float* __restrict x, float* __restrict out, std::int64_t n, float scale,
                                float low, float high) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = std::rint(x[i] / scale);
    const float floored = v > low ? v : low;
    out[i] = (floored < high ? floored : high) * scale;
  }
}

NNQ_CLONES void mask_range(const float* __restrict gradient, const float* __restrict x, float* __restrict out,
                           std::int64_t n, float scale, float low, float high) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = x[i] / scale;
    out[i] = (v >= low) & (v <= high) ? gradient[i] : 0.0f;
  }
}

/// Sixteen running sums in a fixed pattern: vectorises, and the order of additions is the same on every machine.
NNQ_CLONES double mask_range_and_scale(const float* __restrict gradient, const float* __restrict x,
                                       float* __restrict out, std::int64_t n, float scale, float low, float high) {
  constexpr std::int64_t lanes = 16;
  float sums[lanes] = {};
  const auto one = [&](std::int64_t i) {
    const float v = x[i] / scale, g = gradient[i];
    const float rounded = std::rint(v);
    const bool under = v<low, over = v> high;
    out[i] = under | over ? 0.0f : g;
    const float slope = under ? low : over ? high : rounded - v;
    return g * slope;
  };
  double total = 0;
  std::int64_t i = 0;
  while (i + lanes <= n) {
    const std::int64_t stop = i + std::min<std::int64_t>((n - i) / lanes * lanes, 1024);
    for (; i < stop; i += lanes)
      for (std::int64_t l = 0; l < lanes; ++l) sums[l] += one(i + l);
    for (float& sum : sums) {
      total += static_cast<double>(sum);
      sum = 0;
    }
  }
  for (; i < n; ++i) total += static_cast<double>(one(i));
  return total;
}

NNQ_CLONES void mask_magnitude(const float* __restrict gradient, const float* __restrict x, float* __restrict out,
                               std::int64_t n, float bound) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = std::fabs(x[i]) <= bound ? gradient[i] : 0.0f;
}

at::Tensor dense(const at::Tensor& t) {
  return t.is_non_overlapping_and_dense() ? t : t.contiguous(t.suggest_memory_format());
}

at::Tensor ordered_as(const at::Tensor& t, const at::Tensor& like) {
  if (t.strides() == like.strides() && t.sizes() == like.sizes()) return t;
  return at::empty_like(like).copy_(t);
}

}  // namespace nnq::train
