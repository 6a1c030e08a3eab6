#include "nnq/program.h"

#include <algorithm>
#include <cmath>

#include "nnq/encoding.h"
#include "runtime/real_planes_steps.h"
#include "runtime/vector_steps.h"

namespace nnq {
namespace {

constexpr std::int64_t max_extent = std::int64_t{1}
                                    << 24;  // of kernels, strides, pads: beyond any use, far from overflow

constexpr std::int64_t most_sum = std::int64_t{1} << 30;  // sums stay below

/// Checks one program; keeps which values exist so far.
class Checker {
 public:
  explicit Checker(const Program& program)
      : program_(program), made_(program.values.size(), false), bound_(program.values.size(), 0) {}

  Status run() {
    for (const ProgramValue& value : program_.values) NNQ_TRY(check_value(value));
    for (const auto& [number, tensor] : program_.constants) {
      NNQ_REQUIRE(valid(number) && kind(number) == ValueKind::tensor && tensor.defined(), "constant ", number,
                  " is not a tensor value");
      made_[static_cast<std::size_t>(number)] = true;
    }
    for (const std::int32_t number : program_.inputs) {
      NNQ_REQUIRE(valid(number) && kind(number) == ValueKind::tensor && !made_[static_cast<std::size_t>(number)],
                  "input ", number, " is not a tensor value of its own");
      made_[static_cast<std::size_t>(number)] = true;
    }
    for (const Step& step : program_.steps) {
      if (Status status = check_step(step); !status.ok())
        return {StatusCode::bad_file, text("step '", step.name, "': ", status.message())};
    }
    for (const std::int32_t number : program_.outputs) {
      NNQ_REQUIRE(valid(number) && made_[static_cast<std::size_t>(number)] && kind(number) == ValueKind::tensor,
                  "output ", number, " is not a tensor that a step makes");
    }
    return {};
  }

 private:
  bool valid(std::int32_t v) const { return v >= 0 && static_cast<std::size_t>(v) < program_.values.size(); }
  const ProgramValue& value(std::int32_t v) const { return program_.values[static_cast<std::size_t>(v)]; }
  ValueKind kind(std::int32_t v) const { return value(v).kind; }

  static Status check_value(const ProgramValue& v) {
    NNQ_REQUIRE(v.kind <= ValueKind::accumulator, "value '", v.name, "' has an unknown kind");
    NNQ_REQUIRE(v.type.shape.size() <= 32, "value '", v.name, "' has too many dimensions");
    for (const Dim& d : v.type.shape) NNQ_REQUIRE(d.value >= -1, "value '", v.name, "' has a negative dimension");
    if (v.kind != ValueKind::codes) return {};
    NNQ_REQUIRE(
        v.code.min <= v.code.max && v.code.min >= -255 && v.code.max <= 255 && v.code.bits >= 1 && v.code.bits <= 9,
        "value '", v.name, "' has impossible codes");
    NNQ_REQUIRE(!v.code.sign || (v.code.min == -1 && v.code.max == 1), "value '", v.name,
                "' has impossible sign codes");
    return {};
  }

  Status check_step(const Step& step) {
    NNQ_REQUIRE(step.kind <= last_step_kind, "unknown kind of step");
    for (const std::int32_t v : step.inputs) {
      NNQ_REQUIRE(v == -1 || valid(v), "reads value ", v, ", which does not exist");
      NNQ_REQUIRE(v == -1 || made_[static_cast<std::size_t>(v)], "reads value ", v, " before it is made");
    }
    for (const std::int32_t v : step.outputs)
      NNQ_REQUIRE(v == -1 || (valid(v) && !made_[static_cast<std::size_t>(v)]), "makes value ", v,
                  " twice, or one that does not exist");
    if (has_real_planes(step.kind)) {
      NNQ_TRY(check_window(step.window, false));
      NNQ_TRY(check_real_planes(program_, step));
    } else if (has_vectors(step.kind)) {
      NNQ_TRY(check_vectors(program_, step));
    } else {
      NNQ_TRY(step.kind == StepKind::float_op ? check_float(step)
              : step.kind == StepKind::add    ? check_add(step)
              : step.kind == StepKind::concat ? check_concat(step)
                                              : check_integer(step));
    }
    for (const std::int32_t v : step.outputs) {
      if (v >= 0) made_[static_cast<std::size_t>(v)] = true;
    }
    return {};
  }

