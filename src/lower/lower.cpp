// Graph to program: one walk over the nodes; for each the first pass that knows it. The list of passes is the pipeline.
#include "nnq/lower.h"

#include <algorithm>

#include "core/atomic_file.h"
#include "lower/lowering.h"
#include "nnq/error.h"
#include "nnq/passes.h"
#include "nnq/quantize.h"

namespace nnq {
namespace lower_room {

Lowering::Lowering(const Graph& g) : graph(g), index(g), types(infer_types(g)), taken(g.nodes.size(), false) {}

const Integers* Lowering::integers(const std::string& value) const {
  const auto it = integers_.find(value);
  return it == integers_.end() ? nullptr : &it->second;
}

const ValueType* Lowering::type(const std::string& value) const {
  const auto it = types.find(value);
  return it == types.end() ? nullptr : &it->second;
}

std::int32_t Lowering::new_value(const std::string& value, ValueKind kind, const CodeType& code_type) {
  const ValueType* t = type(value);
  return program.add_value({.name = value, .kind = kind, .type = t != nullptr ? *t : ValueType{}, .code = code_type});
}

std::optional<Lowering::Range> Lowering::range(std::int32_t value) const {
  if (is_codes(value)) return Range{code(value).min, code(value).max};
  const auto it = accumulator_ranges.find(value);
  return it == accumulator_ranges.end() ? std::nullopt : std::optional(it->second);
}

Step& Lowering::add(StepKind kind, const std::string& name, std::vector<std::int32_t> inputs,
                    std::vector<std::int32_t> outputs) {
  Step step;
  step.kind = kind;
  step.name = name;
  step.inputs = std::move(inputs);
  step.outputs = std::move(outputs);
  program.steps.push_back(std::move(step));
  return program.steps.back();
}

void Lowering::add_real(const std::string& name, const Integers& from, std::int32_t output) {
  Step& step = add(from.levels.empty() ? StepKind::dequantize : StepKind::levels, name, {from.value}, {output});
  step.epilogue.a = from.a;
  step.epilogue.b = from.b;
  step.planes.levels = from.levels;
}

std::int32_t Lowering::tensor(const std::string& value) {
  if (const auto it = tensors_.find(value); it != tensors_.end()) return it->second;
  if (const Tensor* constant_value = graph.initializer(value); constant_value != nullptr) {
    const std::int32_t number = new_value(value, ValueKind::tensor);
    program.constants[number] = *constant_value;
    return tensors_[value] = number;
  }
  if (const auto weight = unpacked.find(value); weight != unpacked.end()) {
    lower_float(*this, *weight->second.node);
    return tensors_.at(value);
  }
  if (const auto found = vectors.find(value); found != vectors.end())
    return tensors_[value] = vector_tensor(*this, value, Vectors(found->second));
  const Integers* source = integers(value);
  if (source == nullptr) throw Error("nothing makes value '" + value + "'", {}, {}, /*fault=*/true);
  const Integers from = *source;
  std::int32_t number = new_value(value, ValueKind::tensor);
  if (from.flattened) {  // the image is dequantized, then flattened in ONNX order
    const ValueType image = program.values[static_cast<std::size_t>(from.value)].type;
    const std::int32_t whole =
        program.add_value({.name = value + ".image", .kind = ValueKind::tensor, .type = image, .code = {}});
    add_real(value, from, whole);
    Step& flatten = add(StepKind::float_op, value + ".flatten", {whole}, {number});
    flatten.node = Node{.name = value + ".flatten",
                        .op = "Flatten",
                        .domain = "",
                        .inputs = {value + ".image"},
                        .outputs = {value},
                        .attributes = {{"axis", std::int64_t{1}}}};
    flatten.opset = graph.opset;
  } else {
    add_real(value, from, number);
  }
  return tensors_[value] = number;
}

const Node* Lowering::only_reader(const std::string& value) const {
  const auto it = index.consumers.find(value);
  if (it == index.consumers.end() || it->second.size() != 1 || graph.is_output(value) || taken[it->second[0]])
    return nullptr;
  return &graph.nodes[it->second[0]];
}

const Tensor* Lowering::constant(const Node& node, std::size_t input) const {
  return input < node.inputs.size() && !node.inputs[input].empty() ? graph.initializer(node.inputs[input]) : nullptr;
}

namespace {

/// Why a node runs in float, for `inspect`.
std::string why_float(Lowering& l, const Node& node) {
  if (unpacks_weight(node)) return "weights of a float layer";
  if (const auto why = l.why_float.find(node.outputs.empty() ? "" : node.outputs[0]); why != l.why_float.end())
    return why->second;
  if (!node.is("Conv") && !node.is("Gemm") && !node.is("MatMul")) return "no integer form";
  if (l.integers(node.inputs[0]) == nullptr && !l.borders.contains(node.inputs[0])) return "input is float";
  return integer_weight(l, node) == nullptr ? "weights are float" : "no integer form";
}

}  // namespace

bool lower_float(Lowering& l, const Node& node) {
  std::string why = why_float(l, node);
  std::vector<std::int32_t> inputs, outputs;
  for (const std::string& input : node.inputs) inputs.push_back(input.empty() ? -1 : l.tensor(input));
  for (const std::string& output : node.outputs) {
    outputs.push_back(output.empty() ? -1 : l.new_value(output, ValueKind::tensor));
    if (!output.empty()) l.set_tensor(output, outputs.back());
  }
  Step& step = l.add(StepKind::float_op, node.name, std::move(inputs), std::move(outputs));
  step.node = node;
  step.opset = node.domain == kNnqDomain ? kNnqOpset : l.graph.opset;
  step.note = std::move(why);
  return true;
}

namespace {

/// The pipeline: the first pass that takes a node lowers it; lower_float takes everything.
constexpr NodePass passes[] = {lower_vectors, lower_quantizer, lower_affine, lower_levels, lower_layer,    lower_planes,
                               lower_add,     lower_relu,      lower_concat, lower_pool,   lower_movement, lower_float};

/// Packed weights are unpacked once here; a layer that goes integer takes its own packed form instead, and the float
/// one is dropped.
bool unpack_weights(Lowering& l, const Node& node) {
  if (!unpacks_weight(node)) return false;
  std::vector<Tensor> inputs, outputs;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Tensor* value = l.constant(node, i);
    if (value == nullptr) return false;
    inputs.push_back(*value);
  }
  throw_if_error(evaluate_node(node, kNnqOpset, inputs, outputs), "node '" + node.name + "'");
  l.unpacked[node.outputs[0]] = {.node = &node, .values = outputs.at(0)};
  l.take(node);
  return true;
}

/// Drops steps, constants and values nothing reads, and renumbers the rest.
void remove_unused(Program& program) {
  std::vector<bool> needed(program.values.size(), false);
  const auto need = [&](const std::vector<std::int32_t>& list) {
    for (const std::int32_t v : list) {
      if (v >= 0) needed[static_cast<std::size_t>(v)] = true;
    }
  };
  need(program.outputs);
  std::vector<Step> kept;
  for (std::size_t i = program.steps.size(); i-- > 0;) {
    Step& step = program.steps[i];
    if (std::none_of(step.outputs.begin(), step.outputs.end(),
                     [&](std::int32_t v) { return v >= 0 && needed[static_cast<std::size_t>(v)]; }))
      continue;
    need(step.inputs);
    need(step.outputs);
    kept.push_back(std::move(step));
  }
  need(program.inputs);
  program.steps.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  std::vector<std::int32_t> number(program.values.size(), -1);
  std::vector<ProgramValue> values;
  for (std::size_t v = 0; v < program.values.size(); ++v) {
    if (!needed[v]) continue;
    number[v] = static_cast<std::int32_t>(values.size());
    values.push_back(std::move(program.values[v]));
  }
  const auto renumber = [&](std::vector<std::int32_t>& list) {
    for (std::int32_t& v : list) v = v < 0 ? -1 : number[static_cast<std::size_t>(v)];
  };
  for (Step& step : program.steps) {
    renumber(step.inputs);
    renumber(step.outputs);
  }
  renumber(program.inputs);
  renumber(program.outputs);
  std::map<std::int32_t, Tensor> constants;
  for (auto& [v, tensor] : program.constants) {
    if (needed[static_cast<std::size_t>(v)]) constants[number[static_cast<std::size_t>(v)]] = std::move(tensor);
  }
  program.constants = std::move(constants);
  program.values = std::move(values);
}

}  // namespace
}  // namespace lower_room

