#include "train/element_loops.h"

#include <bit>
#include <limits>

#include "core/clones.h"

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

NNQ_CLONES void mask_range(float* __restrict gradient, const float* __restrict x, std::int64_t n, float low,
                           float high) {
  for (std::int64_t i = 0; i < n; ++i) gradient[i] = (x[i] >= low) & (x[i] <= high) ? gradient[i] : 0.0f;
}

/// Sixteen running sums in a fixed pattern: vectorises, and the order of additions is the same on every machine.
NNQ_CLONES double mask_range_and_scale(float* __restrict gradient, const float* __restrict x, std::int64_t n,
                                       float scale, float low, float high) {
  constexpr std::int64_t lanes = 16, block = 1024;
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t size = n - begin < block ? n - begin : block;
    float slopes[block];  // g * d(value)/d(scale)
    for (std::int64_t i = 0; i < size; ++i) {
      const float v = x[begin + i] / scale, g = gradient[begin + i];
      const bool under = v<low, over = v> high;
      gradient[begin + i] = under | over ? 0.0f : g;
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

at::Tensor writable(const at::Tensor& gradient, const at::Tensor& like) {
  if (gradient.sizes() != like.sizes() || gradient.strides() != like.strides())
    return at::empty_like(like).copy_(gradient);
  // The engine's list and the backward function's are the two holders of a gradient nobody else needs.
  const bool alone = !at::GradMode::is_enabled() && gradient.use_count() <= 2 && gradient.storage().use_count() == 1;
  return alone ? gradient : gradient.clone();
}

namespace {

/// Position of a float in their order, and back.
std::int64_t rank_of(float v) {
  const auto bits = std::bit_cast<std::int32_t>(v);
  return bits >= 0 ? std::int64_t{bits} : -std::int64_t{bits & 0x7fffffff} - 1;
}
float at_rank(std::int64_t rank) {
  const auto bits = static_cast<std::uint32_t>(rank >= 0 ? rank : -rank - 1);
  return std::bit_cast<float>(rank >= 0 ? bits : bits | 0x80000000u);
}

/// The first float in their order for which the monotone `holds` is true; +infinity when it is for none.
template <class F>
float first_where(F holds) {
  std::int64_t low = rank_of(-std::numeric_limits<float>::infinity()),
               high = rank_of(std::numeric_limits<float>::infinity());
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (holds(at_rank(middle))) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return at_rank(low);
}

}  // namespace

std::pair<float, float> range_in_x(float scale, float low, float high) {
  const float first = first_where([&](float x) { return x / scale >= low; });
  const float last = -first_where([&](float x) { return -x / scale <= high; });
  return {first, last};
}

}  // namespace nnq::train
