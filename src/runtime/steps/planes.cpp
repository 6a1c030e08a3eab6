// Layers whose codes and weights are bit planes with real scales: counts of common bits, their weighted sum
// (plane_sums.h), and the tail.
#include "kernels/planes/planes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/aligned.h"
#include "kernels/quantize/quantize.h"
#include "runtime/real_planes_steps.h"
#include "runtime/steps/plane_sums.h"

namespace nnq {
namespace {

/// y of one position on its way out: affine, residual, relu, then floats or codes.
class PlaneTail {
 public:
  PlaneTail(const PlanContext& plan, const Step& step)
      : step_(step),
        out_(plan.slot(step.outputs[0])),
        residual_(step.inputs.size() > 1 ? &plan.slot(step.inputs[1]) : nullptr),
        code_(plan.code(step.outputs[0])),
        round_(quantize_kernels(plan.isa).round),
        channels_(step.out_channels) {
    const bool tensor = out_.storage == Storage::tensor, image = out_.shape.size() == 4;
    plane_ = !image ? 1 : tensor ? out_.shape[2] * out_.shape[3] : out_.shape[1] * out_.shape[2];
  }

  /// Uses `codes` (one byte a channel) as scratch.
  void write(float* y, std::uint8_t* codes, std::int64_t position) const {
    const Epilogue& e = step_.epilogue;
    if (!e.a.empty()) {
      for (std::int64_t c = 0; c < channels_; ++c) {
        const float product = y[c] * e.a[static_cast<std::size_t>(c)];
        y[c] = product + e.b[static_cast<std::size_t>(c)];
      }
    }
    if (residual_ != nullptr) {
      const float* r = residual_->as<float>() + onnx_offset(position);
      for (std::int64_t c = 0; c < channels_; ++c) y[c] += r[c * plane_];
    }
    if (e.relu) {
      for (std::int64_t c = 0; c < channels_; ++c) y[c] = y[c] > 0 ? y[c] : 0.0f;
    }
    if (out_.storage == Storage::tensor) {
      float* to = out_.as<float>() + onnx_offset(position);
      for (std::int64_t c = 0; c < channels_; ++c) to[c * plane_] = y[c];
    } else if (out_.storage == Storage::bits) {
      to_bits(y, position);
    } else {
      to_codes(y, codes);
      std::memcpy(out_.as<std::uint8_t>() + position * channels_, codes, static_cast<std::size_t>(channels_));
    }
  }

 private:
  /// Of channel 0 at a position in NCHW; channels are `plane_` apart.
  std::int64_t onnx_offset(std::int64_t position) const {
    return position / plane_ * channels_ * plane_ + position % plane_;
  }

  void to_codes(const float* y, std::uint8_t* codes) const {
    const Epilogue& e = step_.epilogue;
    if (e.kind == Epilogue::Kind::requantize) {
      if (!code_.sign) return round_({y, codes, channels_, e.scale, e.min, e.max, code_.min});
      for (std::int64_t c = 0; c < channels_; ++c) codes[c] = y[c] >= 0 ? 2 : 0;
      return;
    }
    std::memset(codes, 0, static_cast<std::size_t>(channels_));
    for (const float t : step_.planes.thresholds) {
      for (std::int64_t c = 0; c < channels_; ++c) codes[c] = static_cast<std::uint8_t>(codes[c] + (y[c] >= t ? 1 : 0));
    }
  }

  void to_bits(const float* y, std::int64_t position) const {
    std::uint32_t* words = out_.as<std::uint32_t>() + position * out_.words();
    for (std::int64_t w = 0; w * 32 < channels_; ++w) {
      std::uint32_t word = 0;
      for (std::int64_t c = w * 32; c < std::min(channels_, w * 32 + 32); ++c)
        word |= (y[c] >= 0 ? 1U : 0U) << (c - w * 32);
      words[w] = word;
    }
  }

  const Step& step_;
  const Slot& out_;
  const Slot* residual_;
  CodeType code_;
  RoundKernel round_;
  std::int64_t channels_, plane_ = 1;
};

class PlaneLayer final : public PreparedStep {
 public:
  PlaneLayer(const PlanContext& plan, const Step& step)
      : step_(step),
        in_(plan.slot(step.inputs[0])),
        geometry_(in_, plan.slot(step.outputs[0]), step),
        packer_(geometry_, step.planes),
        kernel_(plane_kernel(plan.isa)),
        group_panels_((step.out_channels / step.groups + plane_panel - 1) / plane_panel),
        stride_(group_panels_ * plane_panel),
        sums_(geometry_, step, kernel_.combine, stride_),
        tail_(plan, step),
        panels_(plan.shared<PlanePanels>(step, text("planes ", geometry_.taps()),
                                         [&] { return plane_panels(geometry_, step); })),
        code_planes_(step.planes.code_planes()),
        words_(geometry_.words()) {
    kernel = std::string(step.kind == StepKind::plane_convolution ? "conv_" : "dense_") + kernel_.name;
    operations = 2 * geometry_.positions() * step.weights.count;
    ceiling = CeilingKind::binary;  // one product of bits for every pair of planes
    ceiling_share = 1.0 / (step.weights.bits * code_planes_);
    weight_bytes = panels_->words.size() * 8;
    const std::int64_t positions = geometry_.positions();
    rows_ = std::max<std::int64_t>(1, (positions + plan.threads * 4 - 1) / (plan.threads * 4));
    parts_ = (positions + rows_ - 1) / rows_;
    want_scratch();
    std::size_t count = 0;
    const PlaneKernel* table = plane_table(count);
    for (std::size_t i = 0; i < count && table[i].isa > plan.isa; ++i)
      refused.push_back(std::string(name_of(table[i].isa)) + ": " +
                        (table[i].isa > hardware_isa() ? "the CPU lacks it" : "held down by NNQ_ISA"));
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t inputs = geometry_.inputs(), each = std::max<std::int64_t>(16, inputs / (pool.threads() * 4));
    auto* planes = reinterpret_cast<std::uint8_t*>(scratch);
    pool.parallel((inputs + each - 1) / each, [&](std::int64_t part) {
      packer_.pack(in_.as<std::uint8_t>(), part * each, std::min(each, inputs - part * each), planes);
    });
    pool.parallel(parts_, [&](std::int64_t part) {
      const std::int64_t end = std::min(geometry_.positions(), (part + 1) * rows_);
      for (std::int64_t position = part * rows_; position < end; ++position) run_position(part, position);
    });
    return {};
  }

