// What a loader or lowering must guarantee of steps on codes with real levels.
#include <algorithm>
#include <cmath>

#include "core/finite.h"
#include "runtime/real_planes_steps.h"

namespace nnq {
namespace {

Status check_thresholds(const std::vector<float>& thresholds, const CodeType& code) {
  NNQ_REQUIRE(!code.sign && code.min == 0 && static_cast<std::int64_t>(thresholds.size()) <= code.max,
              "thresholds make codes beyond the value's range");
  NNQ_REQUIRE(all_finite(thresholds) && std::is_sorted(thresholds.begin(), thresholds.end()),
              "thresholds must be finite and ascending");
  return {};
}

Status check_shape(const Step& step) {
  const PackedWeights& w = step.weights;
  NNQ_REQUIRE(step.out_channels > 0 && step.in_channels > 0 && step.groups > 0 && step.out_channels <= (1 << 28) &&
                  step.in_channels <= (1 << 28) && step.in_channels % step.groups == 0 &&
                  step.out_channels % step.groups == 0,
              "impossible channels or groups");
  const auto count =
      checked_count({step.out_channels, step.window.kernel_h, step.window.kernel_w, step.in_channels / step.groups});
  NNQ_REQUIRE(count && *count == w.count && w.data != nullptr && w.bits >= 1 && w.bits <= 8,
              "the weights do not match the layer");
  NNQ_REQUIRE(w.count / step.out_channels < exact_counts, "counts could reach 2^24, beyond which they are not exact");
  NNQ_REQUIRE(step.kind == StepKind::plane_convolution ||
                  (step.groups == 1 && step.window.kernel_h == 1 && step.window.kernel_w == 1),
              "a fully connected layer has no window");
  NNQ_REQUIRE(step.pad_value == 0, "the border stands for the real value 0");
  return {};
}

Status check_scales(const Step& step, const CodeType& code) {
  const RealPlanes& p = step.planes;
  const auto n = static_cast<std::size_t>(step.out_channels);
  NNQ_REQUIRE(p.weight_scale.size() == n * static_cast<std::size_t>(step.weights.bits) &&
                  (p.weight_offset.empty() || p.weight_offset.size() == n),
              "the weights' scales do not match the layer");
  NNQ_REQUIRE(!p.code_scale.empty() && p.code_scale.size() <= 8 &&
                  p.patterns.size() == static_cast<std::size_t>(code.max - code.min + 1),
              "the codes' planes do not match their type");
  for (const std::uint8_t pattern : p.patterns)
    NNQ_REQUIRE(pattern < 1U << p.code_scale.size(), "a code has more bits than planes");
  NNQ_REQUIRE(all_finite(p.weight_scale) && all_finite(p.weight_offset) && all_finite(p.code_scale) &&
                  std::isfinite(p.code_offset),
              "a scale is not finite");
  return {};
}

Status check_tail(const Program& program, const Step& step, const ProgramValue& out) {
  const Epilogue& e = step.epilogue;
  const auto n = static_cast<std::size_t>(step.out_channels);
  NNQ_REQUIRE(e.a.size() == e.b.size() && (e.a.empty() || e.a.size() == n) && e.residual_a.empty(),
              "scale and offset do not match the channels");
  if (step.inputs.size() == 2) {
    NNQ_REQUIRE(step.inputs[1] >= 0, "impossible residual");
    const ProgramValue& residual = program.values[static_cast<std::size_t>(step.inputs[1])];
    NNQ_REQUIRE(residual.kind == ValueKind::tensor && residual.type.dtype == DType::f32, "impossible residual");
  }
  if (e.kind == Epilogue::Kind::requantize) {
    NNQ_REQUIRE(out.kind == ValueKind::codes && std::isfinite(e.scale) && e.scale > 0 && step.planes.thresholds.empty(),
                "impossible requantization");
    NNQ_REQUIRE(out.code.sign || (e.min >= out.code.min && e.max <= out.code.max && e.min <= e.max),
                "codes beyond the value's range");
    return {};
  }
  NNQ_REQUIRE(e.kind == Epilogue::Kind::affine, "sums of real planes have no such epilogue");
  if (out.kind == ValueKind::codes) return check_thresholds(step.planes.thresholds, out.code);
  NNQ_REQUIRE(step.planes.thresholds.empty() && out.kind == ValueKind::tensor && out.type.dtype == DType::f32,
              "makes codes or float32");
  return {};
}

}  // namespace

bool has_real_planes(StepKind kind) {
  return kind == StepKind::bucketize || kind == StepKind::levels || kind == StepKind::plane_convolution ||
         kind == StepKind::plane_dense;
}

Status check_real_planes(const Program& program, const Step& step) {
  const bool layer = step.kind == StepKind::plane_convolution || step.kind == StepKind::plane_dense;
  NNQ_REQUIRE((step.inputs.size() == 1 || (layer && step.inputs.size() == 2)) && step.outputs.size() == 1 &&
                  step.inputs[0] >= 0 && step.outputs[0] >= 0,
              "wrong number of inputs or outputs");
  const ProgramValue &in = program.values[static_cast<std::size_t>(step.inputs[0])],
                     &out = program.values[static_cast<std::size_t>(step.outputs[0])];
  if (step.kind == StepKind::bucketize) {
    NNQ_REQUIRE(in.kind == ValueKind::tensor && in.type.dtype == DType::f32 && out.kind == ValueKind::codes,
                "turns a float32 tensor into codes only");
    return check_thresholds(step.planes.thresholds, out.code);
  }
  NNQ_REQUIRE(in.kind == ValueKind::codes, "needs codes");
  if (step.kind == StepKind::levels) {
    NNQ_REQUIRE(out.kind == ValueKind::tensor && out.type.dtype == DType::f32, "makes float32 only");
    NNQ_REQUIRE(step.planes.levels.size() == static_cast<std::size_t>(in.code.max - in.code.min + 1),
                "the levels do not match the codes");
    return {};
  }
  NNQ_TRY(check_shape(step));
  NNQ_TRY(check_scales(step, in.code));
  return check_tail(program, step, out);
}

}  // namespace nnq
