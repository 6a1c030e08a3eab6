// Quantizers of float values, and Affine on integers.
#include <algorithm>

#include "lower/lowering.h"

namespace nnq::lower_room {
namespace {

/// A quantizer of integers: sums that a layer left because several read them, sums of an Add, codes of another scale.
bool quantize_integers(Lowering& l, const Node& node) {
  std::string from;
  Tail tail = read_chain_above(l, node, from);
  if (!tail.code) return false;
  const std::int32_t input = l.integers(from)->value;
  const std::int32_t output = l.new_value(node.outputs[0], ValueKind::codes, *tail.code);
  Step& step = l.add(StepKind::threshold, node.name, {input}, {output});
  step.epilogue = std::move(tail.epilogue);
  step.note = std::move(tail.note);
  l.set_integers(node.outputs[0], {.value = output});
  return true;
}

}  // namespace

bool lower_quantizer(Lowering& l, const Node& node) {
  const bool sign = node.is("Sign", kNnqDomain);
  if (!sign && !node.is("Quantize", kNnqDomain)) return false;
  if (quantize_integers(l, node)) return true;
  CodeType code{.sign = true, .min = -1, .max = 1, .bits = 1};
  float scale = 1;
  if (!sign) {
    const Tensor* given = l.constant(node, 1);
    if (given == nullptr || given->dtype() != DType::f32 || given->count() != 1) return false;
    scale = given->as<float>()[0];
    code = {.sign = false,
            .min = static_cast<std::int32_t>(node.get_int("min", 0)),
            .max = static_cast<std::int32_t>(node.get_int("max", 255)),
            .bits = static_cast<int>(node.get_int("bits", 8))};
    if (!(scale > 0) || code.min > code.max || code.min < -255 || code.max > 255) return false;
  }
  const std::int32_t input = l.tensor(node.inputs[0]);
  const std::int32_t output = l.new_value(node.outputs[0], ValueKind::codes, code);
  l.add(StepKind::quantize, node.name, {input}, {output}).scale = scale;
  l.set_integers(node.outputs[0], {.value = output});
  return true;
}

bool lower_affine(Lowering& l, const Node& node) {
  if (!node.is("Affine", kNnqDomain) || node.get_int("axis", 1) != 1) return false;
  const Integers* x = l.integers(node.inputs[0]);
  const Tensor *a = l.constant(node, 1), *b = l.constant(node, 2);
  if (x == nullptr || !x->plain() || a == nullptr || b == nullptr) return false;
  if (x->flattened && (a->count() != 1 || b->count() != 1)) return false;
  Integers y = *x;
  y.a = a->to_float();
  y.b = b->to_float();
  const std::size_t width = std::max(y.a.size(), y.b.size());
  if (y.a.size() == 1) y.a.resize(width, y.a[0]);
  if (y.b.size() == 1) y.b.resize(width, y.b[0]);
  l.set_integers(node.outputs[0], std::move(y));
  return true;
}

}  // namespace nnq::lower_room
