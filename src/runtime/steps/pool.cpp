// Pooling and movement of integers, channels last: whole channel vectors at once.
#include <algorithm>
#include <cstring>

#include "runtime/plan.h"

namespace nnq {
namespace {

struct Range {  // taps of a window that lie inside the image
  std::int64_t first, last;
};
Range inside(std::int64_t position, std::int64_t stride, std::int64_t dilation, std::int64_t pad, std::int64_t kernel,
             std::int64_t size) {
  const std::int64_t start = position * stride - pad;
  const std::int64_t first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
  const std::int64_t last = start >= size ? 0 : std::min(kernel, (size - 1 - start) / dilation + 1);
  return {first, std::max(first, last)};
}

/// Maximum (or, for channels whose meaning falls, minimum) over windows; on bits it is OR (or AND).
class MaxPool final : public PreparedStep {
 public:
  MaxPool(const PlanContext& plan, const Step& step)
      : step_(step), in_(plan.slot(step.inputs[0])), out_(plan.slot(step.outputs[0])) {
    kernel = in_.storage == Storage::bits    ? "max_pool_bits"
             : in_.storage == Storage::bytes ? "max_pool_bytes"
                                             : "max_pool_sums";
    const auto channels = static_cast<std::size_t>(in_.channels());
    flip_.assign(channels, 0);
    for (std::size_t c = 0; c < step.min_channels.size(); ++c) flip_[c] = step.min_channels[c] != 0 ? 1 : 0;
    words_.assign(static_cast<std::size_t>(in_.words()), 0);
    for (std::size_t c = 0; c < channels; ++c) words_[c / 32] |= static_cast<std::uint32_t>(flip_[c]) << (c % 32);
    any_flip_ = std::any_of(flip_.begin(), flip_.end(), [](std::uint8_t f) { return f != 0; });
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t rows = out_.shape[0] * out_.shape[1];
    pool.parallel(rows, [this](std::int64_t row) {
      const std::int64_t n = row / out_.shape[1], oy = row % out_.shape[1];
      for (std::int64_t ox = 0; ox < out_.shape[2]; ++ox) position(n, oy, ox);
    });
    return {};
  }

 private:
  void position(std::int64_t n, std::int64_t oy, std::int64_t ox) const {
    const Window& w = step_.window;
    const Range ys = inside(oy, w.stride_h, w.dilation_h, w.pad_top, w.kernel_h, in_.shape[1]);
    const Range xs = inside(ox, w.stride_w, w.dilation_w, w.pad_left, w.kernel_w, in_.shape[2]);
    const std::int64_t to = (n * out_.shape[1] + oy) * out_.shape[2] + ox;
    bool first = true;
    for (std::int64_t ky = ys.first; ky < ys.last; ++ky) {
      for (std::int64_t kx = xs.first; kx < xs.last; ++kx) {
        const std::int64_t y = oy * w.stride_h + ky * w.dilation_h - w.pad_top,
                           x = ox * w.stride_w + kx * w.dilation_w - w.pad_left;
        merge((n * in_.shape[1] + y) * in_.shape[2] + x, to, first);
        first = false;
      }
    }
    if (first) nothing(to);
  }

  void merge(std::int64_t from, std::int64_t to, bool first) const {
    if (in_.storage == Storage::bits) {
      const std::int64_t n = in_.words();
      const std::uint32_t* x = in_.as<std::uint32_t>() + from * n;
      std::uint32_t* y = out_.as<std::uint32_t>() + to * n;
      for (std::int64_t i = 0; i < n; ++i) {
        const std::uint32_t flip = words_[static_cast<std::size_t>(i)];
        y[i] = first ? x[i] : (((x[i] ^ flip) | (y[i] ^ flip)) ^ flip);
      }
    } else if (in_.storage == Storage::bytes) {
      merge_values(in_.as<std::uint8_t>() + from * in_.channels(), out_.as<std::uint8_t>() + to * in_.channels(),
                   first);
    } else {
      merge_values(in_.as<std::int32_t>() + from * in_.channels(), out_.as<std::int32_t>() + to * in_.channels(),
                   first);
    }
  }

  template <class T>
  void merge_values(const T* x, T* y, bool first) const {
    const std::int64_t n = in_.channels();
    if (first) {
      std::memcpy(y, x, static_cast<std::size_t>(n) * sizeof(T));
    } else if (!any_flip_) {
      for (std::int64_t i = 0; i < n; ++i) y[i] = std::max(x[i], y[i]);
    } else {
      for (std::int64_t i = 0; i < n; ++i)
        y[i] = flip_[static_cast<std::size_t>(i)] != 0 ? std::min(x[i], y[i]) : std::max(x[i], y[i]);
    }
  }

  /// A window wholly outside (dilated): the interpreter says 0.
  void nothing(std::int64_t to) const {
    const std::int64_t n = in_.channels();
    if (in_.storage == Storage::bits)
      std::memset(out_.as<std::uint32_t>() + to * in_.words(), 0, static_cast<std::size_t>(in_.words()) * 4);
    else if (in_.storage == Storage::bytes)
      std::memset(out_.as<std::uint8_t>() + to * n, 0, static_cast<std::size_t>(n));
    else
      std::memset(out_.as<std::int32_t>() + to * n, 0, static_cast<std::size_t>(n) * 4);
  }