  Status check_float(const Step& step) const {
    NNQ_REQUIRE(find_op(step.node.domain, step.node.op) != nullptr, "operator ", step.node.op, " is not known");
    NNQ_REQUIRE(step.node.inputs.size() == step.inputs.size() && step.node.outputs.size() == step.outputs.size() &&
                    !step.outputs.empty(),
                "inputs and outputs do not match the operator's");
    for (const std::int32_t v : step.inputs)
      NNQ_REQUIRE(v == -1 || kind(v) == ValueKind::tensor, "an operator on codes");
    for (const std::int32_t v : step.outputs)
      NNQ_REQUIRE(v == -1 || kind(v) == ValueKind::tensor, "an operator making codes");
    return {};
  }

  std::int64_t bound(std::int32_t v) const {
    const CodeType& code = value(v).code;
    return kind(v) == ValueKind::codes ? std::max(std::abs(code.min), std::abs(code.max))
                                       : bound_[static_cast<std::size_t>(v)];
  }
  void set_bound(std::int32_t v, std::int64_t magnitude) { bound_[static_cast<std::size_t>(v)] = magnitude; }

  Status check_add(const Step& step) {
    NNQ_REQUIRE(step.inputs.size() == 2 && step.outputs.size() == 1 && step.inputs[0] >= 0 && step.inputs[1] >= 0 &&
                    step.outputs[0] >= 0,
                "wrong number of inputs or outputs");
    NNQ_REQUIRE(kind(step.inputs[0]) != ValueKind::tensor && kind(step.inputs[1]) != ValueKind::tensor,
                "adds integers only");
    NNQ_REQUIRE(step.out_channels > 0 && step.out_channels <= (1 << 28) && step.epilogue.residual_a.empty(),
                "impossible channels or residual");
    const std::int64_t most = bound(step.inputs[0]) + bound(step.inputs[1]);
    NNQ_REQUIRE(most < most_sum, "the sums could overflow 32 bits");
    set_bound(step.outputs[0], most);
    return check_epilogue(step, step.out_channels);
  }

  Status check_concat(const Step& step) const {
    NNQ_REQUIRE(!step.inputs.empty() && step.outputs.size() == 1 && step.outputs[0] >= 0 &&
                    kind(step.outputs[0]) == ValueKind::codes,
                "wrong number of inputs or outputs");
    const CodeType& out = value(step.outputs[0]).code;
    for (const std::int32_t v : step.inputs) {
      NNQ_REQUIRE(v >= 0 && kind(v) == ValueKind::codes, "joins codes only");
      const CodeType& in = value(v).code;
      NNQ_REQUIRE(in.sign == out.sign && in.min >= out.min && in.max <= out.max, "codes beyond the value's range");
    }
    return {};
  }

