// Convolutions that stay float, on the float GEMM.
#include <algorithm>
#include <cstring>

#include "ops/support/geometry.h"
#include "runtime/steps/float_columns.h"
#include "runtime/steps/float_relu.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

constexpr std::int64_t width = panel_width;

/// Panels that are multiplied together at the most: weights then come from memory once for all of them.
constexpr std::int64_t together = 8;
/// Inputs (channels times taps) that are gathered at a time: those of one panel fit the first-level cache.
constexpr std::int64_t inputs_at_a_time = 256;

/// Conv in two dimensions: panels of 16 output positions against all filters of a group.
class FloatConvolution final : public WithRelu {
 public:
  FloatConvolution(const PlanContext& plan, const Step& step, const Window& window)
      : x_(plan.slot(step.inputs[0])),
        w_(plan.slot(step.inputs[1])),
        bias_(step.inputs.size() > 2 && step.inputs[2] >= 0 ? &plan.slot(step.inputs[2]) : nullptr),
        // A Relu behind sums in double is a step of its own: their kernel has none.
        y_(plan.slot(plan.before_quantizer(step.outputs[0]) ? step.outputs[0] : take_relu(plan, step))),
        window_(window),
        gemm_(plan.kernels.real),
        twofold_(plan.before_quantizer(step.outputs[0]) ? plan.kernels.twofold : nullptr) {
    kernel = std::string("conv_") + (twofold_ != nullptr ? plan.kernels.double_name : plan.kernels.float_name);
    if (also != nullptr) kernel += "_relu";
    channels_ = w_.shape[1];
    taps_ = w_.shape[2] * w_.shape[3];
    k_ = channels_ * taps_;
    groups_ = step.node.get_int("group", 1);
    outputs_ = w_.shape[0] / groups_;
    plane_ = y_.shape[2] * y_.shape[3];
    pointwise_ = taps_ == 1 && window.stride_h == 1 && window.stride_w == 1 && y_.shape[2] == x_.shape[2] &&
                 y_.shape[3] == x_.shape[3] && window.pad_top == 0 && window.pad_left == 0;
    operations = 2 * y_.shape[0] * plane_ * w_.shape[0] * k_;
    ceiling = CeilingKind::real;
    weight_bytes = w_.shape[0] * k_ * 4;
    const std::int64_t panels = (plane_ + width - 1) / width, images = y_.shape[0] * groups_;
    // A sum in double cannot be laid down half done; fewer panels together where threads would have nothing to do.
    const std::int64_t most = std::clamp<std::int64_t>(panels * images / plan.threads, 1, together),
                       cuts = (panels + most - 1) / most;
    block_ = (twofold_ != nullptr ? 1 : (panels + cuts - 1) / cuts) * width;
    some_channels_ = twofold_ != nullptr ? channels_ : std::clamp<std::int64_t>(inputs_at_a_time / taps_, 1, channels_);
    blocks_ = (plane_ + block_ - 1) / block_;
    parts_ = std::min<std::int64_t>(y_.shape[0] * groups_ * blocks_, plan.threads == 1 ? 1 : plan.threads * 4);
    panel_floats_ = some_channels_ * taps_ * block_;
    part_bytes_ = static_cast<std::size_t>(panel_floats_ + outputs_ * width) * 4;
    scratch_bytes = part_bytes_ * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t total = y_.shape[0] * groups_ * blocks_;
    pool.parallel(parts_, [&](std::int64_t part) {
      auto* panels = reinterpret_cast<float*>(scratch + part_bytes_ * static_cast<std::size_t>(part));
      for (std::int64_t i = total * part / parts_; i < total * (part + 1) / parts_; ++i) one_block(i, panels);
    });
    return {};
  }

