#include "train/fused_interval.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "core/clones.h"
#include "nnq/error.h"
#include "train/element_loops.h"

namespace nnq::train {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct IntervalSums {
  double gradient = 0, centered = 0, output = 0;  // of g inside, g (center - x) inside, g code everywhere
  std::int64_t pruned = 0, clipped = 0;
};

struct IntervalSlope {
  float low, high, center, slope;
};

NNQ_CLONES void quantize_interval(const float* __restrict x, float* __restrict out, std::int64_t n, IntervalForm f) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = __builtin_rintf((x[i] - f.offset) / f.scale);
    const float floored = v > 0.0f ? v : 0.0f;  // NaN compares false
    out[i] = (floored < f.top ? floored : f.top) * f.step;
  }
}

/// gradient *= slope inside, 0 outside. Sixteen running sums in a fixed pattern, as in element_loops.cpp.
NNQ_CLONES void interval_gradient(float* __restrict gradient, const float* __restrict x, std::int64_t n, IntervalForm f,
                                  IntervalSlope s, IntervalSums* __restrict sums) {
  constexpr std::int64_t lanes = 16, block = 1024;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t size = n - begin < block ? n - begin : block;
    float inside[block], centered[block], output[block];
    std::int32_t pruned = 0, clipped = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const float value = x[begin + i], g = gradient[begin + i];
      const bool below = !(value > s.low), above = value > s.high;
      const float kept = below | above ? 0.0f : g;
      const float v = __builtin_rintf((value - f.offset) / f.scale);
      const float floored = v > 0.0f ? v : 0.0f;
      inside[i] = kept;
      centered[i] = kept * (s.center - value);
      output[i] = g * (floored < f.top ? floored : f.top);
      gradient[begin + i] = kept * s.slope;
      pruned += below;
      clipped += above;
    }
    float a[lanes] = {}, b[lanes] = {}, c[lanes] = {};
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes)
      for (std::int64_t l = 0; l < lanes; ++l) {
        a[l] += inside[i + l];
        b[l] += centered[i + l];
        c[l] += output[i + l];
      }
    for (std::int64_t l = 0; l < lanes; ++l) {
      sums->gradient += static_cast<double>(a[l]);
      sums->centered += static_cast<double>(b[l]);
      sums->output += static_cast<double>(c[l]);
    }
    for (; i < size; ++i) {
      sums->gradient += static_cast<double>(inside[i]);
      sums->centered += static_cast<double>(centered[i]);
      sums->output += static_cast<double>(output[i]);
    }
    sums->pruned += pruned;
    sums->clipped += clipped;
  }
}

namespace {

struct IntervalQuantize : torch::autograd::Function<IntervalQuantize> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& center,
                            const at::Tensor& half_width, IntervalForm form, bool rescaled, IntervalCounts* counts) {
    const at::Tensor in = dense(x);
    context->save_for_backward({in});
    const std::vector<double> numbers{
        static_cast<double>(form.offset), static_cast<double>(form.scale), static_cast<double>(form.top),
        static_cast<double>(form.step),   center.item<double>(),           half_width.item<double>()};
    context->saved_data["numbers"] = numbers;
    context->saved_data["rescaled"] = rescaled;
    context->saved_data["counts"] = reinterpret_cast<std::int64_t>(counts);
    return interval_values(in, form);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::vector<double> numbers = context->saved_data["numbers"].toDoubleVector();
    const IntervalForm form{static_cast<float>(numbers[0]), static_cast<float>(numbers[1]),
                            static_cast<float>(numbers[2]), static_cast<float>(numbers[3])};
    const double center = numbers[4], half_width = numbers[5], alpha = 0.5 / half_width;
    const bool rescaled = context->saved_data["rescaled"].toBool();
    const double full = rescaled ? center + half_width : 1;
    const IntervalSlope slope{form.offset, static_cast<float>(center + half_width), static_cast<float>(center),
                              static_cast<float>(full * alpha)};
    const at::Tensor x = context->get_saved_variables()[0];
    at::Tensor out = writable(gradients[0], x);
    const IntervalSums sums = run(out, x, form, slope);
    // The largest code's value, when it is the interval's end, moves with both.
    const double of_end = rescaled ? sums.output / static_cast<double>(form.top) : 0;
    if (auto* counts = reinterpret_cast<IntervalCounts*>(context->saved_data["counts"].toInt()))
      *counts = {sums.pruned, sums.clipped, x.numel()};
    const auto scalar = [](double value) { return at::full({1}, value, at::kFloat); };
    return {out,
            scalar(of_end - full * alpha * sums.gradient),
            scalar(of_end + full * alpha / half_width * sums.centered),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }

  static IntervalSums run(at::Tensor& gradient, const at::Tensor& x, const IntervalForm& form,
                          const IntervalSlope& slope) {
    const std::int64_t count = x.numel(), chunks = (count + kChunk - 1) / kChunk;
    std::vector<IntervalSums> parts(static_cast<std::size_t>(chunks));
    const float* from = x.data_ptr<float>();
    float* to = gradient.data_ptr<float>();
    at::parallel_for(0, chunks, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t c = first; c < last; ++c) {
        const std::int64_t begin = c * kChunk;
        interval_gradient(to + begin, from + begin, std::min(kChunk, count - begin), form, slope,
                          &parts[static_cast<std::size_t>(c)]);
      }
    });
    IntervalSums total;
    for (const IntervalSums& part : parts) {
      total.gradient += part.gradient;
      total.centered += part.centered;
      total.output += part.output;
      total.pruned += part.pruned;
      total.clipped += part.clipped;
    }
    return total;
  }
};

}  // namespace

at::Tensor interval_values(const at::Tensor& x, const IntervalForm& form) {
  NNQ_CHECK(x.scalar_type() == at::kFloat, "fused quantization takes float32");
  return map_floats(x, [=](const float* in, float* out, std::int64_t n) { quantize_interval(in, out, n, form); });
}

at::Tensor fused_interval_quantize(const at::Tensor& x, const at::Tensor& center, const at::Tensor& half_width,
                                   const IntervalForm& form, bool rescaled, IntervalCounts* counts) {
  const bool records =
      at::GradMode::is_enabled() && (x.requires_grad() || center.requires_grad() || half_width.requires_grad());
  if (!records) return interval_values(x, form);
  NNQ_CHECK(x.scalar_type() == at::kFloat, "fused quantization takes float32");
  return IntervalQuantize::apply(x, center, half_width, form, rescaled, counts);
}

}  // namespace nnq::train
