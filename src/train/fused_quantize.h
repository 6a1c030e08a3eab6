// Fake quantization in one pass forward and one back, on all threads: what methods use for activations (and for
// per-tensor weights) instead of chains of tensor operations. All take and give float32 and keep the memory order.
#pragma once

namespace at {
class Tensor;
}

namespace nnq::train {

/// y = clamp(rint(x / scale), min, max) * scale with learned scales (> 0): learned step size quantization, Esser et al.
/// 2020, arXiv:1902.08153. One scale (any shape of 1 element), or one for each slice of x along axis 0 (weights).
///   dy/dx      1 where min <= x / scale <= max, else 0
///   dy/dscale  min below, max above, rint(x / scale) - x / scale between; summed over x, times scale_gradient_factor
///              (the paper: 1 / sqrt(count * max))
/// Sums are made in fixed chunks: same bits whatever the number of threads.
at::Tensor fused_uniform_quantize(const at::Tensor& x, const at::Tensor& scale, double min, double max,
                                  double scale_gradient_factor);

/// The same forward with a fixed scale; dy/dx as above. DoReFa's activations are scale = 1 / (2^k - 1), min = 0,
/// max = 2^k - 1 (the gradient of clip(x, 0, 1)).
at::Tensor fused_clip_quantize(const at::Tensor& x, double scale, double min, double max);

/// y = x >= 0 ? +1 : -1; dy/dx = 1 where |x| <= clip_bound, else 0 (BNN: bound 1).
at::Tensor fused_sign_ste(const at::Tensor& x, double clip_bound);

}  // namespace nnq::train
