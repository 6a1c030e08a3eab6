// Float convolutions with one input channel a group. A plane is copied once with its border, split by the strides: what
// a tap reads under neighbouring outputs then lies side by side, and one loop goes over the whole plane, however short
// its rows are.
#include <algorithm>
#include <vector>

#include "core/clones.h"
#include "kernels/aligned.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

using Floats = float __attribute__((vector_size(32)));
constexpr std::int64_t lanes = 8, step_of_outputs = 4 * lanes;

/// y[i] = start + sum over t of w[t] * x[offsets[t] + i]; i goes to a multiple of 32 behind `count`.
NNQ_CLONES void add_taps(const float* x, const std::int64_t* offsets, const float* w, std::int64_t taps, float start,
                         std::int64_t count, float* y) {
  for (std::int64_t i = 0; i < count; i += step_of_outputs) {
    Floats sum0 = Floats{} + start, sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (std::int64_t t = 0; t < taps; ++t) {
      const float* const from = x + offsets[t] + i;
      const Floats weight = Floats{} + w[t];
      Floats v0, v1, v2, v3;  // one by one: g++ copies an array of them through memory
      __builtin_memcpy(&v0, from, sizeof v0);
      __builtin_memcpy(&v1, from + lanes, sizeof v1);
      __builtin_memcpy(&v2, from + 2 * lanes, sizeof v2);
      __builtin_memcpy(&v3, from + 3 * lanes, sizeof v3);
      sum0 += weight * v0;
      sum1 += weight * v1;
      sum2 += weight * v2;
      sum3 += weight * v3;
    }
    __builtin_memcpy(y + i, &sum0, sizeof sum0);
    __builtin_memcpy(y + i + lanes, &sum1, sizeof sum1);
    __builtin_memcpy(y + i + 2 * lanes, &sum2, sizeof sum2);
    __builtin_memcpy(y + i + 3 * lanes, &sum3, sizeof sum3);
  }
}

/// to[i] = from[i], rows too short for a call of memcpy.
inline void copy_row(const float* from, std::int64_t count, float* to) {
  if (count < lanes) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
    return;
  }
  for (std::int64_t i = 0;; i += lanes) {
    i = std::min(i, count - lanes);  // some a second time
    __builtin_memcpy(to + i, from + i, lanes * sizeof(float));
    if (i + lanes == count) return;
  }
}

/// to[i] = from[2 i]
NNQ_CLONES void every_second(const float* __restrict from, std::int64_t count, float* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[2 * i];
}

