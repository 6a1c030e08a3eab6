// Layers whose codes and weights are bit planes with real scales: counts of common bits, their weighted sum in the
// order of docs/program.md, and the tail.
#include "kernels/planes/planes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/real_planes_steps.h"
#include "runtime/steps/plane_pack.h"
#include "runtime/steps/round.h"

namespace nnq {
namespace {

std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// y of one position on its way out: affine, residual, relu, then floats or codes.
class PlaneTail {
 public:
  PlaneTail(const PlanContext& plan, const Step& step)
      : step_(step),
        out_(plan.slot(step.outputs[0])),
        residual_(step.inputs.size() > 1 ? &plan.slot(step.inputs[1]) : nullptr),
        code_(plan.code(step.outputs[0])),
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
      if (!code_.sign) return round_codes(y, codes, channels_, e.scale, e.min, e.max, code_.min);
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
  std::int64_t channels_, plane_ = 1;
};

/// Integers of one position, and y from them.
class PlaneSums {
 public:
  PlaneSums(const PlaneGeometry& geometry, const Step& step)
      : step_(step),
        geometry_(geometry),
        weight_planes_(step.weights.bits),
        code_planes_(step.planes.code_planes()),
        group_out_(step.out_channels / step.groups) {
    const PlaneCoefficients c = plane_coefficients(step);
    both_ = by_output(c.both, weight_planes_ * code_planes_);
    codes_ = by_output(c.codes, code_planes_);
    weights_ = by_output(c.weights, weight_planes_);
    constants_ = c.constants;
    if (step.planes.code_signs || !weights_.empty()) {
      tap_counts_ = plane_tap_counts(geometry, step);
      totals_.assign(static_cast<std::size_t>(weight_planes_ * step.out_channels), 0);
      for (std::size_t i = 0; i < tap_counts_.size(); ++i) {
        const auto out = static_cast<std::size_t>(step.out_channels), taps = static_cast<std::size_t>(geometry.taps());
        totals_[i / (taps * out) * out + i % out] += tap_counts_[i];
      }
    }
  }

  bool needs_weight_counts() const { return !tap_counts_.empty(); }

  /// Set weight bits over the taps inside: [weight plane][output].
  void count_weights(std::int64_t position, std::int32_t* counts) const {
    std::copy(totals_.begin(), totals_.end(), counts);
    const std::int64_t taps = geometry_.taps(), out = step_.out_channels;
    geometry_.each_tap(position, [&](std::int64_t t, std::int64_t source) {
      for (std::int64_t p = 0; p < weight_planes_ && source < 0; ++p) {
        const std::int32_t* at_tap = tap_counts_.data() + (p * taps + t) * out;
        for (std::int64_t o = 0; o < out; ++o) counts[p * out + o] -= at_tap[o];
      }
    });
  }

  /// y of one group. both: [weight plane][code plane] rows of `stride` counts of common bits; row: set bits of each
  /// code plane; weights: as count_weights made them (nullptr when not needed); inside: products that are not on the
  /// border.
  void combine(std::int64_t group, const std::int32_t* both, std::int64_t stride, const std::int32_t* row,
               const std::int32_t* weights, std::int32_t inside, float* y) const {
    const bool ws = step_.planes.weight_signs, cs = step_.planes.code_signs;
    const std::int64_t first = group * group_out_, n = group_out_;
    const std::int32_t factor = (ws ? 2 : 1) * (cs ? 2 : 1);
    std::fill_n(y + first, n, 0.0f);
    for (int p = 0; p < weight_planes_; ++p) {
      const std::int32_t* set = weights == nullptr ? nullptr : weights + p * step_.out_channels + first;
      for (int q = 0; q < code_planes_; ++q) {
        // (2w - 1)(2x - 1) summed is 4 wx - 2 w - 2 x + 1 summed; with one kind of signs less of it.
        const std::int32_t constant = ws ? (cs ? inside - 2 * row[q] : -row[q]) : 0, per_weight = ws ? 2 : 1;
        const float* c = coefficient(both_, p * code_planes_ + q, first);
        const std::int32_t* s = both + (p * code_planes_ + q) * stride;
        if (cs) {
          for (std::int64_t o = 0; o < n; ++o)
            y[first + o] += c[o] * static_cast<float>(factor * s[o] - per_weight * set[o] + constant);
        } else {
          for (std::int64_t o = 0; o < n; ++o) y[first + o] += c[o] * static_cast<float>(factor * s[o] + constant);
        }
      }
    }
    add_offsets(first, n, row, weights, inside, y);
  }

