// Depthwise convolutions: one filter a channel.
#include "kernels/depthwise/depthwise.h"

#include "kernels/aligned.h"
#include "runtime/steps/layer.h"
#include "runtime/steps/layer_starts.h"

namespace nnq {
namespace {

/// Weights by pairs of taps, in 16 or 8 bits, and sums as in PackedLayer.
struct PackedDepthwise {
  PackedArray<std::int16_t> weights;
  PackedArray<std::int8_t> narrow;
  PackedArray<std::int32_t> base, tap_sums;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.weights, self.narrow, self.base, self.tap_sums);
  }
};

class DepthwiseLayer final : public PreparedStep {
 public:
  DepthwiseLayer(const PlanContext& plan, const Step& step)
      : geometry_(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step),
        kernel_(depthwise_kernels(plan.isa)),
        channels_(step.out_channels),
        border_(step.pad_value - plan.code(step.inputs[0]).min),
        input_(geometry_, plan.slot(step.inputs[0]), LayerInput::Form::bytes, 1, step.in_channels,
               border_fits() ? static_cast<std::uint8_t>(border_) : std::uint8_t{0}, direct_kernels(plan.isa)),
        blocks_(geometry_.positions(), channels_ <= 64 ? 48 : 24, plan.threads),
        epilogue_(plan, step) {
    operations = 2 * geometry_.positions() * step.weights.count;
    offsets_ = input_.offsets();  // a kernel step is a tap
    if (offsets_.size() % 2 != 0) offsets_.push_back(offsets_.back());
    const CodeType& code = plan.code(step.inputs[0]);
    packed_ = plan.shared<PackedDepthwise>(step, text("depthwise ", offsets_.size(), " ", kernel_.name, " ", border_),
                                           [&] { return pack(step, code); });
    const bool narrow = packed_->narrow.size() > 0;
    run_ = narrow ? kernel_.narrow : kernel_.run;
    kernel = narrow ? kernel_.narrow_name : kernel_.name;
    ceiling = narrow ? CeilingKind::narrow : CeilingKind::int8;
    if (!narrow && kernel_.narrow != nullptr)
      refused.push_back(text(kernel_.narrow_name, channels_ < narrow_depthwise_channels
                                                      ? text(": fewer than ", narrow_depthwise_channels, " channels")
                                                      : std::string(": the sum of a channel could leave 16 bits")));
    starts_.make(geometry_, packed_->base, packed_->tap_sums, border_fits() ? 0 : border_);
    weight_bytes = packed_->weights.size() * 2 + packed_->narrow.size();
    input_bytes_ = whole_lines(input_.scratch_bytes());
    part_bytes_ = static_cast<std::size_t>(blocks_.rows()) *
                      (static_cast<std::size_t>(channels_) * 4 + sizeof(DirectRow)) / 64 * 64 +
                  128;
    scratch_bytes = input_bytes_ + part_bytes_ * static_cast<std::size_t>(blocks_.parts());
  }

  Status run(ThreadPool& pool) override {
    input_.prepare(pool, scratch);
    pool.parallel(blocks_.parts(), [this](std::int64_t part) {
      std::byte* const own = scratch + input_bytes_ + part_bytes_ * static_cast<std::size_t>(part);
      auto* const rows = reinterpret_cast<DirectRow*>(own);
      auto* const sums = reinterpret_cast<std::int32_t*>(
          own + whole_lines(static_cast<std::size_t>(blocks_.rows()) * sizeof(DirectRow)));
      blocks_.each(part, [&](std::int64_t first, std::int64_t count) {
        fill_rows(geometry_, input_, starts_, scratch, first, count, 0, 0, rows);
        run_({rows, count, offsets_.data(), static_cast<std::int64_t>(offsets_.size()) / 2, packed_->weights.data(),
              channels_, sums, packed_->narrow.data()});
        epilogue_.write(sums, channels_, first, count);
      });
    });
    return {};
  }

 private:
  bool border_fits() const { return border_ >= 0 && border_ <= 255; }

  /// Whether every channel's sum fits the narrow kernel.
  bool fits_narrow(std::span<const std::int8_t> weights, const CodeType& code) const {
    if (kernel_.narrow == nullptr || channels_ < narrow_depthwise_channels) return false;
    const std::int32_t largest = std::max(code.max - code.min, border_fits() ? border_ : 0);
    const std::int64_t taps = geometry_.taps();
    for (std::int64_t c = 0; c < channels_; ++c) {
      if (!narrow_depthwise_fits(weights.data() + c * taps, taps, largest)) return false;
    }
    return true;
  }

  std::shared_ptr<const PackedDepthwise> pack(const Step& step, const CodeType& code) const {
    auto packed = std::make_shared<PackedDepthwise>();
    const std::vector<std::int8_t> w = step.weights.unpack();
    const auto taps = static_cast<std::size_t>(geometry_.taps()), channels = static_cast<std::size_t>(channels_);
    const bool narrow = fits_narrow(w, code);
    if (narrow)
      packed->narrow.assign(offsets_.size() * channels, 0);
    else
      packed->weights.assign(offsets_.size() * channels, 0);
    packed->base.assign(channels, 0);
    packed->tap_sums.assign(taps * channels, 0);
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t t = 0; t < taps; ++t) {
        const std::int8_t v = w[c * taps + t];
        const std::size_t at = (t / 2 * channels + c) * 2 + t % 2;
        if (narrow)
          packed->narrow[at] = v;
        else
          packed->weights[at] = v;
        packed->tap_sums[t * channels + c] = v;
        packed->base[c] += v * code.min;
      }
    }
    return packed;
  }

  LayerGeometry geometry_;
  const DepthwiseKernels& kernel_;
  DepthwiseKernel run_ = nullptr;
  std::int64_t channels_;
  std::int32_t border_;
  LayerInput input_;
  LayerBlocks blocks_;
  EpilogueWriter epilogue_;
  std::size_t input_bytes_ = 0, part_bytes_ = 0;
  std::vector<std::int64_t> offsets_;
  std::shared_ptr<const PackedDepthwise> packed_;
  LayerStarts starts_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_depthwise(const PlanContext& plan, const Step& step) {
  return std::make_unique<DepthwiseLayer>(plan, step);
}

}  // namespace nnq
