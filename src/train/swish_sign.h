// SwishSign, the smooth stand-in for the derivative of sign of BNN+ (Darabi et al. 2018, arXiv:1812.11800).
#pragma once

#include <cstdint>

namespace at {
class Tensor;
}

namespace nnq::train {

/// SS_beta(x) = 2 sigma(beta x) [1 + beta x (1 - sigma(beta x))] - 1, and its derivative
/// beta [2 - beta x tanh(beta x / 2)] / (1 + cosh(beta x)). The derivative is negative beyond |beta x| = 2.39936.
double swish_sign(double x, double beta);
double swish_sign_slope(double x, double beta);

/// gradient *= factor * [2 - z tanh(z / 2)] / (1 + cosh(z)) with z = z_per_x * x, in place. |z| is cut at 40, where the
/// slope is below 2e-15. Relative error against swish_sign_slope() below 1e-5 but where the slope crosses zero.
void scale_by_swish_slope(float* gradient, const float* x, std::int64_t n, float z_per_x, float factor);

/// y = x >= 0 ? +1 : -1; dy/dx = SS'_beta(x). One pass forward, one back. float32, keeps the memory order.
at::Tensor fused_swish_sign(const at::Tensor& x, double beta);

}  // namespace nnq::train