  Status check_integer(const Step& step) {
    const bool layer = step.kind == StepKind::convolution || step.kind == StepKind::dense;
    const bool residual = !step.epilogue.residual_a.empty();
    NNQ_REQUIRE(step.inputs.size() == (residual ? 2u : 1u) && step.outputs.size() == 1 && step.inputs[0] >= 0 &&
                    step.outputs[0] >= 0,
                "wrong number of inputs or outputs");
    const ProgramValue &in = value(step.inputs[0]), &out = value(step.outputs[0]);
    NNQ_TRY(check_window(step.window, step.kind == StepKind::sum_pool));
    switch (step.kind) {
      case StepKind::quantize:
        NNQ_REQUIRE(in.kind == ValueKind::tensor && out.kind == ValueKind::codes, "quantizes a tensor to codes only");
        NNQ_REQUIRE(std::isfinite(step.scale) && step.scale > 0, "the scale must be positive");
        return {};
      case StepKind::dequantize:
        NNQ_REQUIRE(in.kind != ValueKind::tensor && out.kind == ValueKind::tensor && out.type.dtype == DType::f32,
                    "dequantizes integers to float32 only");
        return check_affine(step.epilogue, channels_of(in));
      case StepKind::threshold:
        NNQ_REQUIRE(
            in.kind != ValueKind::tensor && !residual &&
                (step.epilogue.kind == Epilogue::Kind::thresholds || step.epilogue.kind == Epilogue::Kind::requantize),
            "turns integers to codes only");
        return check_epilogue(step, channels_of(in));
      case StepKind::max_pool:
        NNQ_REQUIRE(in.kind != ValueKind::tensor && in.kind == out.kind && in.code == out.code,
                    "pools integers of one kind");
        NNQ_REQUIRE(step.min_channels.empty() || static_cast<std::int64_t>(step.min_channels.size()) == channels_of(in),
                    "the minimum flags do not match the channels");
        set_bound(step.outputs[0], bound(step.inputs[0]));
        return check_pads(step.window);
      case StepKind::sum_pool:
        NNQ_REQUIRE(in.kind == ValueKind::codes && out.kind == ValueKind::tensor, "averages codes to a tensor only");
        NNQ_REQUIRE(step.window.dilation_h == 1 && step.window.dilation_w == 1, "an average has no dilation");
        NNQ_TRY(check_pads(step.window));
        return check_affine(step.epilogue, channels_of(in));
      case StepKind::subsample:
        NNQ_REQUIRE(in.kind == ValueKind::codes && out.kind == ValueKind::codes && in.code == out.code,
                    "moves codes only");
        NNQ_REQUIRE(step.start_h >= 0 && step.start_w >= 0 && step.start_h <= max_extent &&
                        step.start_w <= max_extent && step.channels_before >= 0 && step.channels_after >= 0 &&
                        step.channels_before <= max_extent && step.channels_after <= max_extent,
                    "impossible positions");
        NNQ_REQUIRE(
            step.channels_before + step.channels_after == 0 || (!in.code.sign && in.code.min <= 0 && in.code.max >= 0),
            "zero channels need a code for zero");
        return {};
      default:
        break;
    }
    NNQ_REQUIRE(layer && in.kind == ValueKind::codes, "a layer needs codes");
    NNQ_TRY(check_weights(step));
    NNQ_TRY(check_range(step, in.code));
    return check_epilogue(step, step.out_channels);
  }

  static std::int64_t channels_of(const ProgramValue& v) {
    if (!v.type.ranked || v.type.shape.size() < 2) return -1;
    return v.type.shape[1].value;
  }

  static Status check_window(const Window& w, bool may_be_whole) {
    for (const std::int64_t v : {w.kernel_h, w.kernel_w})
      NNQ_REQUIRE(v >= (may_be_whole ? 0 : 1) && v <= max_extent, "impossible kernel");
    for (const std::int64_t v : {w.stride_h, w.stride_w, w.dilation_h, w.dilation_w})
      NNQ_REQUIRE(v >= 1 && v <= max_extent, "impossible stride or dilation");
    for (const std::int64_t v : {w.pad_top, w.pad_left, w.pad_bottom, w.pad_right})
      NNQ_REQUIRE(v >= 0 && v <= max_extent, "impossible padding");
    return {};
  }

  /// Every pooling position must see a real value.
  static Status check_pads(const Window& w) {
    if (w.kernel_h == 0 || w.kernel_w == 0) {
      NNQ_REQUIRE(w.pad_top + w.pad_left + w.pad_bottom + w.pad_right == 0 && w.kernel_h == w.kernel_w,
                  "a whole-plane pool has no padding");
      return {};
    }
    NNQ_REQUIRE(
        w.pad_top < w.kernel_h && w.pad_bottom < w.kernel_h && w.pad_left < w.kernel_w && w.pad_right < w.kernel_w,
        "padding as large as the kernel");
    return {};
  }

