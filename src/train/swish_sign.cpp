#include "train/swish_sign.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "core/clones.h"
#include "nnq/error.h"
#include "train/element_loops.h"

namespace nnq::train {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

double swish_sign(double x, double beta) {
  const double z = std::clamp(beta * x, -40.0, 40.0), sigma = 1 / (1 + std::exp(-z));
  return 2 * sigma * (1 + z * (1 - sigma)) - 1;
}

double swish_sign_slope(double x, double beta) {
  const double z = std::clamp(beta * x, -40.0, 40.0), half = std::cosh(z / 2);
  return beta * (2 - z * std::tanh(z / 2)) / (2 * half * half);
}

/// With u = exp(-|z|): tanh(|z| / 2) = (1 - u) / (1 + u) and 1 / (1 + cosh z) = 2 u / (1 + u)^2, which cannot overflow.
/// exp is 2^k times a polynomial (Cephes' expf) of what is left, |r| <= ln(2) / 2.
NNQ_CLONES void scale_by_swish_slope(float* __restrict gradient, const float* __restrict x, std::int64_t n,
                                     float z_per_x, float factor) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float magnitude = __builtin_fabsf(z_per_x * x[i]);
    const float z = magnitude < 40.0f ? magnitude : 40.0f;  // NaN compares false
    const float k = __builtin_rintf(z * -1.44269504f);
    const float r = -z - k * 0.693359375f + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const std::int32_t exponent = (static_cast<std::int32_t>(k) + 127) << 23;
    const float u = p * __builtin_bit_cast(float, exponent);
    const float inverse = 1.0f / (1.0f + u);
    gradient[i] *= factor * (2.0f - z * ((1.0f - u) * inverse)) * (2.0f * u * inverse * inverse);
  }
}

namespace {

struct SwishSign : torch::autograd::Function<SwishSign> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double beta) {
    const at::Tensor in = dense(x);
    context->save_for_backward({in});
    context->saved_data["beta"] = beta;
    return map_floats(in, sign_codes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto beta = static_cast<float>(context->saved_data["beta"].toDouble());
    const at::Tensor x = context->get_saved_variables()[0];
    at::Tensor out = writable(gradients[0], x);
    const float* from = x.data_ptr<float>();
    float* to = out.data_ptr<float>();
    at::parallel_for(0, x.numel(), kChunk, [&](std::int64_t begin, std::int64_t end) {
      scale_by_swish_slope(to + begin, from + begin, end - begin, beta, beta);
    });
    return {out, at::Tensor()};
  }
};

}  // namespace

at::Tensor fused_swish_sign(const at::Tensor& x, double beta) {
  NNQ_CHECK(x.scalar_type() == at::kFloat, "fused quantization takes float32");
  const bool records = at::GradMode::is_enabled() && x.requires_grad();
  return records ? SwishSign::apply(x, beta) : map_floats(x, sign_codes);
}

}  // namespace nnq::train
