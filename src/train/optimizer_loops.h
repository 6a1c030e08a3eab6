// What optimizers do to n elements of float32 memory: w the value, g the gradient, m and v the state. Single IEEE
// operations in a fixed order, so every instruction set gives the same bits.
#pragma once

#include <cstdint>

namespace nnq::train {

/// Factors of one step on one parameter.
struct UpdateRule {
  float rate = 0;
  float decay = 0;   // of the value, added to the gradient
  float shrink = 1;  // of the value itself (decoupled decay)
  float momentum = 0, ahead = 0, of_momentum = 1;
  float beta1 = 0, one_minus_beta1 = 1, beta2 = 0, one_minus_beta2 = 1;
  float root_factor = 1;  // bias correction of sqrt(v)
  float epsilon = 0;
};

/// d = g + decay w; m <- momentum m + d; w <- w - rate (ahead d + of_momentum m)
void update_sgd(float* w, const float* g, float* m, std::int64_t n, const UpdateRule& rule);
/// d as above; m <- beta1 m + (1 - beta1) d; v <- beta2 v + (1 - beta2) d d;
/// w <- shrink w - rate m / (root_factor sqrt(v) + epsilon)
void update_adam(float* w, const float* g, float* m, float* v, std::int64_t n, const UpdateRule& rule);
/// m as above; v <- max(beta2 v, |d| + epsilon); w <- w - rate m / v
void update_adamax(float* w, const float* g, float* m, float* v, std::int64_t n, const UpdateRule& rule);
/// m as above; v <- AP2(max(beta2 v, |d|)) + 2^-27; w <- w - rate m / v (BNN, shift-based AdaMax)
void update_shift_adamax(float* w, const float* g, float* m, float* v, std::int64_t n, const UpdateRule& rule);

}  // namespace nnq::train