 private:
  void want_scratch() {
    const auto out = static_cast<std::size_t>(step_.out_channels);
    const auto weight_planes = static_cast<std::size_t>(step_.weights.bits),
               code_planes = static_cast<std::size_t>(code_planes_);
    row_bytes_ = whole_lines(code_planes * static_cast<std::size_t>(words_) * 8);
    count_bytes_ = whole_lines(weight_planes * code_planes * static_cast<std::size_t>(stride_) * 4);
    const auto padded = [](std::int64_t n) { return whole_lines(static_cast<std::size_t>(PlaneSums::padded(n)) * 4); };
    weight_bytes_ = sums_.needs_weight_counts() ? padded(step_.weights.bits * step_.out_channels) : 0;
    y_bytes_ = padded(step_.out_channels);
    part_bytes_ = row_bytes_ + count_bytes_ + weight_bytes_ + y_bytes_ + whole_lines(out);
    planes_bytes_ = whole_lines(packer_.bytes());
    scratch_bytes = planes_bytes_ + part_bytes_ * static_cast<std::size_t>(parts_);
  }

  void run_position(std::int64_t part, std::int64_t position) const {
    std::byte* base = scratch + planes_bytes_ + part_bytes_ * static_cast<std::size_t>(part);
    auto* row = reinterpret_cast<std::uint64_t*>(base);
    auto* counts = reinterpret_cast<std::int32_t*>(base + row_bytes_);
    auto* weights =
        sums_.needs_weight_counts() ? reinterpret_cast<std::int32_t*>(base + row_bytes_ + count_bytes_) : nullptr;
    auto* y = reinterpret_cast<float*>(base + row_bytes_ + count_bytes_ + weight_bytes_);
    auto* codes = reinterpret_cast<std::uint8_t*>(y) + y_bytes_;
    if (weights != nullptr) sums_.count_weights(position, weights);
    for (std::int64_t g = 0; g < step_.groups; ++g) {
      const std::int32_t inside = gather(position, g, row);
      std::int32_t set[8] = {};
      for (int q = 0; q < code_planes_; ++q) {
        for (std::int64_t k = 0; k < words_; ++k) set[q] += std::popcount(row[q * words_ + k]);
      }
      const std::uint64_t* panels =
          panels_->words.data() + g * group_panels_ * step_.weights.bits * words_ * plane_panel;
      kernel_.counts(row, code_planes_, panels, step_.weights.bits, words_, group_panels_, counts, stride_);
      sums_.combine(g, counts, set, weights, inside, y);
    }
    tail_.write(y, codes, position);
  }

  /// The bits of all taps of one group, 0 on the border. Returns the number of inputs inside.
  std::int32_t gather(std::int64_t position, std::int64_t group, std::uint64_t* row) const {
    const std::int64_t bytes = geometry_.group_bytes(), plane = geometry_.inputs() * geometry_.position_bytes(),
                       taps = geometry_.taps();
    const auto* planes = reinterpret_cast<const std::uint8_t*>(scratch);
    const auto size = static_cast<std::size_t>(bytes);
    auto* to = reinterpret_cast<std::uint8_t*>(row);
    std::int64_t inside = 0;
    geometry_.each_tap(position, [&](std::int64_t t, std::int64_t source) {
      inside += source >= 0 ? geometry_.group_in() : 0;
      for (int q = 0; q < code_planes_; ++q) {
        std::uint8_t* at = to + q * words_ * 8 + t * bytes;
        if (source < 0)
          std::memset(at, 0, size);
        else
          std::memcpy(at, planes + q * plane + source * geometry_.position_bytes() + group * bytes, size);
      }
    });
    for (int q = 0; q < code_planes_; ++q)
      std::memset(to + q * words_ * 8 + taps * bytes, 0, static_cast<std::size_t>(words_ * 8 - taps * bytes));
    return static_cast<std::int32_t>(inside);
  }

  const Step& step_;
  const Slot& in_;
  PlaneGeometry geometry_;
  PlanePacker packer_;
  const PlaneKernel& kernel_;
  std::int64_t group_panels_, stride_;
  PlaneSums sums_;
  PlaneTail tail_;
  std::shared_ptr<const PlanePanels> panels_;
  int code_planes_;
  std::int64_t words_, rows_ = 1, parts_ = 1;
  std::size_t row_bytes_ = 0, count_bytes_ = 0, weight_bytes_ = 0, y_bytes_ = 0, part_bytes_ = 0, planes_bytes_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_planes(const PlanContext& plan, const Step& step) {
  return std::make_unique<PlaneLayer>(plan, step);
}

}  // namespace nnq
