// Pooling of float images, whole rows of a plane at a time. Taps are taken in the reference's order, so that the bits
// are the reference's too: averages are sums in double, divided once.
#include <algorithm>
#include <limits>

#include "core/clones.h"
#include "ops/support/geometry.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

/// Taps of a window along one axis.
struct Axis {
  std::int64_t in, out, kernel, stride, dilation, pad, pad_end;

  std::int64_t first(std::int64_t o) const { return o * stride - pad; }  // where tap 0 lies
  /// Taps of output position o that lie below `limit`.
  std::int64_t below(std::int64_t o, std::int64_t limit) const {
    const std::int64_t room = limit - first(o);
    return room <= 0 ? 0 : std::min(kernel, (room + dilation - 1) / dilation);
  }
  std::int64_t inside(std::int64_t o) const { return below(o, in) - below(o, 0); }
  std::int64_t padded(std::int64_t o) const { return below(o, in + pad_end); }
  /// Output positions [from, to) whose tap k lies in the image.
  void range(std::int64_t k, std::int64_t& from, std::int64_t& to) const {
    const std::int64_t start = k * dilation - pad;  // of output position 0
    from = start >= 0 ? 0 : (-start + stride - 1) / stride;
    to = start >= in ? 0 : std::min(out, (in - 1 - start) / stride + 1);
    from = std::min(from, to);
  }
};

/// out[i] = the larger of it and in[i * stride]; NaN wins. The usual strides as constants, for the vectoriser.
NNQ_CLONES void keep_largest(const float* __restrict in, std::int64_t stride, std::int64_t count,
                             float* __restrict out) {
  if (stride == 1) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = in[i] > out[i] || in[i] != in[i] ? in[i] : out[i];
  } else if (stride == 2) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = in[2 * i] > out[i] || in[2 * i] != in[2 * i] ? in[2 * i] : out[i];
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      const float v = in[i * stride];
      out[i] = v > out[i] || v != v ? v : out[i];
    }
  }
}

class FloatPool final : public PreparedStep {
 public:
  FloatPool(const PlanContext& plan, const Step& step, const Axis& h, const Axis& w)
      : x_(plan.slot(step.inputs[0])),
        y_(plan.slot(step.outputs[0])),
        h_(h),
        w_(w),
        average_(step.node.is("AveragePool")),
        count_padding_(step.node.get_int("count_include_pad", 0) != 0) {
    kernel = average_ ? "average_pool_float" : "max_pool_float";
    planes_ = y_.shape[0] * y_.shape[1];
    parts_ = std::min<std::int64_t>(planes_, plan.threads * 4);
    if (average_) scratch_bytes = static_cast<std::size_t>(parts_ * w_.out) * sizeof(double);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      double* sums = average_ ? reinterpret_cast<double*>(scratch) + part * w_.out : nullptr;
      for (std::int64_t p = planes_ * part / parts_; p < planes_ * (part + 1) / parts_; ++p) {
        const float* x = x_.as<float>() + p * h_.in * w_.in;
        float* y = y_.as<float>() + p * h_.out * w_.out;
        for (std::int64_t oy = 0; oy < h_.out; ++oy, y += w_.out) {
          if (average_)
            average(x, oy, sums, y);
          else
            largest(x, oy, y);
        }
      }
    });
    return {};
  }

 private:
  /// Calls f(first input of the tap, outputs from, to) for every tap of output row oy that lies in the image.
  template <class F>
  void taps(const float* x, std::int64_t oy, F&& f) const {
    for (std::int64_t ky = h_.below(oy, 0); ky < h_.below(oy, h_.in); ++ky) {
      const float* row = x + (h_.first(oy) + ky * h_.dilation) * w_.in;
      for (std::int64_t kx = 0; kx < w_.kernel; ++kx) {
        std::int64_t from = 0, to = 0;
        w_.range(kx, from, to);
        f(row + (from * w_.stride + kx * w_.dilation - w_.pad), from, to - from);
      }
    }
  }

  void largest(const float* x, std::int64_t oy, float* y) const {
    std::fill_n(y, w_.out, -std::numeric_limits<float>::infinity());
    taps(x, oy,
         [&](const float* in, std::int64_t from, std::int64_t count) { keep_largest(in, w_.stride, count, y + from); });
  }

  void average(const float* x, std::int64_t oy, double* sums, float* y) const {
    std::fill_n(sums, w_.out, 0.0);
    taps(x, oy, [&](const float* in, std::int64_t from, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) sums[from + i] += static_cast<double>(in[i * w_.stride]);
    });
    const std::int64_t rows = count_padding_ ? h_.padded(oy) : h_.inside(oy);
    for (std::int64_t ox = 0; ox < w_.out; ++ox) {
      const std::int64_t count = rows * (count_padding_ ? w_.padded(ox) : w_.inside(ox));
      y[ox] = count > 0 ? static_cast<float>(sums[ox] / static_cast<double>(count)) : 0.0F;
    }
  }

  const Slot& x_;
  const Slot& y_;
  Axis h_, w_;
  bool average_, count_padding_;
  std::int64_t planes_ = 0, parts_ = 0;
};