Program lower(const Graph& given) {
  using namespace lower_room;
  Graph graph = simplify(given);
  // In a quantized graph every float operation is as training simulated it; a float network may be rounded otherwise.
  const bool quantized =
      std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) { return node.domain == kNnqDomain; });
  if (!quantized) graph = fold_batch_norm(std::move(graph));
  graph = pool_integers(quantize_before_concat(std::move(graph)));
  for (const Node& node : graph.nodes) {
    if (node.is("Quantizer", kNnqDomain))
      throw Error("still holds training quantizers", "node '" + node.name + "'",
                  "lower the frozen model (model.onnx of the run), not a checkpoint");
  }
  Lowering l(graph);
  l.program.metadata = graph.metadata;
  for (const GraphInput& input : graph.inputs) {
    const std::int32_t number =
        l.program.add_value({.name = input.name, .kind = ValueKind::tensor, .type = input.type, .code = {}});
    l.program.inputs.push_back(number);
    l.set_tensor(input.name, number);
  }
  for (const Node& node : graph.nodes) unpack_weights(l, node);
  for (const Node& node : graph.nodes) {
    if (l.taken[l.number_of(node)]) continue;
    for (const NodePass pass : passes) {
      if (pass(l, node)) break;
    }
    l.take(node);
  }
  for (const std::string& output : graph.outputs) l.program.outputs.push_back(l.tensor(output));
  remove_unused(l.program);
  throw_if_error(check_program(l.program), graph.name);
  return std::move(l.program);
}

std::size_t write_program(const Program& program, const std::filesystem::path& file) {
  const std::vector<std::byte> bytes = serialize_program(program);
  write_file_atomically(file, std::span<const std::byte>(bytes));
  return bytes.size();
}

}  // namespace nnq
