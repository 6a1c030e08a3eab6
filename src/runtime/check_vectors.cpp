// What a loader or lowering must guarantee of steps on multi-bit vectors, and the shapes they make.
#include <algorithm>
#include <cmath>

#include "core/finite.h"
#include "pack/multibit.h"
#include "pack/vector_code.h"
#include "runtime/real_planes_steps.h"
#include "runtime/vector_steps.h"

namespace nnq {
namespace {

constexpr std::int64_t most_uniform_columns = std::int64_t{1} << 16;  // times 127 * 255 fits 32 bits
constexpr std::size_t most_rank = 3;                                  // codes of rank 4 would be images

/// Weights that are whole numbers times a scale a row, as products with uniform vectors take them: bits with an offset.
Status check_whole(const PackedWeights& w, const RealPlanes& p, std::int64_t rows) {
  NNQ_REQUIRE(w.plane_scale.size() == static_cast<std::size_t>(w.bits) && w.offset >= -128 && w.offset <= 0,
              "whole weights are bits with an offset");
  for (int k = 0; k < w.bits; ++k)
    NNQ_REQUIRE(w.plane_scale[static_cast<std::size_t>(k)] == 1 << k, "whole weights are bits with an offset");
  NNQ_REQUIRE(static_cast<std::int64_t>(p.weight_scale.size()) == rows && p.weight_offset.empty() && !p.weight_signs,
              "the weights' scales do not match the layer");
  NNQ_REQUIRE(all_finite(p.weight_scale), "a scale is not finite");
  return {};
}

/// uniform: of the vectors that the matrix is multiplied with; sums of codes and whole weights fit 32 bits then.
Status check_matrix(const PackedWeights& w, const RealPlanes& p, std::int64_t rows, std::int64_t columns,
                    bool uniform = false) {
  NNQ_REQUIRE(rows > 0 && columns > 0 && rows <= (1 << 28) && columns < exact_counts, "impossible channels");
  const auto count = checked_count({rows, columns});
  NNQ_REQUIRE(count && *count == w.count && w.data != nullptr && w.bits >= 1 && w.bits <= 8,
              "the weights do not match the layer");
  NNQ_REQUIRE(!uniform || columns <= most_uniform_columns, "sums of ", columns, " products could overflow");
  if (uniform && !w.plane_scale.empty()) return check_whole(w, p, rows);
  const auto n = static_cast<std::size_t>(rows);
  NNQ_REQUIRE(p.weight_scale.size() == n * static_cast<std::size_t>(w.bits) &&
                  (p.weight_offset.empty() || p.weight_offset.size() == n),
              "the weights' scales do not match the layer");
  NNQ_REQUIRE(all_finite(p.weight_scale) && all_finite(p.weight_offset), "a scale is not finite");
  return {};
}

class VectorChecker {
 public:
  VectorChecker(const Program& program, const Step& step) : program_(program), step_(step) {}

  Status run() const {
    switch (step_.kind) {
      case StepKind::vector_lookup:
        return lookup();
      case StepKind::vector_levels:
        NNQ_TRY(counts(2, 2, 1, 1));
        NNQ_TRY(vectors(step_.inputs[0], step_.inputs[1]));
        return tensor(step_.outputs[0]);
      case StepKind::vector_dense:
        NNQ_TRY(counts(2, 2, 1, 1));
        NNQ_TRY(vectors(step_.inputs[0], step_.inputs[1]));
        NNQ_TRY(tensor(step_.outputs[0]));
        NNQ_REQUIRE(
            step_.epilogue.b.empty() || static_cast<std::int64_t>(step_.epilogue.b.size()) == step_.out_channels,
            "the bias does not match the channels");
        return check_matrix(step_.weights, step_.planes, step_.out_channels, step_.in_channels,
                            is_uniform(value(step_.inputs[0]).code));
      case StepKind::vector_quantize:
        return quantize();
      default:
        return recurrent();
    }
  }

