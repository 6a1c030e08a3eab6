// sigmoid and tanh as docs/program.md defines them: binary32 operations in a written order, no library call, so that
// interpreter and runtime have the same bits on every machine. Within 3e-7 of the true values. Builtins and no helper
// functions: core/clones.h.
#pragma once

#include <cstdint>

namespace nnq {

#if defined(__GNUC__)
#define NNQ_INLINE inline __attribute__((always_inline))
#else
#define NNQ_INLINE inline
#endif

/// e^x for x in -87 .. 87 (others as the nearest of these); NaN stays NaN. Cody and Waite's reduction, the polynomial
/// of Moshier's Cephes library (expf).
NNQ_INLINE float exp_rounded(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 87.0F ? 87.0F : x;
  constexpr float magic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer in the lowest bits
  const float shifted = x * 1.44269504F + magic;
  const float k = shifted - magic;
  const float high = x - k * 0.693359375F;
  const float r = high - k * -2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float square = r * r;
  p = p * square + r;
  p = p + 1.0F;
  const std::uint32_t exponent = (__builtin_bit_cast(std::uint32_t, shifted) + 127U) << 23;
  return p * __builtin_bit_cast(float, exponent);
}

/// 1 / (1 + e^-x)
NNQ_INLINE float sigmoid_rounded(float x) {
  const float e = exp_rounded(-x);
  return 1.0F / (1.0F + e);
}

/// Below 0.625 an odd polynomial (Cephes, tanhf), beyond it 1 - 2 / (e^2|x| + 1).
NNQ_INLINE float tanh_rounded(float x) {
  const float size = x < 0.0F ? -x : x;
  const float e = exp_rounded(size + size);
  const float far = 1.0F - 2.0F / (e + 1.0F);
  const float z = x * x;
  float p = -5.70498872745e-3F;
  p = p * z + 2.06390887954e-2F;
  p = p * z + -5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z + -3.33332819422e-1F;
  p = p * z;
  const float near = p * x + x;
  const float signed_far = x < 0.0F ? -far : far;
  return size < 0.625F ? near : signed_far;
}

}  // namespace nnq
