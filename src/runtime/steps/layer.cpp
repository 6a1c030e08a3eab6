// Convolutions and fully connected layers: gather the inputs of a block of positions, multiply with packed panels,
// epilogue.
#include <algorithm>
#include <cstring>

#include "runtime/plan.h"
#include "runtime/shapes.h"

namespace nnq {
namespace {

constexpr std::int64_t block = 48;  // output positions gathered at once: rows of K stay in L1 and L2

/// Geometry shared by the three forms. A fully connected layer on an image is a convolution with a kernel of the
/// image's size.
struct Geometry {
  std::int64_t n, in_h, in_w, in_c, out_h, out_w;
  Window window;

  Geometry(const Slot& in, const Slot& out, const Step& step) {
    if (step.kind == StepKind::convolution) {
      n = in.shape[0], in_h = in.shape[1], in_w = in.shape[2], in_c = in.shape[3];
      out_h = channels_last_dim(out, 1), out_w = channels_last_dim(out, 2);
      window = step.window;
    } else {
      const bool image = in.shape.size() == 4;
      n = in.shape[0], in_h = image ? in.shape[1] : 1, in_w = image ? in.shape[2] : 1,
      in_c = image ? in.shape[3] : step.in_channels;
      out_h = out_w = 1;
      window = Window{.kernel_h = in_h, .kernel_w = in_w};
    }
  }

  /// Height (1) or width (2) of the output, whose slot is NHWC for integers and NCHW for tensors.
  static std::int64_t channels_last_dim(const Slot& out, std::size_t d) {
    return out.storage == Storage::tensor ? out.shape[d + 1] : out.shape[d];
  }
  std::int64_t taps() const { return window.kernel_h * window.kernel_w; }
  std::int64_t positions() const { return n * out_h * out_w; }

  /// Calls f(tap, source position or -1 outside) for every tap of an output position.
  template <class F>
  void each_tap(std::int64_t position, F&& f) const {
    const std::int64_t ox = position % out_w, oy = position / out_w % out_h, image = position / out_w / out_h;
    std::int64_t tap = 0;
    for (std::int64_t ky = 0; ky < window.kernel_h; ++ky) {
      const std::int64_t y = oy * window.stride_h + ky * window.dilation_h - window.pad_top;
      for (std::int64_t kx = 0; kx < window.kernel_w; ++kx, ++tap) {
        const std::int64_t x = ox * window.stride_w + kx * window.dilation_w - window.pad_left;
        const bool inside = y >= 0 && y < in_h && x >= 0 && x < in_w;
        f(tap, inside ? (image * in_h + y) * in_w + x : -1);
      }
    }
  }

  /// The same without dilation along a row: calls f(first tap, taps, source position or -1) for runs of neighbours.
  template <class F>
  void each_run(std::int64_t position, F&& f) const {
    const std::int64_t ox = position % out_w, oy = position / out_w % out_h, image = position / out_w / out_h;
    const std::int64_t x = ox * window.stride_w - window.pad_left, taps_w = window.kernel_w;
    const std::int64_t left = std::clamp<std::int64_t>(-x, 0, taps_w),
                       right = std::clamp<std::int64_t>(in_w - x, left, taps_w);
    for (std::int64_t ky = 0; ky < window.kernel_h; ++ky) {
      const std::int64_t y = oy * window.stride_h + ky * window.dilation_h - window.pad_top, tap = ky * taps_w;
      if (y < 0 || y >= in_h) {
        f(tap, taps_w, std::int64_t{-1});
        continue;
      }
      if (left > 0) f(tap, left, std::int64_t{-1});
      if (right > left) f(tap + left, right - left, (image * in_h + y) * in_w + x + left);
      if (right < taps_w) f(tap + right, taps_w - right, std::int64_t{-1});
    }
  }
  bool runs() const { return window.dilation_w == 1; }
};

/// Common parts: block loop over positions, scratch per part, epilogue.
class Layer : public PreparedStep {
 public:
  Layer(const PlanContext& plan, const Step& step)
      : step_(step),
        in_(plan.slot(step.inputs[0])),
        out_(plan.slot(step.outputs[0])),
        geometry_(in_, out_, step),
        epilogue_(plan, step) {
    operations = 2 * geometry_.positions() * step.weights.count;
    panels_ = (step.out_channels / step.groups + panel_width - 1) / panel_width;
    stride_ = panels_ * panel_width * step.groups;
    // Enough parts to balance threads; blocks shrink for small layers.
    const std::int64_t positions = geometry_.positions();
    rows_ = std::clamp<std::int64_t>((positions + plan.threads * 4 - 1) / (plan.threads * 4), 1, block);
    parts_ = (positions + rows_ - 1) / rows_;
  }