 private:
  /// Behind the products: weight offsets with the codes, the codes' offset with the weights, both offsets.
  void add_offsets(std::int64_t first, std::int64_t n, const std::int32_t* row, const std::int32_t* weights,
                   std::int32_t inside, float* y) const {
    for (int q = 0; q < code_planes_ && !codes_.empty(); ++q) {
      const auto x = static_cast<float>(step_.planes.code_signs ? 2 * row[q] - inside : row[q]);
      const float* c = coefficient(codes_, q, first);
      for (std::int64_t o = 0; o < n; ++o) y[first + o] += c[o] * x;
    }
    for (int p = 0; p < weight_planes_ && !weights_.empty(); ++p) {
      const float* c = coefficient(weights_, p, first);
      const std::int32_t* set = weights + p * step_.out_channels + first;
      for (std::int64_t o = 0; o < n; ++o)
        y[first + o] += c[o] * static_cast<float>(step_.planes.weight_signs ? 2 * set[o] - inside : set[o]);
    }
    for (std::int64_t o = 0; o < n && !constants_.empty(); ++o)
      y[first + o] += constants_[static_cast<std::size_t>(first + o)] * static_cast<float>(inside);
  }

  /// [out][count] turned to [count][out].
  std::vector<float> by_output(const std::vector<float>& values, int count) const {
    const auto n = static_cast<std::size_t>(count);
    std::vector<float> turned(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) turned[i % n * (values.size() / n) + i / n] = values[i];
    return turned;
  }
  const float* coefficient(const std::vector<float>& turned, int i, std::int64_t first) const {
    return turned.data() + i * step_.out_channels + first;
  }

  const Step& step_;
  const PlaneGeometry& geometry_;
  int weight_planes_, code_planes_;
  std::int64_t group_out_;
  std::vector<float> both_, codes_, weights_, constants_;
  std::vector<std::int32_t> tap_counts_, totals_;
};

class PlaneLayer final : public PreparedStep {
 public:
  PlaneLayer(const PlanContext& plan, const Step& step)
      : step_(step),
        in_(plan.slot(step.inputs[0])),
        geometry_(in_, plan.slot(step.outputs[0]), step),
        packer_(geometry_, step.planes),
        sums_(geometry_, step),
        tail_(plan, step),
        kernel_(plane_kernel(plan.isa)),
        panels_(plan.shared<PlanePanels>(step, text("planes ", geometry_.taps()),
                                         [&] { return plane_panels(geometry_, step); })),
        code_planes_(step.planes.code_planes()),
        words_(geometry_.words()) {
    kernel = std::string(step.kind == StepKind::plane_convolution ? "conv_" : "dense_") + kernel_.name;
    operations = 2 * geometry_.positions() * step.weights.count;
    ceiling = CeilingKind::binary;  // one product of bits for every pair of planes
    ceiling_share = 1.0 / (step.weights.bits * code_planes_);
    weight_bytes = panels_->packed_bytes();
    group_panels_ = (step.out_channels / step.groups + plane_panel - 1) / plane_panel;
    stride_ = group_panels_ * plane_panel;
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
    row_bytes_ = aligned(code_planes * static_cast<std::size_t>(words_) * 8);
    count_bytes_ = aligned(weight_planes * code_planes * static_cast<std::size_t>(stride_) * 4);
    weight_bytes_ = aligned(sums_.needs_weight_counts() ? weight_planes * out * 4 : 0);
    part_bytes_ = row_bytes_ + count_bytes_ + weight_bytes_ + aligned(out * 4) + aligned(out);
    planes_bytes_ = aligned(packer_.bytes());
    scratch_bytes = planes_bytes_ + part_bytes_ * static_cast<std::size_t>(parts_);
  }

  void run_position(std::int64_t part, std::int64_t position) const {
    std::byte* base = scratch + planes_bytes_ + part_bytes_ * static_cast<std::size_t>(part);
    auto* row = reinterpret_cast<std::uint64_t*>(base);
    auto* counts = reinterpret_cast<std::int32_t*>(base + row_bytes_);
    auto* weights =
        sums_.needs_weight_counts() ? reinterpret_cast<std::int32_t*>(base + row_bytes_ + count_bytes_) : nullptr;
    auto* y = reinterpret_cast<float*>(base + row_bytes_ + count_bytes_ + weight_bytes_);
    auto* codes = reinterpret_cast<std::uint8_t*>(y) + aligned(static_cast<std::size_t>(step_.out_channels) * 4);
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
      sums_.combine(g, counts, stride_, set, weights, inside, y);
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
  PlaneSums sums_;
  PlaneTail tail_;
  const PlaneKernel& kernel_;
  std::shared_ptr<const PlanePanels> panels_;
  int code_planes_;
  std::int64_t words_, group_panels_ = 0, stride_ = 0, rows_ = 1, parts_ = 1;
  std::size_t row_bytes_ = 0, count_bytes_ = 0, weight_bytes_ = 0, part_bytes_ = 0, planes_bytes_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_planes(const PlanContext& plan, const Step& step) {
  return std::make_unique<PlaneLayer>(plan, step);
}

}  // namespace nnq
