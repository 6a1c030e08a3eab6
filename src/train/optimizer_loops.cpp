#include "train/optimizer_loops.h"

#include "core/clones.h"

namespace nnq::train {

NNQ_CLONES void update_sgd(float* __restrict w, const float* __restrict g, float* __restrict m, std::int64_t n,
                           const UpdateRule& rule) {
  const UpdateRule r = rule;
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] + r.decay * w[i];
    const float moving = r.momentum * m[i] + d;
    m[i] = moving;
    w[i] -= r.rate * (r.ahead * d + r.of_momentum * moving);
  }
}

NNQ_CLONES void update_adam(float* __restrict w, const float* __restrict g, float* __restrict m, float* __restrict v,
                            std::int64_t n, const UpdateRule& rule) {
  const UpdateRule r = rule;
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] + r.decay * w[i];
    const float mean = r.beta1 * m[i] + r.one_minus_beta1 * d;
    const float square = r.beta2 * v[i] + r.one_minus_beta2 * d * d;
    m[i] = mean;
    v[i] = square;
    w[i] = w[i] * r.shrink - r.rate * (mean / (__builtin_sqrtf(square) * r.root_factor + r.epsilon));
  }
}

NNQ_CLONES void update_adamax(float* __restrict w, const float* __restrict g, float* __restrict m, float* __restrict v,
                              std::int64_t n, const UpdateRule& rule) {
  const UpdateRule r = rule;
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] + r.decay * w[i];
    const float mean = r.beta1 * m[i] + r.one_minus_beta1 * d;
    const float kept = r.beta2 * v[i], now = __builtin_fabsf(d) + r.epsilon;
    const float largest = kept > now ? kept : now;
    m[i] = mean;
    v[i] = largest;
    w[i] -= r.rate * (mean / largest);
  }
}

NNQ_CLONES void update_shift_adamax(float* __restrict w, const float* __restrict g, float* __restrict m,
                                    float* __restrict v, std::int64_t n, const UpdateRule& rule) {
  const UpdateRule r = rule;
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] + r.decay * w[i];
    const float mean = r.beta1 * m[i] + r.one_minus_beta1 * d;
    const float kept = r.beta2 * v[i], now = __builtin_fabsf(d);
    // AP2 of a magnitude by its bits: fractions from sqrt(2) up carry into the exponent, the fraction is cut. Subnormal
    // magnitudes come out wrong, but vanish beside 2^-27.
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, kept > now ? kept : now);
    const float rounded = __builtin_bit_cast(float, (bits + (0x800000u - 0x3504f4u)) & 0x7f800000u) + 0x1p-27F;
    m[i] = mean;
    v[i] = rounded;
    w[i] -= r.rate * (mean / rounded);
  }
}

}  // namespace nnq::train