 protected:
  /// Bytes of scratch one part needs for its gathered rows.
  void want_scratch(std::size_t row_bytes, int threads) {
    row_bytes_ = row_bytes;
    part_bytes_ =
        ((row_bytes + static_cast<std::size_t>(stride_) * 4) * static_cast<std::size_t>(rows_) + 127) / 64 * 64;
    (void)threads;
    scratch_bytes = part_bytes_ * static_cast<std::size_t>(parts_);
  }
  std::byte* rows_of(std::int64_t part) const {
    return scratch + part_bytes_ * static_cast<std::size_t>(part) +
           static_cast<std::size_t>(stride_) * 4 * static_cast<std::size_t>(rows_);
  }
  std::int32_t* sums_of(std::int64_t part) const {
    return reinterpret_cast<std::int32_t*>(scratch + part_bytes_ * static_cast<std::size_t>(part));
  }

  const Step& step_;
  const Slot& in_;
  const Slot& out_;
  Geometry geometry_;
  EpilogueWriter epilogue_;
  std::int64_t panels_, stride_, rows_, parts_;
  std::size_t row_bytes_ = 0, part_bytes_ = 0;
};

/// uint8 codes (code - min) times int8 weights. sum(code * w) = sum(stored * w) + min * sum(w).
class Int8Layer final : public Layer {
 public:
  Int8Layer(const PlanContext& plan, const Step& step) : Layer(plan, step), gemm_(plan.kernels.int8) {
    kernel = std::string(step.kind == StepKind::convolution ? "conv_" : "dense_") + plan.kernels.int8_name;
    min_ = plan.code(step.inputs[0]).min;
    border_ = static_cast<std::uint8_t>(step.pad_value - min_);
    group_in_ = step.in_channels / step.groups;
    if (step.kind == StepKind::dense) group_in_ = geometry_.in_c;
    group_out_ = step.out_channels / step.groups;
    k_ = geometry_.taps() * group_in_;
    k4_ = (k_ + 3) / 4;
    dense_taps_ = step.groups == 1 && geometry_.runs();
    pack();
    want_scratch(static_cast<std::size_t>(k4_) * 4, plan.threads);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      const std::int64_t first = part * rows_, count = std::min(rows_, geometry_.positions() - first);
      auto* rows = reinterpret_cast<std::uint8_t*>(rows_of(part));
      std::int32_t* sums = sums_of(part);
      for (std::int64_t g = 0; g < step_.groups; ++g) {
        gather(first, count, g, rows);
        gemm_(rows, row_bytes_, weights_.data() + g * panels_ * k4_ * 64, count, k4_, panels_,
              sums + g * panels_ * panel_width, stride_);
      }
      finish(sums, first, count);
    });
    return {};
  }

 private:
  void pack() {
    const std::vector<std::int8_t> w = step_.weights.unpack();
    weights_.assign(static_cast<std::size_t>(step_.groups * panels_ * k4_ * 64), 0);
    correction_.assign(static_cast<std::size_t>(step_.out_channels), 0);
    for (std::int64_t o = 0; o < step_.out_channels; ++o) {
      const std::int64_t g = o / group_out_, in_group = o % group_out_;
      for (std::int64_t k = 0; k < k_; ++k) {
        const std::int8_t v = w[static_cast<std::size_t>(o * k_ + k)];
        weights_[static_cast<std::size_t>((((g * panels_ + in_group / 16) * k4_ + k / 4) * 16 + in_group % 16) * 4 +
                                          k % 4)] = v;
        correction_[static_cast<std::size_t>(o)] += v * min_;
      }
    }
  }