 private:
  Status counts(std::size_t least_in, std::size_t most_in, std::size_t least_out, std::size_t most_out) const {
    NNQ_REQUIRE(step_.inputs.size() >= least_in && step_.inputs.size() <= most_in &&
                    step_.outputs.size() >= least_out && step_.outputs.size() <= most_out,
                "wrong number of inputs or outputs");
    for (std::size_t i = 0; i < least_in; ++i) NNQ_REQUIRE(step_.inputs[i] >= 0, "an input is left out");
    for (std::size_t i = 0; i < least_out; ++i) NNQ_REQUIRE(step_.outputs[i] >= 0, "an output is left out");
    return {};
  }

  const ProgramValue& value(std::int32_t v) const { return program_.values[static_cast<std::size_t>(v)]; }

  Status tensor(std::int32_t v) const {
    NNQ_REQUIRE(value(v).kind == ValueKind::tensor && value(v).type.dtype == DType::f32, "needs float32 tensors");
    return {};
  }

  Status vectors(std::int32_t codes, std::int32_t scales) const {
    const CodeType& code = value(codes).code;
    NNQ_REQUIRE(value(codes).kind == ValueKind::codes && !code.sign &&
                    (is_uniform(code) || (code.min == 0 && code.bits >= 1 && code.bits <= multibit::kMaxBits &&
                                          code.max == (1 << code.bits) - 1)),
                "needs codes of whole bits");
    return tensor(scales);
  }

  /// Vectors that a step quantizes on line.
  Status quantized(std::int32_t codes) const {
    const Recurrence& r = step_.recurrence;
    NNQ_REQUIRE(r.state_bits == value(codes).code.bits && r.uniform == is_uniform(value(codes).code) &&
                    r.state_cycles >= 0 && r.state_cycles <= 100,
                "impossible quantization of a vector");
    return {};
  }

  Status quantize() const {
    NNQ_TRY(counts(1, 1, 2, 2));
    NNQ_TRY(tensor(step_.inputs[0]));
    NNQ_TRY(vectors(step_.outputs[0], step_.outputs[1]));
    return quantized(step_.outputs[0]);
  }

  Status lookup() const {
    NNQ_TRY(counts(1, 1, 2, 2));
    const ProgramValue& numbers = value(step_.inputs[0]);
    NNQ_REQUIRE(numbers.kind == ValueKind::tensor && numbers.type.dtype == DType::i64, "row numbers are int64");
    NNQ_TRY(vectors(step_.outputs[0], step_.outputs[1]));
    NNQ_TRY(check_matrix(step_.weights, step_.planes, step_.out_channels, step_.in_channels));
    NNQ_REQUIRE(step_.planes.weight_signs && step_.planes.weight_offset.empty() &&
                    step_.weights.bits == value(step_.outputs[0]).code.bits,
                "a table of vectors is one of signs");
    return {};
  }

  Status recurrent() const {
    const Recurrence& r = step_.recurrence;
    NNQ_TRY(counts(2, r.gru ? 3 : 4, 2, r.gru ? 3 : 4));
    NNQ_TRY(vectors(step_.inputs[0], step_.inputs[1]));
    NNQ_TRY(vectors(step_.outputs[0], step_.outputs[1]));
    for (std::size_t i = 2; i < step_.inputs.size(); ++i)
      if (step_.inputs[i] >= 0) NNQ_TRY(tensor(step_.inputs[i]));
    for (std::size_t i = 2; i < step_.outputs.size(); ++i)
      if (step_.outputs[i] >= 0) NNQ_TRY(tensor(step_.outputs[i]));
    NNQ_REQUIRE(r.hidden >= 1 && r.hidden < exact_counts && step_.out_channels == r.gates() * r.hidden,
                "impossible hidden size");
    NNQ_TRY(quantized(step_.outputs[0]));
    NNQ_REQUIRE(r.uniform == is_uniform(value(step_.inputs[0]).code), "input and state are vectors of two kinds");
    const auto rows = static_cast<std::size_t>(step_.out_channels);
    NNQ_REQUIRE((r.bias.empty() || r.bias.size() == rows) && (r.state_bias.empty() || r.state_bias.size() == rows),
                "the bias does not match the gates");
    NNQ_TRY(check_matrix(step_.weights, step_.planes, step_.out_channels, step_.in_channels, r.uniform));
    return check_matrix(r.weights, r.planes, step_.out_channels, r.hidden, r.uniform);
  }

