// Residual adds, Relu and Concat of integers (without weights).
#include <algorithm>

#include "lower/lowering.h"

namespace nnq::lower_room {
namespace {

/// Integers that a step without weights can take: as they are, of a known range.
bool whole(const Lowering& l, const Integers* x) {
  return x != nullptr && x->plain() && !x->flattened && l.range(x->value).has_value();
}

bool fits_codes(const Lowering::Range& range) { return range.high >= 1 && range.high <= 255; }

}  // namespace

std::int64_t channels_of(const Lowering& l, const std::string& value) {
  const ValueType* t = l.type(value);
  return t == nullptr || !t->ranked || (t->shape.size() != 2 && t->shape.size() != 4) ? -1 : t->shape[1].value;
}

Epilogue relu_of_integers(std::int64_t high, CodeType& code) {
  code = {.sign = false, .min = 0, .max = static_cast<std::int32_t>(high), .bits = 1};
  while (code.max >> code.bits != 0) ++code.bits;
  Epilogue e;
  e.kind = Epilogue::Kind::requantize;
  e.a = {1};
  e.b = {0};
  e.relu = true;
  e.min = code.min;
  e.max = code.max;
  return e;
}

bool lower_add(Lowering& l, const Node& node) {
  if (!node.is("Add") || node.inputs.size() != 2) return false;
  const Integers *x = l.integers(node.inputs[0]), *y = l.integers(node.inputs[1]);
  const ValueType *tx = l.type(node.inputs[0]), *ty = l.type(node.inputs[1]);
  if (!whole(l, x) || !whole(l, y) || tx == nullptr || ty == nullptr || !(*tx == *ty)) return false;
  const Lowering::Range a = *l.range(x->value), b = *l.range(y->value), sum{a.low + b.low, a.high + b.high};
  const std::int64_t channels = channels_of(l, node.inputs[0]);
  if (channels < 1 || std::max(-sum.low, sum.high) >= exact_limit) return false;
  Step step;
  step.kind = StepKind::add;
  step.name = node.name;
  step.inputs = {x->value, y->value};
  step.out_channels = channels;
  step.accumulator_min = static_cast<std::int32_t>(sum.low);
  step.accumulator_max = static_cast<std::int32_t>(sum.high);
  Tail tail =
      read_tail(l, node.outputs[0],
                {.channels = channels, .low = step.accumulator_min, .high = step.accumulator_max, .layer = false});
  const Node* reader = l.only_reader(node.outputs[0]);
  if (!tail.code && reader != nullptr && reader->is("Relu") && fits_codes(sum)) {
    tail.code.emplace();
    tail.epilogue = relu_of_integers(sum.high, *tail.code);
    tail.end = reader->outputs[0];
    tail.nodes = {reader};
    tail.note = "codes added as integers, negative sums 0";
  }
  for (const Node* taken : tail.nodes) l.take(*taken);
  if (tail.code) {
    step.epilogue = std::move(tail.epilogue);
    step.note = std::move(tail.note);
    step.outputs = {l.new_value(tail.end, ValueKind::codes, *tail.code)};
  } else {
    tail.end = node.outputs[0];
    step.note = "integers added";
    step.outputs = {l.new_value(tail.end, ValueKind::accumulator)};
    l.accumulator_ranges[step.outputs[0]] = sum;
  }
  l.set_integers(tail.end, {.value = step.outputs[0]});
  l.program.steps.push_back(std::move(step));
  return true;
}

bool lower_relu(Lowering& l, const Node& node) {
  if (!node.is("Relu")) return false;
  const Integers* x = l.integers(node.inputs[0]);
  if (!whole(l, x) || channels_of(l, node.inputs[0]) < 1) return false;
  const Lowering::Range range = *l.range(x->value);
  if (!fits_codes(range)) return false;
  CodeType code;
  Epilogue epilogue = relu_of_integers(range.high, code);
  const std::int32_t input = x->value, output = l.new_value(node.outputs[0], ValueKind::codes, code);
  Step& step = l.add(StepKind::threshold, node.name, {input}, {output});
  step.epilogue = std::move(epilogue);
  step.note = "negative integers become 0";
  l.set_integers(node.outputs[0], {.value = output});
  return true;
}

bool lower_concat(Lowering& l, const Node& node) {
  if (!node.is("Concat") || node.inputs.empty()) return false;
  const std::int64_t channels = channels_of(l, node.outputs[0]);
  const ValueType* type = l.type(node.outputs[0]);
  if (channels < 1) return false;
  const std::int64_t axis = node.get_int("axis", 1), rank = static_cast<std::int64_t>(type->shape.size());
  if (axis != 1 && axis != 1 - rank) return false;
  CodeType code;
  Step step;
  step.kind = StepKind::concat;
  step.name = node.name;
  for (const std::string& input : node.inputs) {
    const Integers* x = l.integers(input);
    if (!whole(l, x) || !l.is_codes(x->value) || channels_of(l, input) < 1) return false;
    const CodeType& in = l.code(x->value);
    if (step.inputs.empty()) code = in;
    if (in.sign != code.sign) return false;
    code.min = std::min(code.min, in.min);
    code.max = std::max(code.max, in.max);
    code.bits = std::max(code.bits, in.bits);
    step.inputs.push_back(x->value);
  }
  if (code.max - code.min > 255) return false;
  step.note = "channels of codes side by side";
  step.outputs = {l.new_value(node.outputs[0], ValueKind::codes, code)};
  l.set_integers(node.outputs[0], {.value = step.outputs[0]});
  l.program.steps.push_back(std::move(step));
  return true;
}

}  // namespace nnq::lower_room
