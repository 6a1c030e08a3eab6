#include <algorithm>
#include <functional>
#include <set>

#include "cli/inspection_parts.h"
#include "nnq/program.h"
#include "nnq/quantize.h"
#include "runtime/packed_integers.h"
#include "runtime/shapes.h"
#include "runtime/vector_steps.h"

namespace nnq::cli {
namespace {

/// As a file stores them: one number when all are equal.
std::int64_t bytes_of(const std::vector<float>& values) {
  const bool equal = std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end();
  return static_cast<std::int64_t>((equal ? std::min<std::size_t>(values.size(), 1) : values.size()) * sizeof(float));
}

std::int64_t bytes_of_thresholds(const Epilogue& e) {
  const PackedThresholds t = pack_thresholds(e);
  return static_cast<std::int64_t>(t.first.bits.size() + t.rises.bits.size() + t.falling.size());
}

std::int64_t bytes_of_planes(const RealPlanes& p) {
  const std::size_t numbers =
      p.thresholds.size() + p.levels.size() + p.weight_scale.size() + p.weight_offset.size() + p.code_scale.size();
  return static_cast<std::int64_t>(numbers * sizeof(float) + p.patterns.size());
}

class ProgramInspector {
 public:
  ProgramInspector(const Program& program, const std::map<std::string, Shape>& shapes)
      : program_(program), types_(program.values.size()) {
    for (std::size_t v = 0; v < types_.size(); ++v) types_[v] = program.values[v].type;
    for (const std::int32_t input : program.inputs) type(input) = fixed_type(value(input).name, type(input), shapes);
    for (const auto& [number, tensor] : program.constants) type(number) = ValueType::of(tensor.dtype(), tensor.shape());
  }

  Inspection run() {
    for (const Step& step : program_.steps) {
      infer(step);
      visit(step);
    }
    set_entropy(result_);
    return std::move(result_);
  }

 private:
  const ProgramValue& value(std::int32_t v) const { return program_.values[static_cast<std::size_t>(v)]; }
  ValueType& type(std::int32_t v) { return types_[static_cast<std::size_t>(v)]; }

  int bits(std::int32_t v) const {
    const ProgramValue& described = value(v);
    return described.kind == ValueKind::codes ? described.code.sign ? 1 : described.code.bits : 32;
  }

  /// Shapes as the inputs in force make them; what cannot be computed stays as it was declared.
  void infer(const Step& step) {
    if (step.kind == StepKind::float_op) return infer_float(step);
    if (has_vectors(step.kind)) return infer_vectors(step);
    const ValueType in = type(step.inputs[0]);
    ValueType& out = type(step.outputs[0]);
    if (!in.fully_known()) return;
    const Shape last = channels_last(in.static_shape());
    Shape shape = last;
    Status status;
    if (step.kind == StepKind::convolution || step.kind == StepKind::plane_convolution)
      status = convolution_shape(step, last, shape);
    if (step.kind == StepKind::max_pool || step.kind == StepKind::sum_pool) status = pool_shape(step, last, shape);
    if (step.kind == StepKind::subsample) status = subsample_shape(step, last, shape);
    if (step.kind == StepKind::concat) status = infer_concat(step, shape);
    if (step.kind == StepKind::dense || step.kind == StepKind::plane_dense)
      shape = {last.empty() ? 1 : last[0], step.out_channels};
    if (status.ok()) out = ValueType::of(out.dtype, channels_first(shape));
  }

  void infer_vectors(const Step& step) {
    std::vector<Shape> shapes;
    for (const std::int32_t v : step.inputs) {
      if (v >= 0 && !type(v).fully_known()) return;
      shapes.push_back(v < 0 ? Shape() : type(v).static_shape());
    }
    VectorShapes made;
    if (!vector_shapes(program_, step, shapes, made).ok()) return;
    const Shape* const outputs[] = {&made.codes, &made.scales, &made.state, &made.state};
    for (std::size_t i = 0; i < step.outputs.size(); ++i)
      if (step.outputs[i] >= 0) type(step.outputs[i]) = ValueType::of(type(step.outputs[i]).dtype, *outputs[i]);
  }

  Status infer_concat(const Step& step, Shape& shape) {
    std::vector<Shape> shapes;
    for (const std::int32_t v : step.inputs) {
      NNQ_REQUIRE(type(v).fully_known(), "free dimensions");
      shapes.push_back(channels_last(type(v).static_shape()));
    }
    return concat_shape(shapes, shape);
  }

  void infer_float(const Step& step) {
    const Op* op = find_op(step.node.domain, step.node.op);
    if (op == nullptr) return;
    InferContext context{.node = step.node, .opset = step.opset, .inputs = {}, .constants = {}, .outputs = {}};
    for (const std::int32_t v : step.inputs) {
      context.inputs.push_back(v < 0 ? nullptr : &type(v));
      const auto constant = program_.constants.find(v);
      context.constants.push_back(constant == program_.constants.end() ? nullptr : &constant->second);
    }
    context.outputs.resize(step.outputs.size());
    if (!op->infer(context).ok()) return;
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
      // A declared shape that knows more than inference without data stays.
      if (step.outputs[i] >= 0 && (context.outputs[i].fully_known() || !type(step.outputs[i]).ranked))
        type(step.outputs[i]) = context.outputs[i];
    }
  }

