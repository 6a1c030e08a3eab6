// Float convolutions with one input channel a group. Strips of rows that fit the first-level cache are copied with
// their border, split by the strides: what a tap reads under neighbouring outputs then lies side by side, and one loop
// goes over the whole strip, however short its rows are.
#include <algorithm>
#include <vector>

#include "core/clones.h"
#include "kernels/aligned.h"
#include "runtime/steps/float_relu.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

using Floats = float __attribute__((vector_size(32)));
constexpr std::int64_t lanes = 8, step_of_outputs = 4 * lanes;

/// Floats of a strip and its sums: 24 KiB, the larger part of a first-level cache.
constexpr std::int64_t strip_floats = 6144;

/// y[i] = start + sum over t of w[t] * x[offsets[t] + i], and `least` where that is less; i goes to a multiple of 32
/// behind `count`.
NNQ_CLONES void add_taps(const float* x, const std::int64_t* offsets, const float* w, std::int64_t taps, float start,
                         float least, std::int64_t count, float* y) {
  const Floats bound = Floats{} + least;
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
    sum0 = sum0 < bound ? bound : sum0;
    sum1 = sum1 < bound ? bound : sum1;
    sum2 = sum2 < bound ? bound : sum2;
    sum3 = sum3 < bound ? bound : sum3;
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

class FloatDepthwise final : public WithRelu {
 public:
  FloatDepthwise(const PlanContext& plan, const Step& step, const Window& window)
      : x_(plan.slot(step.inputs[0])),
        w_(plan.slot(step.inputs[1])),
        bias_(step.inputs.size() > 2 && step.inputs[2] >= 0 ? &plan.slot(step.inputs[2]) : nullptr),
        y_(plan.slot(take_relu(plan, step))),
        window_(window),
        planes_(y_.shape[0] * y_.shape[1]),
        below_((window.kernel_h - 1) * window.dilation_h / window.stride_h),
        pitch_(y_.shape[3] + (window.kernel_w - 1) * window.dilation_w / window.stride_w) {
    kernel = also != nullptr ? "depthwise_float_relu" : "depthwise_float";
    operations = 2 * planes_ * y_.shape[2] * y_.shape[3] * window.kernel_h * window.kernel_w;
    ceiling = CeilingKind::real;
    weight_bytes = static_cast<std::int64_t>(w_.bytes);
    const std::int64_t phases = window.stride_h * window.stride_w, row = (phases + 1) * pitch_,
                       // At least as many rows as a strip repeats of the next one's.
        most = std::max({std::int64_t{1}, below_, (strip_floats - phases * below_ * pitch_) / row}),
                       strips = (y_.shape[2] + most - 1) / most;
    rows_ = (y_.shape[2] + strips - 1) / strips;
    phase_ = (rows_ + below_) * pitch_;
    for (std::int64_t ky = 0; ky < window.kernel_h; ++ky)
      for (std::int64_t kx = 0; kx < window.kernel_w; ++kx) {
        const std::int64_t down = ky * window.dilation_h, right = kx * window.dilation_w,
                           phase = down % window.stride_h * window.stride_w + right % window.stride_w;
        offsets_.push_back(phase * phase_ + down / window.stride_h * pitch_ + right / window.stride_w);
      }
    for (std::int64_t p = 0; p < window.stride_w; ++p) {
      const std::int64_t stride = window.stride_w, first = ((p - window.pad_left) % stride + stride) % stride,
                         to = (first + window.pad_left) / stride;
      columns_.push_back({first, to, std::min((x_.shape[3] - first + stride - 1) / stride, pitch_ - to)});
    }
    parts_ = std::min<std::int64_t>(planes_, plan.threads == 1 ? 1 : plan.threads * 4);
    // Behind the last phase and the last row of outputs, what a loop of 32 takes along: from the rightmost tap on.
    const std::int64_t behind = pitch_ - y_.shape[3] + step_of_outputs;
    in_bytes_ = whole_lines(static_cast<std::size_t>(phases * phase_ + behind) * 4);
    part_bytes_ = in_bytes_ + whole_lines(static_cast<std::size_t>(rows_ * pitch_ + step_of_outputs) * 4);
    scratch_bytes = part_bytes_ * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      auto* const phases = reinterpret_cast<float*>(scratch + part_bytes_ * static_cast<std::size_t>(part));
      auto* const sums = phases + in_bytes_ / sizeof(float);
      // The borders left and right stay as they are from plane to plane.
      std::fill_n(phases, in_bytes_ / sizeof(float), 0.0F);
      for (std::int64_t i = planes_ * part / parts_; i < planes_ * (part + 1) / parts_; ++i) one_plane(i, phases, sums);
    });
    return {};
  }

 private:
  /// Columns of the image in one phase: every stride-th from `first` on, `count` of them, in columns from `to` on.
  struct Columns {
    std::int64_t first, to, count;
  };

  void one_plane(std::int64_t plane, float* phases, float* sums) const {
    const std::int64_t out_h = y_.shape[2], out_w = y_.shape[3], o = plane % y_.shape[1],
                       channel = o / (y_.shape[1] / x_.shape[1]);
    const float* const x = x_.as<float>() + (plane / y_.shape[1] * x_.shape[1] + channel) * x_.shape[2] * x_.shape[3];
    const auto taps = static_cast<std::int64_t>(offsets_.size());
    const float start = bias_ != nullptr ? bias_->as<float>()[o] : 0.0F;
    float* y = y_.as<float>() + plane * out_h * out_w;
    for (std::int64_t first = 0; first < out_h; first += rows_) {
      const std::int64_t rows = std::min(rows_, out_h - first);
      split(x, first, rows + below_, phases);
      add_taps(phases, offsets_.data(), w_.as<float>() + o * taps, taps, start, least(), rows * pitch_, sums);
      for (std::int64_t i = 0; i < rows; ++i, y += out_w) copy_row(sums + i * pitch_, out_w, y);
    }
  }

  /// `rows` rows of all phases, from that of output row `first` on: row r, column c of the image goes to phase
  /// (r + pad) % stride, row (r + pad) / stride, the columns likewise.
  void split(const float* x, std::int64_t first, std::int64_t rows, float* phases) const {
    const std::int64_t h = x_.shape[2], w = x_.shape[3];
    std::int64_t iy = first * window_.stride_h - window_.pad_top;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t a = 0; a < window_.stride_h; ++a, ++iy) {
        float* line = phases + a * window_.stride_w * phase_ + row * pitch_;
        for (const Columns& columns : columns_) {
          if (iy < 0 || iy >= h)
            std::fill_n(line + columns.to, std::max<std::int64_t>(columns.count, 0), 0.0F);
          else
            every(window_.stride_w, x + iy * w + columns.first, columns.count, line + columns.to);
          line += phase_;
        }
      }
    }
  }

  /// to[i] = from[stride * i]
  static void every(std::int64_t stride, const float* from, std::int64_t count, float* to) {
    if (stride == 1) {
      copy_row(from, count, to);
    } else if (stride == 2) {
      every_second(from, count, to);
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * stride];
    }
  }

  const Slot& x_;
  const Slot& w_;
  const Slot* bias_;
  const Slot& y_;
  Window window_;
  // below: rows of a phase behind that of the last output; pitch: floats a row of a phase; phase: floats of one;
  // rows: of outputs in a strip
  std::int64_t planes_, below_, pitch_, rows_ = 0, phase_ = 0, parts_ = 1;
  std::size_t in_bytes_ = 0, part_bytes_ = 0;
  std::vector<std::int64_t> offsets_;  // of each tap
  std::vector<Columns> columns_;       // of each phase of columns
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
