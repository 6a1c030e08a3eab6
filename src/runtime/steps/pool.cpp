// Pooling and movement of integers, channels last: whole channel vectors at once.
#include "kernels/pool/pool.h"

#include <algorithm>
#include <cstring>

#include "runtime/plan.h"

namespace nnq {
namespace {

struct Range {  // taps of a window that lie inside the image
  std::int64_t first, last;
  bool operator==(const Range&) const = default;
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
      : in_(plan.slot(step.inputs[0])), out_(plan.slot(step.outputs[0])) {
    const PoolKernels& kernels = pool_kernels(plan.isa);
    const bool bits = in_.storage == Storage::bits, bytes = in_.storage == Storage::bytes;
    kernel = std::string(bits ? "max_pool_bits_" : bytes ? "max_pool_bytes_" : "max_pool_sums_") + kernels.name;
    run_ = bits ? kernels.max_bits : bytes ? kernels.max_bytes : kernels.max_sums;
    bytes_ = bits ? in_.words() * 4 : bytes ? in_.channels() : in_.channels() * 4;
    const bool flips = std::any_of(step.min_channels.begin(), step.min_channels.end(), [](auto f) { return f != 0; });
    if (flips) flip_.assign(static_cast<std::size_t>(bytes_), 0);
    for (std::size_t c = 0; flips && c < step.min_channels.size(); ++c) {
      if (step.min_channels[c] == 0) continue;
      if (bits)
        flip_[c / 8] = static_cast<std::uint8_t>(flip_[c / 8] | 1u << (c % 8));
      else
        std::fill_n(flip_.begin() + static_cast<std::ptrdiff_t>(bytes ? c : c * 4), bytes ? 1 : 4, std::uint8_t{255});
    }
    find_runs(step.window);
  }

  Status run(ThreadPool& pool) override {
    const auto runs = static_cast<std::int64_t>(runs_.size());
    const std::int64_t all = out_.shape[0] * runs, each = std::max<std::int64_t>(4, all / (pool.threads() * 4));
    pool.parallel((all + each - 1) / each, [&](std::int64_t part) {
      for (std::int64_t i = part * each; i < std::min(all, (part + 1) * each); ++i)
        one(i / runs, runs_[static_cast<std::size_t>(i % runs)]);
    });
    return {};
  }

 private:
  /// Neighbouring output positions of a row whose windows have the same taps inside.
  struct Run {
    std::int64_t in, out, count;  // positions in the image
    std::size_t offsets, taps;
  };

  void find_runs(const Window& w) {
    step_ = w.stride_w * bytes_;
    for (std::int64_t oy = 0; oy < out_.shape[1]; ++oy) {
      const Range ys = inside(oy, w.stride_h, w.dilation_h, w.pad_top, w.kernel_h, in_.shape[1]);
      for (std::int64_t ox = 0; ox < out_.shape[2];) {
        const Range xs = inside(ox, w.stride_w, w.dilation_w, w.pad_left, w.kernel_w, in_.shape[2]);
        std::int64_t end = ox + 1;
        while (end < out_.shape[2] && inside(end, w.stride_w, w.dilation_w, w.pad_left, w.kernel_w, in_.shape[2]) == xs)
          ++end;
        const std::int64_t y = oy * w.stride_h + ys.first * w.dilation_h - w.pad_top,
                           x = ox * w.stride_w + xs.first * w.dilation_w - w.pad_left;
        runs_.push_back({y * in_.shape[2] + x, oy * out_.shape[2] + ox, end - ox, offsets_.size(),
                         static_cast<std::size_t>((ys.last - ys.first) * (xs.last - xs.first))});
        for (std::int64_t ky = 0; ky < ys.last - ys.first; ++ky) {
          for (std::int64_t kx = 0; kx < xs.last - xs.first; ++kx)
            offsets_.push_back((ky * w.dilation_h * in_.shape[2] + kx * w.dilation_w) * bytes_);
        }
        ox = end;
      }
    }
  }

  void one(std::int64_t image, const Run& r) const {
    std::uint8_t* out = out_.as<std::uint8_t>() + (image * out_.shape[1] * out_.shape[2] + r.out) * bytes_;
    if (r.taps == 0) {  // windows wholly outside (dilated): the interpreter says 0
      std::memset(out, 0, static_cast<std::size_t>(r.count * bytes_));
      return;
    }
    run_({in_.as<std::uint8_t>() + (image * in_.shape[1] * in_.shape[2] + r.in) * bytes_, step_,
          offsets_.data() + r.offsets, static_cast<std::int64_t>(r.taps), flip_.empty() ? nullptr : flip_.data(),
          bytes_, out, r.count});
  }

  const Slot& in_;
  const Slot& out_;
  PoolKernel run_;
  std::int64_t bytes_ = 0, step_ = 0;
  std::vector<std::uint8_t> flip_;
  std::vector<Run> runs_;
  std::vector<std::int64_t> offsets_;
};

/// Averages codes: exact integer sums, one division, one affine map.
class SumPool final : public PreparedStep {
 public:
  SumPool(const PlanContext& plan, const Step& step)
      : step_(step),
        in_(plan.slot(step.inputs[0])),
        out_(plan.slot(step.outputs[0])),
        min_(plan.code(step.inputs[0]).min),
        kernels_(pool_kernels(plan.isa)) {
    kernel = in_.storage == Storage::bits ? "sum_pool_bits" : std::string("sum_pool_bytes_") + kernels_.name;
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
    const std::int64_t y = oy * w.stride_h + ys.first - w.pad_top, x = ox * w.stride_w + xs.first - w.pad_left;
    add_taps((n * in_.shape[1] + y) * in_.shape[2] + x, ys.last - ys.first, xs.last - xs.first, sums);
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

  /// Adds the codes of height x width positions from `first` on.
  void add_taps(std::int64_t first, std::int64_t height, std::int64_t width, std::int32_t* sums) const {
    const std::int64_t channels = in_.channels();
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; x += chunk) {
        const std::int64_t n = std::min(chunk, width - x), from = first + y * in_.shape[2] + x;
        if (in_.storage == Storage::bits)
          add_bits(in_.as<std::uint32_t>() + from * in_.words(), n, sums);
        else
          kernels_.sum_bytes(in_.as<std::uint8_t>() + from * channels, n, channels, sums);
      }
    }
    if (in_.storage == Storage::bits) return;
    const auto offset = static_cast<std::int32_t>(height * width) * min_;
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += offset;
  }

  void add_bits(const std::uint32_t* x, std::int64_t positions, std::int32_t* sums) const {
    const std::int64_t channels = in_.channels(), words = in_.words();
    for (std::int64_t p = 0; p < positions; ++p, x += words) {
      for (std::int64_t c = 0; c < channels; ++c) sums[c] += (x[c / 32] >> (c % 32) & 1u) != 0 ? 1 : -1;
    }
  }

  const Step& step_;
  const Slot& in_;
  const Slot& out_;
  std::int32_t min_;
  const PoolKernels& kernels_;
  static constexpr std::int64_t chunk = 256;  // positions added up in 16 bits
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