  static Status check_affine(const Epilogue& e, std::int64_t channels) {
    for (const auto* list : {&e.a, &e.b})
      NNQ_REQUIRE(list->size() == 1 || (channels > 0 && static_cast<std::int64_t>(list->size()) == channels),
                  "scale and offset do not match the channels");
    return {};
  }

  static Status check_weights(const Step& step) {
    const PackedWeights& w = step.weights;
    NNQ_REQUIRE(step.out_channels > 0 && step.in_channels > 0 && step.groups > 0 && step.out_channels <= (1 << 28) &&
                    step.in_channels <= (1 << 28) && step.in_channels % step.groups == 0 &&
                    step.out_channels % step.groups == 0,
                "impossible channels or groups");
    const auto count =
        checked_count({step.out_channels, step.window.kernel_h, step.window.kernel_w, step.in_channels / step.groups});
    NNQ_REQUIRE(count && *count == w.count && w.data != nullptr, "the weights do not match the layer");
    NNQ_REQUIRE(step.kind == StepKind::convolution ||
                    (step.groups == 1 && step.window.kernel_h == 1 && step.window.kernel_w == 1),
                "a fully connected layer has no window");
    NNQ_REQUIRE(w.bits >= 1 && w.bits <= 8 && static_cast<int>(w.plane_scale.size()) == w.bits && w.offset >= -128 &&
                    w.offset <= 127,
                "impossible weight encoding");
    std::int64_t most = w.offset;
    for (const std::int32_t s : w.plane_scale) {
      NNQ_REQUIRE(s >= 0 && s <= 255, "impossible plane scale");
      most += s;
    }
    NNQ_REQUIRE(most <= 127, "weights beyond 127");
    return {};
  }

  /// The range is proven again: a file's word is not taken for it. The encoding alone proves it for nearly all layers;
  /// the weights are only read (which takes most of a load) where the largest of them everywhere would overflow, or
  /// where the sums themselves are a value, whose bound an `add` counts on.
  Status check_range(const Step& step, const CodeType& code) {
    const std::int64_t each = step.weights.count / step.out_channels;
    const std::int64_t low = std::min(code.min, step.pad_value), high = std::max(code.max, step.pad_value);
    NNQ_REQUIRE(step.pad_value >= -255 && step.pad_value <= 255, "impossible pad value");
    NNQ_REQUIRE(step.accumulator_min <= 0 && step.accumulator_max >= 0, "impossible accumulator range");
    const std::int64_t smallest = step.weights.offset;
    std::int64_t largest = smallest;
    for (const std::int32_t s : step.weights.plane_scale) largest += s;
    const std::int64_t product =
        std::max(std::abs(smallest), std::abs(largest)) * std::max(std::abs(low), std::abs(high));
    if (kind(step.outputs[0]) != ValueKind::accumulator && each < most_sum / std::max<std::int64_t>(product, 1))
      return {};
    const std::vector<std::int8_t> weights = step.weights.unpack();
    std::int64_t most = 0;
    for (std::int64_t o = 0; o < step.out_channels; ++o) {
      std::int64_t magnitude = 0;
      for (std::int64_t i = 0; i < each; ++i)
        magnitude += std::abs(static_cast<std::int64_t>(weights[static_cast<std::size_t>(o * each + i)])) *
                     std::max(std::abs(low), std::abs(high));
      NNQ_REQUIRE(magnitude < most_sum, "the sums of channel ", o, " could overflow 32 bits");
      most = std::max(most, magnitude);
    }
    set_bound(step.outputs[0], most);
    return {};
  }

