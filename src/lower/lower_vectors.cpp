// Recurrent networks on multi-bit vectors: look-ups in packed tables, LSTM and GRU with a state that is quantized on
// line, and products with their outputs.
#include <algorithm>

#include "lower/lowering.h"
#include "lower/plane_weights.h"
#include "pack/vector_code.h"

namespace nnq::lower_room {
namespace {

CodeType code_of(const VectorCode& code) {
  if (code.uniform)
    return {.sign = false, .min = -uniform_vector_zero, .max = uniform_vector_zero - 1, .bits = uniform_vector_bits};
  return {.sign = false, .min = 0, .max = (1 << code.bits) - 1, .bits = code.bits};
}

/// The attributes PREFIXbits, ... of a node that quantizes vectors on line.
VectorCode read_code(const Node& node, const std::string& prefix) {
  return {.uniform = node.get_int(prefix + "uniform", 0) != 0,
          .bits = static_cast<int>(node.get_int(prefix + "bits", 0)),
          .cycles = static_cast<int>(node.get_int(prefix + "cycles", 2))};
}

void set_code(Recurrence& r, const VectorCode& code) {
  r.uniform = code.uniform;
  r.state_bits = code.bits;
  r.state_cycles = code.cycles;
}

/// Program values for vectors of graph value `name`, whose type `type` is: codes of that shape, scales beside them.
Lowering::Vectors new_vectors(Lowering& l, const std::string& name, ValueType type, const VectorCode& code) {
  Lowering::Vectors v;
  type.dtype = DType::f32;
  // The graph's value is the levels: these have other names.
  v.codes =
      l.program.add_value({.name = name + ".codes", .kind = ValueKind::codes, .type = type, .code = code_of(code)});
  if (type.ranked && !type.shape.empty()) type.shape.back() = Dim(std::int64_t{code.scales()});
  v.uniform = code.uniform;
  v.scales = l.program.add_value({.name = name + ".scales", .kind = ValueKind::tensor, .type = type, .code = {}});
  return v;
}

const Lowering::Vectors* vectors_read(const Lowering& l, const std::string& value) {
  const auto found = l.vectors.find(value);
  return found == l.vectors.end() || found->second.sequence ? nullptr : &found->second;
}

std::int32_t optional_tensor(Lowering& l, const Node& node, std::size_t i) {
  return i < node.inputs.size() && !node.inputs[i].empty() ? l.tensor(node.inputs[i]) : -1;
}

bool refuse(Lowering& l, const Node& node, std::string why) {
  l.why_float[node.outputs[0]] = std::move(why);
  return false;
}

/// Rows of a table of signs.
bool lower_lookup(Lowering& l, const Node& node) {
  const ValueType *numbers = l.type(node.inputs[1]), *type = l.type(node.outputs[0]);
  if (node.get_int("axis", 0) != 0 || numbers == nullptr || type == nullptr || !numbers->ranked ||
      numbers->shape.size() > 2 || numbers->dtype != DType::i64)
    return false;
  PlaneMatrix table;
  if (std::string why = read_matrix(l, node.inputs[0], true, table); !why.empty()) return refuse(l, node, why);
  if (!table.planes.weight_signs || !table.planes.weight_offset.empty())
    return refuse(l, node, "the table's levels are not symmetric about 0");
  const Lowering::Vectors made = new_vectors(l, node.outputs[0], *type, {.bits = table.weights.bits});
  const std::int32_t input = l.tensor(node.inputs[1]);
  Step& step = l.add(StepKind::vector_lookup, node.name, {input}, {made.codes, made.scales});
  step.out_channels = table.rows;
  step.in_channels = table.columns;
  step.weights = table.weights;
  step.planes = table.planes;
  step.note = "rows of a packed table";
  l.vectors[node.outputs[0]] = made;
  return true;
}

/// A float tensor quantized on line.
bool lower_quantize(Lowering& l, const Node& node) {
  const ValueType* type = l.type(node.outputs[0]);
  if (type == nullptr || !type->ranked || type->shape.empty() || type->shape.size() > 3) return false;
  const VectorCode code = read_code(node, "");
  const Lowering::Vectors made = new_vectors(l, node.outputs[0], *type, code);
  Step& step = l.add(StepKind::vector_quantize, node.name, {l.tensor(node.inputs[0])}, {made.codes, made.scales});
  set_code(step.recurrence, code);
  step.note = "vectors quantized on line";
  l.vectors[node.outputs[0]] = made;
  return true;
}

/// The usual forward layer that docs/quantized-graph.md gives a quantized state.
bool plain(const Node& node) {
  const auto has = [&](std::size_t i) { return i < node.inputs.size() && !node.inputs[i].empty(); };
  return node.get_string("direction", "forward") == "forward" && node.get_int("layout", 0) == 0 &&
         !node.has("activations") && !node.has("clip") && node.get_int("input_forget", 0) == 0 && !has(4) && !has(7) &&
         (node.op != "GRU" || node.get_int("linear_before_reset", 0) != 0);
}

/// Biases of both products; those of an LSTM are one.
bool read_biases(const Lowering& l, const Node& node, Recurrence& r) {
  if (node.inputs.size() < 4 || node.inputs[3].empty()) return true;
  const Tensor* bias = l.constant(node, 3);
  const std::int64_t rows = r.gates() * r.hidden;
  if (bias == nullptr || bias->dtype() != DType::f32 || bias->count() != 2 * rows) return false;
  const float* values = bias->as<float>();
  r.bias.assign(values, values + rows);
  if (r.gru) {
    r.state_bias.assign(values + rows, values + 2 * rows);
  } else {
    for (std::int64_t i = 0; i < rows; ++i) r.bias[static_cast<std::size_t>(i)] += values[rows + i];
  }
  return true;
}

bool lower_recurrent(Lowering& l, const Node& node) {
  if (!plain(node)) return false;
  const Lowering::Vectors* x = vectors_read(l, node.inputs[0]);
  if (x == nullptr) return refuse(l, node, "the input is no multi-bit vector");
  Recurrence r;
  r.gru = node.op == "GRU";
  const VectorCode code = read_code(node, "state_");
  set_code(r, code);
  if (x->uniform != r.uniform) return refuse(l, node, "input and state are vectors of two kinds");
  PlaneMatrix of_input, of_state;
  for (const auto& [input, matrix] : {std::pair{1, &of_input}, std::pair{2, &of_state}})
    if (std::string why = read_matrix(l, node.inputs[static_cast<std::size_t>(input)], true, *matrix, r.uniform);
        !why.empty())
      return refuse(l, node, why);
  r.hidden = of_state.columns;
  if (of_input.rows != r.gates() * r.hidden || of_state.rows != of_input.rows) return false;
  if (!read_biases(l, node, r)) return refuse(l, node, "biases are not constant");
  const auto graph_output = [&](std::size_t i) { return i < node.outputs.size() ? node.outputs[i] : std::string(); };
  ValueType type;
  if (const ValueType* y = l.type(graph_output(0)); y != nullptr && y->ranked && y->shape.size() == 4) {
    type = *y;
    type.shape.erase(type.shape.begin() + 1);  // [time, 1, batch, hidden]
  }
  const std::string name = graph_output(0).empty() ? node.name : graph_output(0);
  Lowering::Vectors made = new_vectors(l, name, type, code);
  made.sequence = true;
  std::vector<std::int32_t> inputs{x->codes, x->scales, optional_tensor(l, node, 5)}, outputs{made.codes, made.scales};
  if (!r.gru) inputs.push_back(optional_tensor(l, node, 6));
  for (std::size_t i = 1; i < (r.gru ? 2U : 3U); ++i) {
    outputs.push_back(graph_output(i).empty() ? -1 : l.new_value(graph_output(i), ValueKind::tensor));
    if (outputs.back() >= 0) l.set_tensor(graph_output(i), outputs.back());
  }
  Step& step = l.add(StepKind::recurrent, node.name, std::move(inputs), std::move(outputs));
  step.out_channels = of_input.rows;
  step.in_channels = of_input.columns;
  step.weights = of_input.weights;
  step.planes = of_input.planes;
  r.weights = of_state.weights;
  r.planes = of_state.planes;
  step.note = std::string("both products ") + (r.uniform ? "of integers" : "on bit planes") +
              ", the state quantized on line: " + std::to_string(step.weights.bits) + " bits of weights x " +
              std::to_string(r.state_bits) + " of the state";
  step.recurrence = std::move(r);
  if (!graph_output(0).empty()) l.vectors[graph_output(0)] = made;
  return true;
}

/// Squeeze of a sequence's one direction, Identity.
bool lower_movement_of_vectors(Lowering& l, const Node& node) {
  const auto found = l.vectors.find(node.inputs[0]);
  if (found == l.vectors.end()) return false;
  Lowering::Vectors moved = found->second;
  if (node.is("Squeeze")) {
    const Tensor* axes = l.constant(node, 1);
    if (!moved.sequence || axes == nullptr || axes->count() != 1 || axes->as<std::int64_t>()[0] != 1) return false;
    moved.sequence = false;
  }
  l.vectors[node.outputs[0]] = moved;
  return true;
}

/// MatMul with packed weights, and the bias behind it.
bool lower_product(Lowering& l, const Node& node) {
  const Lowering::Vectors* x = vectors_read(l, node.inputs[0]);
  if (x == nullptr) return false;
  PlaneMatrix matrix;
  if (std::string why = read_matrix(l, node.inputs[1], false, matrix, x->uniform); !why.empty())
    return refuse(l, node, why);
  std::string end = node.outputs[0];
  std::vector<float> bias;
  if (const Node* add = l.only_reader(end); add != nullptr && add->is("Add")) {
    const Tensor* other = l.constant(*add, add->inputs[0] == end ? 1 : 0);
    if (other != nullptr && other->dtype() == DType::f32 && other->shape() == Shape{matrix.rows}) {
      bias = other->to_float();
      l.take(*add);
      end = add->outputs[0];
    }
  }
  const std::int32_t y = l.new_value(end, ValueKind::tensor);
  Step& step = l.add(StepKind::vector_dense, node.name, {x->codes, x->scales}, {y});
  step.out_channels = matrix.rows;
  step.in_channels = matrix.columns;
  step.weights = matrix.weights;
  step.planes = matrix.planes;
  step.epilogue.b = std::move(bias);
  step.note = std::string(x->uniform ? "on integers: " : "on bit planes: ") + std::to_string(step.weights.bits) +
              " bits of weights";
  l.set_tensor(end, y);
  return true;
}

}  // namespace

bool lower_vectors(Lowering& l, const Node& node) {
  if (node.is("Gather") && l.index.producer.contains(node.inputs[0])) return lower_lookup(l, node);
  if (node.is("QuantizeVectors", kNnqDomain)) return lower_quantize(l, node);
  if (node.is("LSTM", kNnqDomain) || node.is("GRU", kNnqDomain)) return lower_recurrent(l, node);
  if (node.is("Squeeze") || node.is("Identity")) return lower_movement_of_vectors(l, node);
  return node.is("MatMul") && lower_product(l, node);
}

std::int32_t vector_tensor(Lowering& l, const std::string& value, const Lowering::Vectors& from) {
  const std::int32_t y = l.new_value(value, ValueKind::tensor);
  if (!from.sequence) {
    l.add(StepKind::vector_levels, value, {from.codes, from.scales}, {y});
    return y;
  }
  ValueType type = l.program.values[static_cast<std::size_t>(from.codes)].type;
  const std::int32_t levels =
      l.program.add_value({.name = value + ".levels", .kind = ValueKind::tensor, .type = type, .code = {}});
  const std::int32_t axes = l.program.add_value(
      {.name = value + ".axes", .kind = ValueKind::tensor, .type = ValueType::of(DType::i64, {1}), .code = {}});
  l.program.constants[axes] = Tensor::of<std::int64_t>({1}, std::vector<std::int64_t>{1});
  l.add(StepKind::vector_levels, value, {from.codes, from.scales}, {levels});
  Step& step = l.add(StepKind::float_op, value + ".unsqueeze", {levels, axes}, {y});
  step.node = Node{.name = value + ".unsqueeze",
                   .op = "Unsqueeze",
                   .domain = "",
                   .inputs = {value + ".levels", value + ".axes"},
                   .outputs = {value},
                   .attributes = {}};
  step.opset = l.graph.opset;
  return y;
}

}  // namespace nnq::lower_room
