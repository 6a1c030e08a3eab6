#include "train/fused_quantize.h"

#include <algorithm>
#include <vector>

#include "nnq/error.h"
#include "train/element_loops.h"
#include "train/records.h"

namespace nnq::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor values(const at::Tensor& x, float scale, float low, float high) {
  return map_floats(
      x, [=](const float* in, float* out, std::int64_t n) { quantize_values(in, out, n, scale, low, high); });
}

/// The gradient where low <= x <= high, else 0.
at::Tensor masked(const at::Tensor& gradient, const at::Tensor& x, float low, float high) {
  at::Tensor out = writable(gradient, x);
  const float* from = x.data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, x.numel(), kChunk, [&](std::int64_t begin, std::int64_t end) {
    mask_range(to + begin, from + begin, end - begin, low, high);
  });
  return out;
}

/// Memory of x as rows of one scale each: the whole tensor, or the slices along axis 0.
struct Rows {
  at::Tensor x;  // dense; row-major when there are several rows
  std::int64_t count = 1, length = 0;
  std::vector<float> scales;

  Rows(const at::Tensor& tensor, const at::Tensor& scale) : count(scale.numel()) {
    x = count == 1 ? dense(tensor) : tensor.contiguous();
    length = count == 0 ? 0 : x.numel() / count;
    const at::Tensor flat = scale.detach().contiguous();
    scales.assign(flat.data_ptr<float>(), flat.data_ptr<float>() + count);
  }

  /// f(row, begin, length) over pieces of at most kChunk elements, in parallel; pieces are numbered in memory order.
  template <class F>
  void for_pieces(F f) const {
    const std::int64_t each = pieces();
    at::parallel_for(0, count * each, kChunk / std::min(std::max<std::int64_t>(length, 1), kChunk),
                     [&](std::int64_t first, std::int64_t last) {
                       for (std::int64_t p = first; p < last; ++p) {
                         const std::int64_t row = p / each, begin = p % each * kChunk;
                         f(p, row, row * length + begin, std::min(kChunk, length - begin));
                       }
                     });
  }
  std::int64_t pieces() const { return (length + kChunk - 1) / kChunk; }  // of a row
};

at::Tensor values(const Rows& rows, float low, float high) {
  at::Tensor out = at::empty_like(rows.x);
  const float* from = rows.x.data_ptr<float>();
  float* to = out.data_ptr<float>();
  rows.for_pieces([&](std::int64_t, std::int64_t row, std::int64_t begin, std::int64_t n) {
    quantize_values(from + begin, to + begin, n, rows.scales[static_cast<std::size_t>(row)], low, high);
  });
  return out;
}

struct LearnedScale : torch::autograd::Function<LearnedScale> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale, double min,
                            double max, double factor) {
    const Rows rows(x, scale);
    context->save_for_backward({rows.x, scale});
    context->saved_data["min"] = min;
    context->saved_data["max"] = max;
    context->saved_data["factor"] = factor;
    return values(rows, static_cast<float>(min), static_cast<float>(max));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Rows rows(saved[0], saved[1]);
    const auto low = static_cast<float>(context->saved_data["min"].toDouble());
    const auto high = static_cast<float>(context->saved_data["max"].toDouble());
    at::Tensor out = writable(gradients[0], rows.x);
    std::vector<double> parts(static_cast<std::size_t>(rows.count * rows.pieces()));
    const float* from = rows.x.data_ptr<float>();
    float* to = out.data_ptr<float>();
    rows.for_pieces([&](std::int64_t piece, std::int64_t row, std::int64_t begin, std::int64_t n) {
      parts[static_cast<std::size_t>(piece)] =
          mask_range_and_scale(to + begin, from + begin, n, rows.scales[static_cast<std::size_t>(row)], low, high);
    });
    const double factor = context->saved_data["factor"].toDouble();
    at::Tensor scale_gradient = at::zeros(saved[1].sizes(), saved[1].options());
    for (std::int64_t row = 0; row < rows.count; ++row) {
      double sum = 0;
      for (std::int64_t p = row * rows.pieces(); p < (row + 1) * rows.pieces(); ++p)
        sum += parts[static_cast<std::size_t>(p)];
      scale_gradient.data_ptr<float>()[row] = static_cast<float>(sum * factor);
    }
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

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto scale = static_cast<float>(context->saved_data["scale"].toDouble());
    const auto low = static_cast<float>(context->saved_data["min"].toDouble());
    const auto high = static_cast<float>(context->saved_data["max"].toDouble());
    const auto [first, last] = range_in_x(scale, low, high);
    return {masked(gradients[0], context->get_saved_variables()[0], first, last), at::Tensor(), at::Tensor(),
            at::Tensor()};
  }
};

struct SignThrough : torch::autograd::Function<SignThrough> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double bound) {
    const at::Tensor in = dense(x);
    context->save_for_backward({in});
    context->saved_data["bound"] = bound;
    return map_floats(in, sign_codes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto bound = static_cast<float>(context->saved_data["bound"].toDouble());
    return {masked(gradients[0], context->get_saved_variables()[0], -bound, bound), at::Tensor()};
  }
};

void check(const at::Tensor& x) { NNQ_CHECK(x.scalar_type() == at::kFloat, "fused quantization takes float32"); }

}  // namespace

at::Tensor fused_uniform_quantize(const at::Tensor& x, const at::Tensor& scale, double min, double max,
                                  double scale_gradient_factor) {
  check(x);
  check(scale);
  NNQ_CHECK(scale.numel() == 1 || (x.dim() > 0 && scale.numel() == x.size(0)),
            "fused_uniform_quantize takes one scale, or one for each slice along axis 0");
  if (records(x) || records(scale)) return LearnedScale::apply(x, scale, min, max, scale_gradient_factor);
  return values(Rows(x, scale), static_cast<float>(min), static_cast<float>(max));
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
