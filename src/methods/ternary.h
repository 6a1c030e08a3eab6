// Ternary weights {-, 0, +} by a threshold on the magnitude: shared by TWN and TTQ.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace nnq::methods {

/// One group (a layer or an output channel) of a ternary weight.
struct Ternary {
  float threshold = 0;  // w > threshold is positive, w < -threshold negative, the rest zero
  float scale = 0;      // mean magnitude of what is not zero; 0 when all is
};

/// mean |w| of the n values times `factor` as the threshold: TWN, 0.7 (2016 text) or 0.75 (2022 revision).
Ternary ternary_by_mean(const float* w, std::int64_t n, double factor);
/// The threshold with the least squared error |w - scale t|^2: argmax over the number kept of (sum of |w|)^2 / kept.
Ternary ternary_exact(const float* w, std::int64_t n);
/// The scale that goes with a threshold.
float kept_mean(const float* w, std::int64_t n, float threshold);

/// 0, 1, 2 for negative, zero, positive; uint8 in the shape of w.
at::Tensor ternary_codes(const at::Tensor& w, const at::Tensor& threshold);

}  // namespace nnq::methods