  const Step& step_;
  const Slot& in_;
  const Slot& out_;
  std::vector<std::uint8_t> flip_;
  std::vector<std::uint32_t> words_;  // flip_ as bits
  bool any_flip_ = false;
};

/// Averages codes: exact integer sums, one division, one affine map.
class SumPool final : public PreparedStep {
 public:
  SumPool(const PlanContext& plan, const Step& step)
      : step_(step),
        in_(plan.slot(step.inputs[0])),
        out_(plan.slot(step.outputs[0])),
        min_(plan.code(step.inputs[0]).min) {
    kernel = "sum_pool";
    kernel_h_ = step.window.kernel_h == 0 ? in_.shape[1] : step.window.kernel_h;
    kernel_w_ = step.window.kernel_w == 0 ? in_.shape[2] : step.window.kernel_w;
    scratch_bytes = static_cast<std::size_t>(in_.channels()) * 4 * static_cast<std::size_t>(out_.shape[0]);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(out_.shape[0], [this](std::int64_t n) {
      auto* sums = reinterpret_cast<std::int32_t*>(scratch) + n * in_.channels();
      for (std::int64_t oy = 0; oy < out_.shape[2]; ++oy) {
        for (std::int64_t ox = 0; ox < out_.shape[3]; ++ox) position(n, oy, ox, sums);
      }
    });
    return {};
  }

 private:
  void position(std::int64_t n, std::int64_t oy, std::int64_t ox, std::int32_t* sums) const {
    const Window& w = step_.window;
    const std::int64_t channels = in_.channels();
    const Range ys = inside(oy, w.stride_h, 1, w.pad_top, kernel_h_, in_.shape[1]);
    const Range xs = inside(ox, w.stride_w, 1, w.pad_left, kernel_w_, in_.shape[2]);
    std::fill_n(sums, channels, 0);
    for (std::int64_t ky = ys.first; ky < ys.last; ++ky) {
      for (std::int64_t kx = xs.first; kx < xs.last; ++kx) {
        const std::int64_t y = oy * w.stride_h + ky - w.pad_top, x = ox * w.stride_w + kx - w.pad_left;
        add((n * in_.shape[1] + y) * in_.shape[2] + x, sums);
      }
    }
    const auto seen = static_cast<std::int32_t>((ys.last - ys.first) * (xs.last - xs.first));
    const auto count = static_cast<float>(step_.count_pad ? static_cast<std::int32_t>(kernel_h_ * kernel_w_) : seen);
    const Epilogue& e = step_.epilogue;
    const std::int64_t plane = out_.shape[2] * out_.shape[3];
    float* out = out_.as<float>() + n * channels * plane + oy * out_.shape[3] + ox;
    for (std::int64_t c = 0; c < channels; ++c) {
      const float mean = static_cast<float>(sums[c]) / count;
      const float product = mean * e.a[e.a.size() == 1 ? 0 : static_cast<std::size_t>(c)];
      out[c * plane] = product + e.b[e.b.size() == 1 ? 0 : static_cast<std::size_t>(c)];
    }
  }

  void add(std::int64_t from, std::int32_t* sums) const {
    const std::int64_t channels = in_.channels();
    if (in_.storage == Storage::bits) {
      const std::uint32_t* x = in_.as<std::uint32_t>() + from * in_.words();
      for (std::int64_t c = 0; c < channels; ++c) sums[c] += (x[c / 32] >> (c % 32) & 1u) != 0 ? 1 : -1;
    } else {
      const std::uint8_t* x = in_.as<std::uint8_t>() + from * channels;
      for (std::int64_t c = 0; c < channels; ++c) sums[c] += x[c] + min_;
    }
  }

  const Step& step_;
  const Slot& in_;
  const Slot& out_;
  std::int32_t min_;
  std::int64_t kernel_h_ = 1, kernel_w_ = 1;
};

/// Every stride-th position, zero channels before and behind (ResNet's option A).
class Subsample final : public PreparedStep {
 public:
  Subsample(const PlanContext& plan, const Step& step)
      : step_(step), in_(plan.slot(step.inputs[0])), out_(plan.slot(step.outputs[0])) {
    kernel = "subsample";
    zero_ = static_cast<std::uint8_t>(-plan.code(step.inputs[0]).min);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(out_.shape[0] * out_.shape[1], [this](std::int64_t row) {
      const std::int64_t n = row / out_.shape[1], oy = row % out_.shape[1];
      const std::int64_t y = step_.start_h + oy * step_.window.stride_h;
      for (std::int64_t ox = 0; ox < out_.shape[2]; ++ox) {
        const std::int64_t x = step_.start_w + ox * step_.window.stride_w;
        copy((n * in_.shape[1] + y) * in_.shape[2] + x, row * out_.shape[2] + ox);
      }
    });
    return {};
  }

 private:
  void copy(std::int64_t from, std::int64_t to) const {
    if (in_.storage == Storage::bits) {  // sign codes have no zero channels (check_program)
      const auto bytes = static_cast<std::size_t>(in_.words()) * 4;
      std::memcpy(out_.as<std::uint32_t>() + to * in_.words(), in_.as<std::uint32_t>() + from * in_.words(), bytes);
      return;
    }
    const std::int64_t channels = in_.channels();
    std::uint8_t* y = out_.as<std::uint8_t>() + to * out_.channels();
    std::memset(y, zero_, static_cast<std::size_t>(step_.channels_before));
    std::memcpy(y + step_.channels_before, in_.as<std::uint8_t>() + from * channels,
                static_cast<std::size_t>(channels));
    std::memset(y + step_.channels_before + channels, zero_, static_cast<std::size_t>(step_.channels_after));
  }

  const Step& step_;
  const Slot& in_;
  const Slot& out_;
  std::uint8_t zero_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_pool(const PlanContext& plan, const Step& step) {
  if (step.kind == StepKind::max_pool) return std::make_unique<MaxPool>(plan, step);
  if (step.kind == StepKind::sum_pool) return std::make_unique<SumPool>(plan, step);
  return std::make_unique<Subsample>(plan, step);
}

}  // namespace nnq