class FloatDepthwise final : public PreparedStep {
 public:
  FloatDepthwise(const PlanContext& plan, const Step& step, const Window& window)
      : x_(plan.slot(step.inputs[0])),
        w_(plan.slot(step.inputs[1])),
        bias_(step.inputs.size() > 2 && step.inputs[2] >= 0 ? &plan.slot(step.inputs[2]) : nullptr),
        y_(plan.slot(step.outputs[0])),
        window_(window),
        planes_(y_.shape[0] * y_.shape[1]),
        pitch_(y_.shape[3] + (window.kernel_w - 1) * window.dilation_w / window.stride_w),
        phase_((y_.shape[2] + (window.kernel_h - 1) * window.dilation_h / window.stride_h) * pitch_) {
    kernel = "depthwise_float";
    operations = 2 * planes_ * y_.shape[2] * y_.shape[3] * window.kernel_h * window.kernel_w;
    ceiling = CeilingKind::real;
    weight_bytes = static_cast<std::int64_t>(w_.bytes);
    for (std::int64_t ky = 0; ky < window.kernel_h; ++ky)
      for (std::int64_t kx = 0; kx < window.kernel_w; ++kx) {
        const std::int64_t down = ky * window.dilation_h, right = kx * window.dilation_w,
                           phase = down % window.stride_h * window.stride_w + right % window.stride_w;
        offsets_.push_back(phase * phase_ + down / window.stride_h * pitch_ + right / window.stride_w);
      }
    parts_ = std::min<std::int64_t>(planes_, plan.threads == 1 ? 1 : plan.threads * 4);
    // Behind the last phase and the last row of outputs, what a loop of 32 takes along: from the rightmost tap on.
    const std::int64_t behind = pitch_ - y_.shape[3] + step_of_outputs;
    in_bytes_ = whole_lines(static_cast<std::size_t>(window.stride_h * window.stride_w * phase_ + behind) * 4);
    part_bytes_ = in_bytes_ + whole_lines(static_cast<std::size_t>(y_.shape[2] * pitch_ + step_of_outputs) * 4);
    scratch_bytes = part_bytes_ * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      auto* const phases = reinterpret_cast<float*>(scratch + part_bytes_ * static_cast<std::size_t>(part));
      auto* const sums = phases + in_bytes_ / sizeof(float);
      // Borders stay as they are from plane to plane.
      std::fill_n(phases, in_bytes_ / sizeof(float), 0.0F);
      for (std::int64_t i = planes_ * part / parts_; i < planes_ * (part + 1) / parts_; ++i) one_plane(i, phases, sums);
    });
    return {};
  }

 private:
  void one_plane(std::int64_t plane, float* phases, float* sums) const {
    const std::int64_t out_h = y_.shape[2], out_w = y_.shape[3], o = plane % y_.shape[1],
                       channel = o / (y_.shape[1] / x_.shape[1]);
    split(x_.as<float>() + (plane / y_.shape[1] * x_.shape[1] + channel) * x_.shape[2] * x_.shape[3], phases);
    const auto taps = static_cast<std::int64_t>(offsets_.size());
    add_taps(phases, offsets_.data(), w_.as<float>() + o * taps, taps, bias_ != nullptr ? bias_->as<float>()[o] : 0.0F,
             out_h * pitch_, sums);
    float* y = y_.as<float>() + plane * out_h * out_w;
    for (std::int64_t oy = 0; oy < out_h; ++oy) copy_row(sums + oy * pitch_, out_w, y + oy * out_w);
  }

  /// Row r, column c of the image to phase (r + pad) % stride, row (r + pad) / stride, the columns likewise.
  void split(const float* x, float* phases) const {
    const std::int64_t h = x_.shape[2], w = x_.shape[3], sh = window_.stride_h, sw = window_.stride_w,
                       rows = phase_ / pitch_;
    for (std::int64_t iy = 0; iy < h; ++iy) {
      const std::int64_t down = iy + window_.pad_top;
      if (down / sh >= rows) break;  // no window reaches so far
      float* const row = phases + down % sh * sw * phase_ + down / sh * pitch_;
      for (std::int64_t p = 0; p < sw; ++p) {
        // Columns c with (c + pad) % sw == p.
        const std::int64_t first = ((p - window_.pad_left) % sw + sw) % sw, to = (first + window_.pad_left) / sw;
        const std::int64_t count = std::min((w - first + sw - 1) / sw, pitch_ - to);
        float* const line = row + p * phase_ + to;
        const float* const from = x + iy * w + first;
        if (sw == 1) {
          copy_row(from, count, line);
        } else if (sw == 2) {
          every_second(from, count, line);
        } else {
          for (std::int64_t i = 0; i < count; ++i) line[i] = from[i * sw];
        }
      }
    }
  }

  const Slot& x_;
  const Slot& w_;
  const Slot* bias_;
  const Slot& y_;
  Window window_;
  std::int64_t planes_, pitch_, phase_, parts_ = 1;  // pitch: floats a row of a phase; phase: floats of one
  std::size_t in_bytes_ = 0, part_bytes_ = 0;
  std::vector<std::int64_t> offsets_;  // of each tap
};

}  // namespace

std::unique_ptr<PreparedStep> make_float_depthwise(const PlanContext& plan, const Step& step, const Window& window) {
  // In double: the product of extreme strides or dilations fits no integer.
  const Shape &x = plan.slot(step.inputs[0]).shape, &y = plan.slot(step.outputs[0]).shape;
  const auto reach = [](std::int64_t kernel, std::int64_t dilation, std::int64_t stride) {
    return static_cast<double>(kernel - 1) * static_cast<double>(dilation) + static_cast<double>(stride);
  };
  const double area =
      (static_cast<double>(y[2] * window.stride_h) + reach(window.kernel_h, window.dilation_h, window.stride_h)) *
      (static_cast<double>(y[3] * window.stride_w) + reach(window.kernel_w, window.dilation_w, window.stride_w));
  if (area > 16 * static_cast<double>(x[2] * x[3] + y[2] * y[3]) + 65536) return nullptr;
  return std::make_unique<FloatDepthwise>(plan, step, window);
}

}  // namespace nnq