  void visit(const Step& step) {
    LayerRow row;
    row.name = step.name;
    row.op = step.kind == StepKind::float_op ? "float " + step.node.op : name_of(step.kind);
    row.note = step.note;
    if (!step.outputs.empty() && step.outputs[0] >= 0) set_shape(row, type(step.outputs[0]));
    if (!step.inputs.empty() && step.inputs[0] >= 0) row.activation_bits = bits(step.inputs[0]);
    const bool makes_codes =
        step.kind == StepKind::quantize || step.kind == StepKind::threshold || step.kind == StepKind::bucketize;
    if (makes_codes) row.activation_bits = bits(step.outputs[0]);
    const bool planes = step.kind == StepKind::plane_convolution || step.kind == StepKind::plane_dense;
    if (planes || step.kind == StepKind::convolution || step.kind == StepKind::dense) take_weights(row, step);
    if (planes) row.encoding = step.planes.weight_signs && step.weights.bits == 1 ? "binary" : "bit planes";
    if (has_vectors(step.kind) && step.weights.data != nullptr) take_vector_weights(row, step);
    row.bytes += bytes_of_planes(step.planes);
    const Epilogue& e = step.epilogue;
    row.bytes += bytes_of(e.a) + bytes_of(e.b) + bytes_of(e.residual_a) + bytes_of(e.residual_b) +
                 bytes_of_thresholds(e) + static_cast<std::int64_t>((step.min_channels.size() + 7) / 8);
    if (step.kind == StepKind::float_op) take_float(row, step);
    add_row(result_, std::move(row));
  }

  void take_weights(LayerRow& row, const Step& step) {
    const PackedWeights& w = step.weights;
    row.parameters = w.count;
    row.planes = w.bits;
    row.weight_bits = w.nominal_bits > 0 ? w.nominal_bits : w.bits;
    const std::vector<float> scale(w.plane_scale.begin(), w.plane_scale.end());
    row.encoding = plane_encoding(scale, {static_cast<float>(w.offset)}, w.bits);
    const std::size_t bytes = w.plane_bytes() * static_cast<std::size_t>(w.bits);
    row.bytes += static_cast<std::int64_t>(bytes);
    add_codes(row, {w.data, bytes}, w.bits, w.count);
    const ValueType& out = type(step.outputs[0]);
    const auto positions = [&]() -> std::int64_t {
      if (!row.ranked) return -1;
      std::int64_t count = 1;
      for (std::size_t i = 0; i < row.output_shape.size(); ++i) {
        if (i == 1) continue;  // channels
        if (!row.output_shape[i].known()) return -1;
        count *= row.output_shape[i].value;
      }
      return count;
    };
    const std::int64_t n = out.ranked ? positions() : -1;
    row.macs = n < 0 ? -1 : n * w.count;
  }

  /// A table of vectors, or the matrices that vectors are multiplied with.
  void take_vector_weights(LayerRow& row, const Step& step) {
    take_weights(row, step);
    row.encoding = "bit planes";
    const Recurrence& r = step.recurrence;
    if (step.kind == StepKind::recurrent) {
      const std::size_t bytes = r.weights.plane_bytes() * static_cast<std::size_t>(r.weights.bits);
      row.parameters += r.weights.count + static_cast<std::int64_t>(r.bias.size() + r.state_bias.size());
      row.bytes += static_cast<std::int64_t>(bytes + (r.bias.size() + r.state_bias.size()) * sizeof(float)) +
                   bytes_of_planes(r.planes);
      add_codes(row, {r.weights.data, bytes}, r.weights.bits, r.weights.count);
    }
    std::int64_t vectors = 1;
    for (std::size_t i = 0; i + 1 < row.output_shape.size(); ++i)
      vectors = vectors < 0 || !row.output_shape[i].known() ? -1 : vectors * row.output_shape[i].value;
    if (!row.ranked) vectors = -1;
    const bool look_up = step.kind == StepKind::vector_lookup;
    row.macs = look_up ? 0 : vectors < 0 ? -1 : vectors * (step.weights.count + r.weights.count);
  }

  void take_float(LayerRow& row, const Step& step) {
    for (const std::int32_t v : step.inputs) {
      const auto constant = program_.constants.find(v);
      if (constant == program_.constants.end() || !counted_.insert(v).second) continue;
      const Tensor& tensor = constant->second;
      row.bytes += static_cast<std::int64_t>(tensor.bytes());
      if (tensor.rank() > 0 && tensor.dtype() == DType::f32) row.parameters += tensor.count();
    }
    if (unpacks_weight(step.node)) {
      const ValueType& made = type(step.outputs[0]);
      row.parameters = made.fully_known() ? checked_count(made.static_shape()).value_or(0) : 0;
      name_packed(
          row, step.node,
          [&](std::size_t i) -> const Tensor* {
            const auto it = i < step.inputs.size() ? program_.constants.find(step.inputs[i]) : program_.constants.end();
            return it == program_.constants.end() ? nullptr : &it->second;
          },
          true);
    } else if (row.parameters > 0) {
      row.weight_bits = 32;
      row.encoding = "float32";
    }
    const Op* op = find_op(step.node.domain, step.node.op);
    if (op == nullptr || !op->macs) return;
    std::vector<ValueType> inputs, outputs;
    bool known = true;
    for (const std::int32_t v : step.inputs) {
      inputs.push_back(v < 0 ? ValueType{} : type(v));
      known = known && (v < 0 || inputs.back().fully_known());
    }
    for (const std::int32_t v : step.outputs) {
      outputs.push_back(v < 0 ? ValueType{} : type(v));
      known = known && (v < 0 || outputs.back().fully_known());
    }
    row.macs = known ? op->macs(step.node, inputs, outputs) : -1;
  }

  const Program& program_;
  std::vector<ValueType> types_;
  std::set<std::int32_t> counted_;
  Inspection result_;
};

}  // namespace

Inspection inspect_program(const Program& program, const std::map<std::string, Shape>& shapes) {
  return ProgramInspector(program, shapes).run();
}

}  // namespace nnq::cli
