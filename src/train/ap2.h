// AP2(x) = sign(x) * 2^round(log2 |x|), AP2(0) = 0: rounding to a power of two (BNN, arXiv:1602.02830, sec. 1.3).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace nnq::train {

/// Exact: decides by the mantissa, |x| in [2^(k-1/2), 2^(k+1/2)) becomes 2^k. NaN and infinities stay; +-0 gives 0.
inline float ap2(float x) {
  const float magnitude = std::fabs(x);
  if (!(magnitude > 0) || !std::isfinite(magnitude)) return magnitude > 0 || std::isnan(x) ? x : 0.0f;
  int exponent = 0;
  const float mantissa = std::frexp(magnitude, &exponent);  // [1/2, 1)
  // sqrt(1/2) lies between 0x1.6a09e6p-1 and 0x1.6a09e8p-1.
  return std::copysign(std::ldexp(1.0f, mantissa > 0x1.6a09e6p-1f ? exponent : exponent - 1), x);
}

}  // namespace nnq::train

namespace at {
class Tensor;
}

namespace nnq::train {

/// Element by element, float32; no gradient.
at::Tensor ap2(const at::Tensor& x);

}  // namespace nnq::train