  const Program& program_;
  const Step& step_;
};

}  // namespace

bool has_vectors(StepKind kind) {
  return kind == StepKind::vector_lookup || kind == StepKind::vector_levels || kind == StepKind::vector_dense ||
         kind == StepKind::recurrent || kind == StepKind::vector_quantize;
}

bool is_uniform(const CodeType& code) {
  return !code.sign && code.bits == uniform_vector_bits && code.min == -uniform_vector_zero &&
         code.max == uniform_vector_zero - 1;
}

std::int64_t scales_of(const CodeType& code) { return is_uniform(code) ? 1 : code.bits; }

Status check_vectors(const Program& program, const Step& step) { return VectorChecker(program, step).run(); }

Status vector_shapes(const Program& program, const Step& step, std::span<const Shape> inputs, VectorShapes& out) {
  if (step.kind == StepKind::vector_lookup) {
    NNQ_REQUIRE(inputs[0].size() < most_rank, "row numbers of rank ", inputs[0].size());
    out.codes = out.scales = inputs[0];
    out.codes.push_back(step.in_channels);
    out.scales.push_back(step.weights.bits);
    return {};
  }
  const Shape& codes = inputs[0];
  NNQ_REQUIRE(!codes.empty() && codes.size() <= most_rank, "vectors of shape ", to_string(codes));
  const auto scales = [&](std::int32_t v) { return scales_of(program.values[static_cast<std::size_t>(v)].code); };
  if (step.kind == StepKind::vector_quantize) {
    out.codes = out.scales = codes;
    out.scales.back() = scales(step.outputs[0]);
    return {};
  }
  Shape expected = codes;
  expected.back() = scales(step.inputs[0]);
  NNQ_REQUIRE(inputs[1] == expected, "vectors of shape ", to_string(codes), " have scales of shape ",
              to_string(inputs[1]), ", expected ", to_string(expected));
  out.codes = codes;
  if (step.kind == StepKind::vector_levels) return {};
  NNQ_REQUIRE(codes.back() == step.in_channels, "expected vectors of ", step.in_channels, ", got ", to_string(codes));
  if (step.kind == StepKind::vector_dense) {
    out.codes.back() = step.out_channels;
    return {};
  }
  const Recurrence& r = step.recurrence;
  NNQ_REQUIRE(codes.size() == 3, "a sequence is [time, batch, inputs], got ", to_string(codes));
  out.codes.back() = r.hidden;
  out.scales = {codes[0], codes[1], scales(step.outputs[0])};
  out.state = {1, codes[1], r.hidden};
  for (std::size_t i = 2; i < inputs.size(); ++i)
    NNQ_REQUIRE(step.inputs[i] < 0 || inputs[i] == out.state, "the state has shape ", to_string(inputs[i]),
                ", expected ", to_string(out.state));
  return {};
}

Status lookup_row(const Step& step, std::int64_t number, std::int64_t& row) {
  row = number < 0 ? number + step.out_channels : number;
  NNQ_REQUIRE(row >= 0 && row < step.out_channels, "row ", number, " of a table of ", step.out_channels);
  return {};
}

void lookup_codes(const Step& step, std::int64_t row, std::uint8_t* codes) {
  const std::size_t plane = step.weights.plane_bytes();
  for (std::int64_t i = 0; i < step.in_channels; ++i) {
    const std::int64_t e = row * step.in_channels + i;
    unsigned code = 0;
    for (int k = 0; k < step.weights.bits; ++k)
      code |= (step.weights.data[static_cast<std::size_t>(k) * plane + static_cast<std::size_t>(e / 8)] >> (e % 8) & 1U)
              << k;
    codes[i] = static_cast<std::uint8_t>(code);
  }
}

void vector_levels(std::span<const float> scales, float* levels) {
  for (int code = 0; code < 1 << scales.size(); ++code)
    levels[code] = multibit::level_of(scales, multibit::Digits::signs, code);
}

}  // namespace nnq
