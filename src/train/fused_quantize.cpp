#include "train/fused_quantize.h"

#include <vector>

#include "nnq/error.h"
#include "train/element_loops.h"

namespace nnq::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool records(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

at::Tensor values(const at::Tensor& x, float scale, float low, float high) {
  return map_floats(
      x, [=](const float* in, float* out, std::int64_t n) { quantize_values(in, out, n, scale, low, high); });
}

/// f(gradient, x, out, count) in parallel; the result has the memory order of x.
template <class F>
at::Tensor map_gradient(const at::Tensor& gradient, const at::Tensor& x, F f) {
  const at::Tensor g = ordered_as(gradient, x);
  at::Tensor out = at::empty_like(x);
  const float *from = g.data_ptr<float>(), *at = x.data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, x.numel(), kChunk,
                   [&](std::int64_t begin, std::int64_t end) { f(from + begin, at + begin, to + begin, end - begin); });
  return out;
}

struct LearnedScale : torch::autograd::Function<LearnedScale> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale, double min,
                            double max, double factor) {
    const at::Tensor in = dense(x);
    context->save_for_backward({in, scale});
    context->saved_data["min"] = min;
    context->saved_data["max"] = max;
    context->saved_data["factor"] = factor;
    return values(in, scale.item<float>(), static_cast<float>(min), static_cast<float>(max));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const auto scale = saved[1].item<float>();
    const auto low = static_cast<float>(context->saved_data["min"].toDouble());
    const auto high = static_cast<float>(context->saved_data["max"].toDouble());
    const at::Tensor g = ordered_as(gradients[0], x);
    at::Tensor out = at::empty_like(x);
    const std::int64_t count = x.numel(), chunks = (count + kChunk - 1) / kChunk;
    std::vector<double> sums(static_cast<std::size_t>(chunks));
    const float *from = g.data_ptr<float>(), *at = x.data_ptr<float>();
    float* to = out.data_ptr<float>();
    at::parallel_for(0, chunks, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t c = first; c < last; ++c) {
        const std::int64_t begin = c * kChunk, n = std::min(kChunk, count - begin);
        sums[static_cast<std::size_t>(c)] =
            mask_range_and_scale(from + begin, at + begin, to + begin, n, scale, low, high);
      }
    });
    double sum = 0;
    for (const double part : sums) sum += part;
    const at::Tensor scale_gradient = at::full_like(saved[1], sum * context->saved_data["factor"].toDouble());
    return {out, scale_gradient, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct FixedScale : torch::autograd::Function<FixedScale> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double scale, double min, double max) {
    const at::Tensor in = dense(x);
    context->save_for_backward({in});
    context->saved_data["scale"] = scale;
    context->saved_data["min"] = min;
    context->saved_data["max"] = max;
    return values(in, static_cast<float>(scale), static_cast<float>(min), static_cast<float>(max));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto scale = static_cast<float>(context->saved_data["scale"].toDouble());
    const auto low = static_cast<float>(context->saved_data["min"].toDouble());
    const auto high = static_cast<float>(context->saved_data["max"].toDouble());
    const at::Tensor masked = map_gradient(gradients[0], context->get_saved_variables()[0],
                                           [=](const float* g, const float* x, float* out, std::int64_t n) {
                                             mask_range(g, x, out, n, scale, low, high);
                                           });
    return {masked, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct SignThrough : torch::autograd::Function<SignThrough> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double bound) {
    const at::Tensor in = dense(x);
    context->save_for_backward({in});
    context->saved_data["bound"] = bound;
    return map_floats(in, sign_codes);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto bound = static_cast<float>(context->saved_data["bound"].toDouble());
    const at::Tensor masked = map_gradient(
        gradients[0], context->get_saved_variables()[0],
        [=](const float* g, const float* x, float* out, std::int64_t n) { mask_magnitude(g, x, out, n, bound); });
    return {masked, at::Tensor()};
  }
};

void check(const at::Tensor& x) { NNQ_CHECK(x.scalar_type() == at::kFloat, "fused quantization takes float32"); }

}  // namespace

at::Tensor fused_uniform_quantize(const at::Tensor& x, const at::Tensor& scale, double min, double max,
                                  double scale_gradient_factor) {
  check(x);
  NNQ_CHECK(scale.numel() == 1, "fused_uniform_quantize takes one scale a tensor");
  if (records(x) || records(scale)) return LearnedScale::apply(x, scale, min, max, scale_gradient_factor);
  return values(x, scale.item<float>(), static_cast<float>(min), static_cast<float>(max));
}

at::Tensor fused_clip_quantize(const at::Tensor& x, double scale, double min, double max) {
  check(x);
  if (records(x)) return FixedScale::apply(x, scale, min, max);
  return values(x, static_cast<float>(scale), static_cast<float>(min), static_cast<float>(max));
}

at::Tensor fused_sign_ste(const at::Tensor& x, double clip_bound) {
  check(x);
  return records(x) ? SignThrough::apply(x, clip_bound) : map_floats(x, sign_codes);
}

}  // namespace nnq::train