  Status check_epilogue(const Step& step, std::int64_t channels) const {
    const Epilogue& e = step.epilogue;
    const ProgramValue& out = value(step.outputs[0]);
    NNQ_REQUIRE(channels > 0, "the number of channels is not known");
    const auto n = static_cast<std::size_t>(channels);
    const bool real = e.kind == Epilogue::Kind::affine || e.kind == Epilogue::Kind::requantize;
    if (!e.residual_a.empty()) {
      NNQ_REQUIRE(real && e.residual_a.size() == n && e.residual_b.size() == n && step.inputs[1] >= 0 &&
                      kind(step.inputs[1]) != ValueKind::tensor,
                  "impossible residual");
    }
    // Layers have a number for each channel; steps without weights may have one for all.
    const bool shared = step.kind == StepKind::add || step.kind == StepKind::threshold;
    const auto fits = [&](std::size_t size) { return size == n || (shared && size == 1); };
    NNQ_REQUIRE(!real || (fits(e.a.size()) && fits(e.b.size())), "scale and offset do not match the channels");
    switch (e.kind) {
      case Epilogue::Kind::none:
        NNQ_REQUIRE(out.kind == ValueKind::accumulator, "sums go to an accumulator");
        return {};
      case Epilogue::Kind::affine:
        NNQ_REQUIRE(out.kind == ValueKind::tensor && out.type.dtype == DType::f32, "an affine epilogue makes float32");
        return {};
      case Epilogue::Kind::requantize:
        NNQ_REQUIRE(out.kind == ValueKind::codes && std::isfinite(e.scale) && e.scale > 0, "impossible requantization");
        NNQ_REQUIRE(out.code.sign || (e.min >= out.code.min && e.max <= out.code.max && e.min <= e.max),
                    "codes beyond the value's range");
        return {};
      case Epilogue::Kind::thresholds: {
        NNQ_REQUIRE(out.kind == ValueKind::codes && e.levels >= 1 && e.levels <= 255 && fits(e.direction.size()) &&
                        e.thresholds.size() == e.direction.size() * static_cast<std::size_t>(e.levels),
                    "impossible thresholds");
        for (const std::int8_t d : e.direction) NNQ_REQUIRE(d == 1 || d == -1, "impossible threshold direction");
        const std::int64_t last = e.first + static_cast<std::int64_t>(e.step) * e.levels;
        NNQ_REQUIRE(e.step >= 1 && e.step <= 2 && e.first >= out.code.min && last <= out.code.max &&
                        (!out.code.sign || (e.first == -1 && e.step == 2 && e.levels == 1)),
                    "codes beyond the value's range");
        return {};
      }
    }
    return Status::invalid("unknown epilogue");
  }

  const Program& program_;
  std::vector<bool> made_;
  std::vector<std::int64_t> bound_;  // largest magnitude of an accumulator, proven
};

}  // namespace

Status check_program(const Program& program) {
  Status status = Checker(program).run();
  return status.ok() ? status : Status::bad_file(status.message());
}

const char* name_of(StepKind kind) {
  switch (kind) {
    case StepKind::quantize:
      return "quantize";
    case StepKind::dequantize:
      return "dequantize";
    case StepKind::convolution:
      return "convolution";
    case StepKind::dense:
      return "dense";
    case StepKind::threshold:
      return "threshold";
    case StepKind::max_pool:
      return "max_pool";
    case StepKind::sum_pool:
      return "sum_pool";
    case StepKind::subsample:
      return "subsample";
    case StepKind::add:
      return "add";
    case StepKind::concat:
      return "concat";
    case StepKind::float_op:
      return "float";
    case StepKind::bucketize:
      return "bucketize";
    case StepKind::levels:
      return "levels";
    case StepKind::plane_convolution:
      return "plane_convolution";
    case StepKind::plane_dense:
      return "plane_dense";
    case StepKind::vector_lookup:
      return "vector_lookup";
    case StepKind::vector_levels:
      return "vector_levels";
    case StepKind::vector_dense:
      return "vector_dense";
    case StepKind::recurrent:
      return "recurrent";
    case StepKind::vector_quantize:
      return "vector_quantize";
  }
  return "?";
}

}  // namespace nnq
