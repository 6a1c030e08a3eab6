// Freezing what only moves or compares values: it works on codes, and their scale stays pending.
#include <algorithm>
#include <cmath>

#include "nnq/error.h"
#include "quantize/freezer.h"
#include "quantize/layers.h"

namespace nnq::quantize {
namespace {

/// Product of the dimensions from `first` on; -1 when one is not known.
std::int64_t product_from(const SymbolicShape& shape, std::size_t first) {
  std::int64_t product = 1;
  for (std::size_t d = first; d < shape.size(); ++d) {
    if (!shape[d].known()) return -1;
    product *= shape[d].value;
  }
  return product;
}

/// Axis of `to` that runs over the same channels as axis `axis` of `from` when both hold them as their fastest index.
std::int64_t channel_axis_after(const ValueType& from, std::int64_t axis, const ValueType& to) {
  if (!from.ranked || !to.ranked || axis >= static_cast<std::int64_t>(from.shape.size())) return -1;
  const auto a = static_cast<std::size_t>(axis);
  if (!from.shape[a].known() || product_from(from.shape, a + 1) != 1) return -1;
  for (std::size_t d = to.shape.size(); d-- > 0;) {
    if (to.shape[d] == from.shape[a] && product_from(to.shape, d + 1) == 1) return static_cast<std::int64_t>(d);
    if (!to.shape[d].known() || to.shape[d].value != 1) return -1;
  }
  return -1;
}

}  // namespace

void Freezer::identity(const Node& node) {
  if (!moves_values(node)) return copy(node);
  forms_[node.outputs[0]] = form(node.inputs[0]);
}

void Freezer::move(const Node& node) {
  if (weights_.contains(node.inputs[0])) return copy(node);  // rows of a weight turned back (canonical.h)
  const FormPtr x = form(node.inputs[0]);
  if (!x->per_channel()) return set(node, apply_to_codes(node));
  std::int64_t axis = -1;
  if (node.op == "Transpose") {
    const std::vector<std::int64_t> order = node.get_ints("perm");
    const auto it = std::find(order.begin(), order.end(), x->axis);
    if (it != order.end()) axis = it - order.begin();
  } else if (types_.contains(node.inputs[0]) && types_.contains(node.outputs[0])) {
    axis = channel_axis_after(types_.at(node.inputs[0]), x->axis, types_.at(node.outputs[0]));
  }
  if (axis < 0) return copy(node);
  const FormPtr made = apply_to_codes(node);
  made->axis = axis;
  set(node, made);
}

void Freezer::max_pool(const Node& node) {
  if (!commutes_with_quantizers(node) || !form(node.inputs[0])->non_decreasing()) return copy(node);
  set(node, apply_to_codes(node));
}

/// Sums of integers are exact below 2^24; they are divided once. Other values are averaged as they are.
void Freezer::average_pool(const Node& node) {
  const FormPtr x = form(node.inputs[0]);
  const bool pads_counted = node.get_int("count_include_pad", 0) != 0;
  std::int64_t count = -1;
  if (node.op == "AveragePool") {
    count = 1;
    for (const std::int64_t k : node.get_ints("kernel_shape")) count *= k;
  } else if (const auto type = types_.find(node.inputs[0]); type != types_.end() && type->second.ranked) {
    count = product_from(type->second.shape, 2);
  }
  const bool exact = count >= 0 ? x->magnitude() * static_cast<double>(count) < kExactIntegers : x->code;
  if (!x->integer || !exact || (pads_counted && !x->scaled_only())) return copy(node);
  const FormPtr made = apply_to_codes(node);
  made->integer = made->code = false;
  set(node, made);
}

void Freezer::relu(const Node& node) {
  const FormPtr x = form(node.inputs[0]);
  if (x->code && x->lo >= 0 && x->one_step() && x->a[0] > 0) {
    forms_[node.outputs[0]] = x;  // already >= 0
  } else if (x->code && x->one_step() && x->a[0] > 0) {
    // Codes and their sums stay integers: relu(v) * a is relu(v * a), to the bit.
    const FormPtr made = apply_to_codes(node);
    made->lo = 0;
    made->hi = std::max(made->hi, 0.0);
    set(node, made);
  } else {
    copy(node);
  }
}

/// The border is divided by the step; it stays an integer for the borders that training can mean (0, -1, +1).
void Freezer::pad(const Node& node) {
  const FormPtr x = form(node.inputs[0]);
  const std::string mode = node.get_string("mode", "constant");
  if (!x->one_step() || x->identity() || node.inputs.size() < 2) return copy(node);
  if (mode != "constant") return set(node, apply_to_codes(node));
  double border = 0;
  if (node.inputs.size() > 2 && !node.inputs[2].empty()) {
    const Tensor* constant_value = constant(node.inputs[2]);
    if (constant_value == nullptr || constant_value->count() != 1) return copy(node);
    border = static_cast<double>(constant_value->as<float>()[0]);
  }
  const double code = std::nearbyint(border / x->a[0]);
  if (static_cast<float>(code * x->a[0]) != static_cast<float>(border) || std::abs(code) > 255) return copy(node);
  Node on_codes = node;
  on_codes.inputs.resize(std::max<std::size_t>(node.inputs.size(), 3));
  if (code != 0) {
    on_codes.inputs[2] = unique(node.outputs[0] + ".border");
    new_.initializers[on_codes.inputs[2]] = Tensor::scalar(static_cast<float>(code));
  } else {
    on_codes.inputs[2].clear();
  }
  for (std::size_t i = 1; i < on_codes.inputs.size(); ++i)
    if (i != 2) on_codes.inputs[i] = real(on_codes.inputs[i]);
  if (on_codes.inputs.size() == 3 && on_codes.inputs[2].empty()) on_codes.inputs.resize(2);
  on_codes.inputs[0] = x->value;
  auto made = std::make_shared<Form>(*x);
  made->real.clear();
  made->lo = std::min(made->lo, code);
  made->hi = std::max(made->hi, code);
  made->value = add(std::move(on_codes), unique(node.outputs[0] + ".codes"));
  set(node, std::move(made));
}

void Freezer::concat(const Node& node) {
  const FormPtr first = form(node.inputs[0]);
  const bool same_codes = std::all_of(node.inputs.begin(), node.inputs.end(), [&](const std::string& input) {
    const FormPtr x = form(input);
    return x->code && x->one_step() && x->a[0] == first->a[0];
  });
  if (!same_codes) return copy(node);
  auto made = std::make_shared<Form>(*first);
  made->real.clear();
  Node on_codes = node;
  for (std::string& input : on_codes.inputs) {
    const FormPtr x = form(input);
    made->lo = std::min(made->lo, x->lo);
    made->hi = std::max(made->hi, x->hi);
    input = x->value;
  }
  made->value = add(std::move(on_codes), unique(node.outputs[0] + ".codes"));
  set(node, std::move(made));
}

}  // namespace nnq::quantize
