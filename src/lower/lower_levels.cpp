// Codes with thresholds and levels of their own: Bucketize makes them, Levels is remembered until something needs real
// values.
#include <algorithm>
#include <cmath>

#include "lower/lowering.h"

namespace nnq::lower_room {
namespace {

bool finite_and_ascending(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }) &&
         std::is_sorted(values.begin(), values.end());
}

bool lower_bucketize(Lowering& l, const Node& node) {
  CodeType code;
  std::vector<float> thresholds;
  if (!read_bucketize(l, node, code, thresholds)) return false;
  const std::int32_t input = l.tensor(node.inputs[0]);
  const std::int32_t output = l.new_value(node.outputs[0], ValueKind::codes, code);
  l.add(StepKind::bucketize, node.name, {input}, {output}).planes.thresholds = std::move(thresholds);
  l.set_integers(node.outputs[0], {.value = output});
  return true;
}

}  // namespace

bool read_bucketize(const Lowering& l, const Node& node, CodeType& code, std::vector<float>& thresholds) {
  const Tensor* given = node.is("Bucketize", kNnqDomain) ? l.constant(node, 1) : nullptr;
  if (given == nullptr || given->dtype() != DType::f32 || given->rank() != 1 || given->count() < 1) return false;
  thresholds = given->to_float();
  code = {.sign = false,
          .min = 0,
          .max = static_cast<std::int32_t>(thresholds.size()),
          .bits = static_cast<int>(node.get_int("bits", 8))};
  return code.max <= 255 && finite_and_ascending(thresholds);
}

bool lower_levels(Lowering& l, const Node& node) {
  if (node.is("Bucketize", kNnqDomain)) return lower_bucketize(l, node);
  if (!node.is("Levels", kNnqDomain)) return false;
  const Integers* x = l.integers(node.inputs[0]);
  const Tensor* table = l.constant(node, 1);
  if (x == nullptr || !x->plain() || !l.is_codes(x->value) || table == nullptr || table->dtype() != DType::f32)
    return false;
  const CodeType& code = l.code(x->value);
  std::vector<float> levels = table->to_float();
  if (code.sign || code.min != 0 || static_cast<std::int64_t>(levels.size()) <= code.max ||
      !finite_and_ascending(levels))
    return false;
  levels.resize(static_cast<std::size_t>(code.max) + 1);
  Integers y = *x;
  y.levels = std::move(levels);
  l.set_integers(node.outputs[0], std::move(y));
  return true;
}

}  // namespace nnq::lower_room