  void gather(std::int64_t first, std::int64_t count, std::int64_t group, std::uint8_t* rows) const {
    const auto* in = in_.as<std::uint8_t>();
    for (std::int64_t r = 0; r < count; ++r) {
      std::uint8_t* row = rows + static_cast<std::size_t>(r) * row_bytes_;
      if (dense_taps_) {
        geometry_.each_run(first + r, [&](std::int64_t tap, std::int64_t taps, std::int64_t source) {
          const auto bytes = static_cast<std::size_t>(taps * group_in_);
          if (source < 0)
            std::memset(row + tap * group_in_, border_, bytes);
          else
            std::memcpy(row + tap * group_in_, in + source * group_in_, bytes);
        });
        std::memset(row + k_, 0, static_cast<std::size_t>(k4_ * 4 - k_));
        continue;
      }
      geometry_.each_tap(first + r, [&](std::int64_t tap, std::int64_t source) {
        std::uint8_t* to = row + tap * group_in_;
        if (source < 0)
          std::memset(to, border_, static_cast<std::size_t>(group_in_));
        else
          std::memcpy(to, in + source * geometry_.in_c + group * group_in_, static_cast<std::size_t>(group_in_));
      });
      std::memset(row + k_, 0, static_cast<std::size_t>(k4_ * 4 - k_));
    }
  }

  void finish(std::int32_t* sums, std::int64_t first, std::int64_t count) const {
    for (std::int64_t r = 0; r < count; ++r) {
      std::int32_t* row = sums + r * stride_;
      // Groups are padded to whole panels: close the gaps, then correct.
      for (std::int64_t g = 1; g < step_.groups; ++g)
        std::memmove(row + g * group_out_, row + g * panels_ * panel_width, static_cast<std::size_t>(group_out_) * 4);
      for (std::int64_t o = 0; o < step_.out_channels; ++o) row[o] += correction_[static_cast<std::size_t>(o)];
    }
    epilogue_.write(sums, stride_, first, count);
  }

  Int8Gemm gemm_;
  std::int32_t min_ = 0;
  std::uint8_t border_ = 0;
  std::int64_t group_in_, group_out_, k_, k4_;
  bool dense_taps_ = false;  // taps of a kernel row lie side by side
  std::vector<std::int8_t> weights_;
  std::vector<std::int32_t> correction_;
};

/// One filter a channel: sums over taps, all channels at once.
class DepthwiseLayer final : public Layer {
 public:
  DepthwiseLayer(const PlanContext& plan, const Step& step) : Layer(plan, step) {
    kernel = "depthwise_portable";
    min_ = plan.code(step.inputs[0]).min;
    stride_ = step.out_channels;
    const std::vector<std::int8_t> w = step.weights.unpack();
    const std::int64_t taps = geometry_.taps(), c = step.out_channels;
    weights_.resize(w.size());
    for (std::int64_t o = 0; o < c; ++o) {
      for (std::int64_t t = 0; t < taps; ++t)
        weights_[static_cast<std::size_t>(t * c + o)] = w[static_cast<std::size_t>(o * taps + t)];
    }
    want_scratch(0, plan.threads);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      const std::int64_t first = part * rows_, count = std::min(rows_, geometry_.positions() - first),
                         c = step_.out_channels;
      std::int32_t* sums = sums_of(part);
      std::memset(sums, 0, static_cast<std::size_t>(count * c) * 4);
      for (std::int64_t r = 0; r < count; ++r) {
        geometry_.each_tap(first + r, [&](std::int64_t tap, std::int64_t source) {
          const std::int16_t* w = weights_.data() + tap * c;
          std::int32_t* sum = sums + r * c;
          if (source < 0) {
            if (step_.pad_value == 0) return;
            for (std::int64_t i = 0; i < c; ++i) sum[i] += w[i] * step_.pad_value;
            return;
          }
          const std::uint8_t* x = in_.as<std::uint8_t>() + source * c;
          for (std::int64_t i = 0; i < c; ++i) sum[i] += w[i] * (x[i] + min_);
        });
      }
      epilogue_.write(sums, stride_, first, count);
    });
    return {};
  }

 private:
  std::int32_t min_ = 0;
  std::vector<std::int16_t> weights_;
};

