// The gradient that stands in for that of a step function when a network is differentiated in its input (attacks). What
// is computed forward never changes.
#pragma once

namespace at {
class Tensor;
}

namespace nnq::train {

/// own     the quantizer's own gradient (its paper's); for the operators Sign and Quantize of a frozen graph: mask
/// mask    straight through where |x| <= 1 (sign) or within the range (steps), else 0: hard tanh
/// clip    straight through everywhere, the value of the gradient clipped to [-1, 1] (code of Galloway et al. 2018)
/// smooth  sign: the gradient of tanh(beta x); steps: mask
enum class SurrogateKind { own, mask, clip, smooth };

struct Surrogate {
  SurrogateKind kind = SurrogateKind::own;
  double beta = 2;  // smooth
};

/// q = sign(x) (times a constant), differentiable in x as `surrogate` says.
at::Tensor sign_through(const at::Tensor& x, const at::Tensor& q, const Surrogate& surrogate);
/// q = clamp(rint(x / scale), low, high), differentiable in x with slope 1 / scale.
at::Tensor steps_through(const at::Tensor& x, const at::Tensor& q, double scale, double low, double high,
                         const Surrogate& surrogate);
/// q with the gradient of x, its value clipped to [-1, 1].
at::Tensor clipped_through(const at::Tensor& x, const at::Tensor& q);

}  // namespace nnq::train
