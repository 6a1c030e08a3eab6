#include "train/element_loops.h"

// One body, three instruction sets; -O3 for the vectoriser, and no reassociation, so lanes do not change results.
// Builtins and no helper functions: what is not part of the body would not be compiled for its instruction set.
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
    const float v = __builtin_rintf(x[i] / scale);
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
    const float v = __builtin_rintf(x[i] / scale);
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
  constexpr std::int64_t lanes = 16, block = 1024;
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t size = n - begin < block ? n - begin : block;
    float slopes[block];  // g * d(value)/d(scale)
    for (std::int64_t i = 0; i < size; ++i) {
      const float v = x[begin + i] / scale, g = gradient[begin + i];
      const bool under = v<low, over = v> high;
      out[begin + i] = under | over ? 0.0f : g;
      const float inside = __builtin_rintf(v) - v;
      slopes[i] = g * (under ? low : over ? high : inside);
    }
    float sums[lanes] = {};
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes)
      for (std::int64_t l = 0; l < lanes; ++l) sums[l] += slopes[i + l];
    for (const float sum : sums) total += static_cast<double>(sum);
    for (; i < size; ++i) total += static_cast<double>(slopes[i]);
  }
  return total;
}

NNQ_CLONES void mask_magnitude(const float* __restrict gradient, const float* __restrict x, float* __restrict out,
                               std::int64_t n, float bound) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = __builtin_fabsf(x[i]) <= bound ? gradient[i] : 0.0f;
}

NNQ_CLONES void normalize_rows(const float* __restrict x, float* __restrict out, std::int64_t rows,
                               std::int64_t channels, const double* __restrict mean, const double* __restrict factor,
                               const double* __restrict bias) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < channels; ++c)
      out[r * channels + c] =
          static_cast<float>((static_cast<double>(x[r * channels + c]) - mean[c]) * factor[c] + bias[c]);
}

NNQ_CLONES void normalize_plane(const float* __restrict x, float* __restrict out, std::int64_t n, double mean,
                                double factor, double bias) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<float>((static_cast<double>(x[i]) - mean) * factor + bias);
}

at::Tensor dense(const at::Tensor& t) {
  return t.is_non_overlapping_and_dense() ? t : t.contiguous(t.suggest_memory_format());
}

at::Tensor ordered_as(const at::Tensor& t, const at::Tensor& like) {
  if (t.strides() == like.strides() && t.sizes() == like.sizes()) return t;
  return at::empty_like(like).copy_(t);
}

}  // namespace nnq::train