/// The mean of whole planes, several at once: one sum alone would wait for each of its additions.
class FloatGlobalAverage final : public PreparedStep {
 public:
  FloatGlobalAverage(const PlanContext& plan, const Step& step)
      : x_(plan.slot(step.inputs[0])),
        y_(plan.slot(step.outputs[0])),
        planes_(static_cast<std::int64_t>(y_.bytes / sizeof(float))),
        size_(planes_ > 0 ? static_cast<std::int64_t>(x_.bytes / sizeof(float)) / planes_ : 0) {
    kernel = "global_average_float";
  }

  Status run(ThreadPool& pool) override {
    pool.parallel((planes_ + at_once - 1) / at_once, [this](std::int64_t part) {
      const std::int64_t first = part * at_once, count = std::min(at_once, planes_ - first);
      double sums[at_once] = {};
      const float* x = x_.as<float>() + first * size_;
      if (count == at_once) {
        for (std::int64_t i = 0; i < size_; ++i) {
          for (std::int64_t p = 0; p < at_once; ++p) sums[p] += static_cast<double>(x[p * size_ + i]);
        }
      } else {
        for (std::int64_t p = 0; p < count; ++p) {
          for (std::int64_t i = 0; i < size_; ++i) sums[p] += static_cast<double>(x[p * size_ + i]);
        }
      }
      for (std::int64_t p = 0; p < count; ++p)
        y_.as<float>()[first + p] = static_cast<float>(sums[p] / static_cast<double>(size_));
    });
    return {};
  }

 private:
  static constexpr std::int64_t at_once = 8;
  const Slot& x_;
  const Slot& y_;
  std::int64_t planes_, size_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_float_pool(const PlanContext& plan, const Step& step) {
  const Node& node = step.node;
  const Slot &x = plan.slot(step.inputs[0]), &y = plan.slot(step.outputs[0]);
  if (node.is("GlobalAveragePool")) return std::make_unique<FloatGlobalAverage>(plan, step);
  const bool second_output = step.outputs.size() > 1 && step.outputs[1] >= 0;
  const std::vector<std::int64_t> kernel = node.get_ints("kernel_shape");
  if (x.shape.size() != 4 || y.bytes == 0 || second_output || kernel.size() != 2) return nullptr;
  ops::WindowGeometry g;
  if (!ops::resolve_conv_padding(node, ops::Dims(kernel), ops::Dims(Shape{x.shape[2], x.shape[3]}), g).ok())
    return nullptr;
  const auto axis = [&](std::size_t i) {
    return Axis{x.shape[2 + i], y.shape[2 + i], g.kernel[i], g.stride[i], g.dilation[i], g.pad_begin[i], g.pad_end[i]};
  };
  return std::make_unique<FloatPool>(plan, step, axis(0), axis(1));
}

}  // namespace nnq