/// Sign codes times sign weights on packed bits: sum = K - 2 * mismatches. Border taps hold zero bits (-1); what the
/// stated border value differs from -1 is added per tap afterwards.
class BinaryLayer final : public Layer {
 public:
  BinaryLayer(const PlanContext& plan, const Step& step) : Layer(plan, step), gemm_(plan.kernels.binary) {
    kernel = std::string(step.kind == StepKind::convolution ? "conv_" : "dense_") + plan.kernels.binary_name;
    words_ = in_.words();
    k32_ = geometry_.taps() * words_;
    pack();
    want_scratch(static_cast<std::size_t>(k32_) * 4, plan.threads);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      const std::int64_t first = part * rows_, count = std::min(rows_, geometry_.positions() - first);
      auto* rows = reinterpret_cast<std::uint32_t*>(rows_of(part));
      std::int32_t* sums = sums_of(part);
      gather(first, count, rows);
      gemm_(rows, row_bytes_ / 4, weights_.data(), count, k32_, panels_, sums, stride_);
      const auto k = static_cast<std::int32_t>(geometry_.taps() * geometry_.in_c);
      for (std::int64_t r = 0; r < count; ++r) {
        std::int32_t* row = sums + r * stride_;
        for (std::int64_t o = 0; o < step_.out_channels; ++o) row[o] = k - 2 * row[o];
        correct_border(first + r, row);
      }
      epilogue_.write(sums, stride_, first, count);
    });
    return {};
  }

 private:
  void pack() {
    const std::vector<std::int8_t> w = step_.weights.unpack();
    const std::int64_t c = geometry_.in_c, taps = geometry_.taps();
    weights_.assign(static_cast<std::size_t>(panels_ * k32_ * 16), 0);
    tap_sums_.assign(static_cast<std::size_t>(taps * step_.out_channels), 0);
    for (std::int64_t o = 0; o < step_.out_channels; ++o) {
      for (std::int64_t t = 0; t < taps; ++t) {
        for (std::int64_t i = 0; i < c; ++i) {
          const std::int8_t v = w[static_cast<std::size_t>((o * taps + t) * c + i)];
          tap_sums_[static_cast<std::size_t>(t * step_.out_channels + o)] += v;
          if (v > 0)
            weights_[static_cast<std::size_t>((o / 16 * k32_ + t * words_ + i / 32) * 16 + o % 16)] |= 1u << (i % 32);
        }
      }
    }
  }

  void gather(std::int64_t first, std::int64_t count, std::uint32_t* rows) const {
    const auto* in = in_.as<std::uint32_t>();
    const auto bytes = static_cast<std::size_t>(words_) * 4;
    for (std::int64_t r = 0; r < count; ++r) {
      std::uint32_t* row = rows + r * k32_;
      if (geometry_.runs()) {
        geometry_.each_run(first + r, [&](std::int64_t tap, std::int64_t taps, std::int64_t source) {
          if (source < 0)
            std::memset(row + tap * words_, 0, bytes * static_cast<std::size_t>(taps));
          else
            std::memcpy(row + tap * words_, in + source * words_, bytes * static_cast<std::size_t>(taps));
        });
        continue;
      }
      geometry_.each_tap(first + r, [&](std::int64_t tap, std::int64_t source) {
        if (source < 0)
          std::memset(row + tap * words_, 0, bytes);
        else
          std::memcpy(row + tap * words_, in + source * words_, bytes);
      });
    }
  }

  void correct_border(std::int64_t position, std::int32_t* row) const {
    if (step_.pad_value == -1 || step_.kind == StepKind::dense) return;
    const std::int32_t difference = step_.pad_value + 1;
    geometry_.each_tap(position, [&](std::int64_t tap, std::int64_t source) {
      if (source >= 0) return;
      const std::int32_t* s = tap_sums_.data() + tap * step_.out_channels;
      for (std::int64_t o = 0; o < step_.out_channels; ++o) row[o] += difference * s[o];
    });
  }

  BinaryGemm gemm_;
  std::int64_t words_, k32_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::int32_t> tap_sums_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_layer(const PlanContext& plan, const Step& step) {
  std::unique_ptr<PreparedStep> made;
  if (plan.slot(step.inputs[0]).storage == Storage::bits) {
    made = std::make_unique<BinaryLayer>(plan, step);
  } else if (step.kind == StepKind::convolution && step.groups > 1 && step.groups == step.in_channels &&
             step.groups == step.out_channels) {
    made = std::make_unique<DepthwiseLayer>(plan, step);
  } else {
    made = std::make_unique<Int8Layer>(plan, step);
    if (!plan.code(step.inputs[0]).sign)
      made->refused.push_back("binary: activations are not one bit");
    else if (!step.weights.binary())
      made->refused.push_back("binary: weights are not one bit");
    else if (step.groups > 1)
      made->refused.push_back("binary: grouped convolution");
    else
      made->refused.push_back("binary: another reader of the activations needs bytes");
  }
  std::size_t rows = 0;
  const GemmKernels* table = gemm_table(rows);
  for (std::size_t i = 0; i < rows && table[i].isa > plan.isa; ++i) {
    made->refused.push_back(std::string(name_of(table[i].isa)) + ": " +
                            (table[i].isa > hardware_isa() ? "the CPU lacks it" : "held down by NNQ_ISA"));
  }
  return made;
}

}  // namespace nnq
