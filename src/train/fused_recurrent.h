// Whole LSTM and GRU layers as one autograd function each: the time loop forward, back-propagation through time back.
#pragma once

#include <ATen/ATen.h>

#include <functional>

namespace nnq::train {

/// What quantizes the hidden state on line: [N, H] to [N, H], one vector a sample. Empty: the state stays float.
using StateQuantizer = std::function<at::Tensor(const at::Tensor&)>;

struct Sequence {
  at::Tensor y;  // [T, N, H], quantized where there is a quantizer
  at::Tensor h;  // [N, H], the last state, float
  at::Tensor c;  // [N, H], the last cell of an LSTM
};

/// One direction of an ONNX LSTM (gates i, o, f, c; sigmoid and tanh; no peepholes, no clip), float32.
/// `gates`: x W^T + Wb + Rb [T, N, 4 H]; `r`: [4 H, H]; `h`, `c`: the state before, [N, H]. With `quantize` the
/// products and the output see quantized h (the state handed in is quantized on entry); its gradient is the identity
/// (Xu et al. 2018, arXiv:1802.00150, section 4). Differentiable in all tensors.
Sequence fused_lstm(const at::Tensor& gates, const at::Tensor& r, const at::Tensor& h, const at::Tensor& c,
                    const StateQuantizer& quantize = {});

/// One direction of an ONNX GRU (gates z, r, h; linear_before_reset = 1). `gates`: x W^T + Wb [T, N, 3 H]; `rb`:
/// [3 H]. The interpolation (1 - z) n + z h takes the float h, the products the quantized one.
Sequence fused_gru(const at::Tensor& gates, const at::Tensor& r, const at::Tensor& rb, const at::Tensor& h,
                   const StateQuantizer& quantize = {});

}  // namespace nnq::train