 private:
  void one_block(std::int64_t index, float* panels) const {
    const std::int64_t image = index / blocks_, first = index % blocks_ * block_,  // image: of a sample and group
        columns = std::min(block_, plane_ - first), whole = columns / width * width, group = image % groups_;
    const float* w = w_.as<float>() + group * outputs_ * k_;
    const float* bias = bias_ != nullptr ? bias_->as<float>() + group * outputs_ : nullptr;
    float *y = y_.as<float>() + image * outputs_ * plane_ + first, *tail = panels + panel_floats_;
    const std::int64_t plane = x_.shape[2] * x_.shape[3];
    const float* const x = x_.as<float>() + image * channels_ * plane;
    // Without neighbours a plane is one row.
    ColumnSource source =
        pointwise_ ? ColumnSource{x, some_channels_, 1, plane, plane, window_}
                   : ColumnSource{x, some_channels_, x_.shape[2], x_.shape[3], y_.shape[3], window_};
    for (std::int64_t c = 0; c < channels_; c += source.channels) {
      source.channels = std::min(some_channels_, channels_ - c);
      const std::int64_t k = source.channels * taps_;
      for (std::int64_t j = 0; j < columns; j += width)
        gather_columns(source, first + j, std::min(width, columns - j), panels + j * k);
      source.x += source.channels * plane;
      FloatCall call{.w = w + c * taps_,
                     .row = k_,
                     .outputs = outputs_,
                     .k = k,
                     .panels = panels,
                     .panel_count = whole / width,
                     .columns = width,
                     .bias = bias,
                     .add = c > 0,
                     .least = c + source.channels == channels_ ? least() : no_least,
                     .c = y,
                     .stride = plane_};
      if (whole > 0) multiply(call);
      if (whole == columns) continue;
      call.panels += whole * k;
      call.panel_count = 1;
      call.columns = columns - whole;
      call.c = tail;
      call.stride = width;
      multiply(call);
    }
    for (std::int64_t o = 0; o < outputs_ && whole < columns; ++o)
      std::memcpy(y + o * plane_ + whole, tail + o * width, static_cast<std::size_t>(columns - whole) * 4);
  }

  void multiply(const FloatCall& call) const {
    if (twofold_ != nullptr)
      twofold_(call.w, outputs_, k_, call.panels, call.bias, nullptr, call.c, call.stride);
    else
      gemm_(call);
  }

  const Slot& x_;
  const Slot& w_;
  const Slot* bias_;
  const Slot& y_;
  Window window_;
  FloatGemm gemm_;
  DoubleGemm twofold_;  // nullptr: sums are float
  // channels, outputs: of a group; k: inputs of an output; block: output positions gathered together
  std::int64_t channels_, taps_, k_, groups_, outputs_, plane_, block_, some_channels_, blocks_, parts_, panel_floats_;
  std::size_t part_bytes_;
  bool pointwise_;  // an output depends on one position of the input, the same
};

}  // namespace

std::unique_ptr<PreparedStep> make_float_convolution(const PlanContext& plan, const Step& step) {
  const Slot &x = plan.slot(step.inputs[0]), &w = plan.slot(step.inputs[1]), &y = plan.slot(step.outputs[0]);
  if (x.shape.size() != 4 || y.bytes == 0 || w.bytes == 0) return nullptr;
  ops::WindowGeometry g;
  if (!ops::resolve_conv_padding(step.node, ops::Dims(Shape{w.shape[2], w.shape[3]}),
                                 ops::Dims(Shape{x.shape[2], x.shape[3]}), g)
           .ok())
    return nullptr;
  const Window window{g.kernel[0],   g.kernel[1],    g.stride[0],    g.stride[1],  g.dilation[0],
                      g.dilation[1], g.pad_begin[0], g.pad_begin[1], g.pad_end[0], g.pad_end[1]};
  const bool twofold = plan.before_quantizer(step.outputs[0]);
  if (!twofold && w.shape[1] == 1 && step.node.get_int("group", 1) == x.shape[1] && x.shape[1] > 1) {
    if (auto made = make_float_depthwise(plan, step, window)) return made;
  }
  return std::make_unique<FloatConvolution>(plan, step, window);
}

}  // namespace nnq
