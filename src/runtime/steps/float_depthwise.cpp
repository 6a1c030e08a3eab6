// Float convolutions with one input channel a group: rows of a plane at a time, tap after tap.
#include <algorithm>

#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

class FloatDepthwise final : public PreparedStep {
 public:
  FloatDepthwise(const PlanContext& plan, const Step& step, const Window& window)
      : x_(plan.slot(step.inputs[0])),
        w_(plan.slot(step.inputs[1])),
        bias_(step.inputs.size() > 2 && step.inputs[2] >= 0 ? &plan.slot(step.inputs[2]) : nullptr),
        y_(plan.slot(step.outputs[0])),
        window_(window) {
    kernel = "depthwise_float";
    const std::int64_t outputs = y_.shape[0] * y_.shape[1] * y_.shape[2] * y_.shape[3];
    operations = 2 * outputs * window.kernel_h * window.kernel_w;
    ceiling = CeilingKind::real;
    weight_bytes = static_cast<std::int64_t>(w_.bytes);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(y_.shape[0] * y_.shape[1], [this](std::int64_t plane) {
      const std::int64_t o = plane % y_.shape[1], in_plane = x_.shape[2] * x_.shape[3],
                         out_plane = y_.shape[2] * y_.shape[3], channel = o / (y_.shape[1] / x_.shape[1]);
      const float* x = x_.as<float>() + (plane / y_.shape[1] * x_.shape[1] + channel) * in_plane;
      const float* w = w_.as<float>() + o * window_.kernel_h * window_.kernel_w;
      float* y = y_.as<float>() + plane * out_plane;
      std::fill_n(y, out_plane, bias_ != nullptr ? bias_->as<float>()[o] : 0.0F);
      for (std::int64_t oy = 0; oy < y_.shape[2]; ++oy) row(x, w, oy, y + oy * y_.shape[3]);
    });
    return {};
  }

 private:
  void row(const float* x, const float* w, std::int64_t oy, float* y) const {
    const std::int64_t in_h = x_.shape[2], in_w = x_.shape[3], out_w = y_.shape[3], stride = window_.stride_w;
    for (std::int64_t ky = 0; ky < window_.kernel_h; ++ky) {
      const std::int64_t iy = oy * window_.stride_h + ky * window_.dilation_h - window_.pad_top;
      if (iy < 0 || iy >= in_h) continue;
      for (std::int64_t kx = 0; kx < window_.kernel_w; ++kx) {
        const std::int64_t start = kx * window_.dilation_w - window_.pad_left;  // under output position 0
        const std::int64_t from = start >= 0 ? 0 : (-start + stride - 1) / stride,
                           to = start >= in_w ? 0 : std::min(out_w, (in_w - 1 - start) / stride + 1);
        add(x + iy * in_w + start, w[ky * window_.kernel_w + kx], from, to, y);
      }
    }
  }

  void add(const float* x, float weight, std::int64_t from, std::int64_t to, float* y) const {
    const std::int64_t stride = window_.stride_w;
    if (stride == 1) {
      for (std::int64_t i = from; i < to; ++i) y[i] += weight * x[i];
    } else {
      for (std::int64_t i = from; i < to; ++i) y[i] += weight * x[i * stride];
    }
  }

  const Slot& x_;
  const Slot& w_;
  const Slot* bias_;
  const Slot& y_;
  Window window_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_float_depthwise(const PlanContext& plan, const Step& step, const Window& window) {
  return std::make_unique<FloatDepthwise>(plan, step, window);
}

}  // namespace nnq
