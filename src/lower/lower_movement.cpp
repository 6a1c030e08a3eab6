// Pooling and movement of codes.
#include <algorithm>
#include <cmath>

#include "lower/lowering.h"

namespace nnq::lower_room {
namespace {

using Ints = std::vector<std::int64_t>;

/// A value for the integers behind `value` that have moved as `x`. With a scale pending they are not the graph's value:
/// they get a name of their own.
std::int32_t moved(Lowering& l, const std::string& value, const Integers& x) {
  const bool codes = l.is_codes(x.value);
  const std::int32_t number = l.new_value(value, codes ? ValueKind::codes : ValueKind::accumulator, l.code(x.value));
  if (!x.plain()) l.program.values[static_cast<std::size_t>(number)].name += ".codes";
  return number;
}

bool image(const Lowering& l, const std::string& value) {
  const ValueType* t = l.type(value);
  return t != nullptr && t->ranked && t->shape.size() == 4;
}

/// Pads of a constant Pad node, ONNX order, and its value; false for other modes and data-dependent pads.
bool read_pad(const Lowering& l, const Node& node, Ints& pads, float& value) {
  if (node.get_string("mode", "constant") != "constant") return false;
  pads = node.get_ints("pads");
  value = node.get_float("value", 0);
  if (l.graph.opset >= 11) {
    const Tensor* given = l.constant(node, 1);
    if (given == nullptr || (node.inputs.size() > 3 && !node.inputs[3].empty())) return false;
    pads = given->to_int64();
    value = 0;
    if (node.inputs.size() > 2 && !node.inputs[2].empty()) {
      const Tensor* constant = l.constant(node, 2);
      if (constant == nullptr || constant->count() != 1) return false;
      value = constant->to_float()[0];
    }
  }
  return pads.size() == 8 && std::all_of(pads.begin(), pads.end(), [](std::int64_t p) { return p >= 0; });
}

/// A Pad in front of a convolution of plain codes becomes the convolution's border.
bool pad_as_border(Lowering& l, const Node& node, const Integers& x, const Ints& pads, float value) {
  const Node* reader = l.only_reader(node.outputs[0]);
  Window window;
  if (!x.plain() || x.flattened || !l.is_codes(x.value) || reader == nullptr || !reader->is("Conv") ||
      reader->inputs[0] != node.outputs[0])
    return false;
  if (!read_window(l, *reader, true, window) || integer_weight(l, *reader) == nullptr) return false;
  const bool own_pads = window.pad_top + window.pad_left + window.pad_bottom + window.pad_right > 0;
  if (pads[0] + pads[1] + pads[4] + pads[5] != 0 || value != std::nearbyint(value) || std::abs(value) > 255 ||
      (own_pads && value != 0))
    return false;
  Window border;
  border.pad_top = pads[2];
  border.pad_left = pads[3];
  border.pad_bottom = pads[6];
  border.pad_right = pads[7];
  l.borders[node.outputs[0]] = {.from = x, .pads = border, .value = static_cast<std::int32_t>(value)};
  return true;
}

/// Whether the value 0 of x is a code.
bool has_zero(const Lowering& l, const Integers& x) {
  return x.zero_stays() && l.is_codes(x.value) && !l.code(x.value).sign && l.code(x.value).min <= 0 &&
         l.code(x.value).max >= 0;
}

bool lower_pad(Lowering& l, const Node& node, const Integers& x) {
  Ints pads;
  float value = 0;
  if (!image(l, node.inputs[0]) || x.flattened || !read_pad(l, node, pads, value)) return false;
  if (pad_as_border(l, node, x, pads, value)) return true;
  if (value != 0 || !has_zero(l, x) || pads[0] + pads[2] + pads[3] + pads[4] + pads[6] + pads[7] != 0 ||
      x.a.size() != 1)
    return false;
  const std::int32_t output = moved(l, node.outputs[0], x);
  Integers y = x;
  Step& step = l.add(StepKind::subsample, node.name, {x.value}, {output});
  step.channels_before = pads[1];
  step.channels_after = pads[5];
  y.value = output;
  l.set_integers(node.outputs[0], y);
  return true;
}

/// Slice with steps over height and width to the end.
bool lower_slice(Lowering& l, const Node& node, const Integers& x) {
  const Tensor *starts = l.constant(node, 1), *ends = l.constant(node, 2), *axes = l.constant(node, 3),
               *steps = l.constant(node, 4);
  if (!image(l, node.inputs[0]) || x.flattened || !l.is_codes(x.value) || x.a.size() != 1 || starts == nullptr ||
      ends == nullptr)
    return false;
  const Ints from = starts->to_int64(), to = ends->to_int64();
  Ints axis, stride(from.size(), 1);
  if (axes != nullptr)
    axis = axes->to_int64();
  else {
    for (std::size_t i = 0; i < from.size(); ++i) axis.push_back(static_cast<std::int64_t>(i));
  }
  if (node.inputs.size() > 4 && !node.inputs[4].empty()) {
    if (steps == nullptr) return false;
    stride = steps->to_int64();
  }
  if (axis.size() != from.size() || to.size() != from.size() || stride.size() != from.size()) return false;
  Step step;
  step.kind = StepKind::subsample;
  step.name = node.name;
  const ValueType& type = *l.type(node.inputs[0]);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::int64_t d = axis[i] < 0 ? axis[i] + 4 : axis[i];
    const bool whole =
        to[i] >= (std::int64_t{1} << 30) || (d >= 0 && d < 4 && type.shape[static_cast<std::size_t>(d)].known() &&
                                             to[i] >= type.shape[static_cast<std::size_t>(d)].value);
    if (from[i] < 0 || stride[i] < 1 || !whole) return false;
    if (d == 2) {
      step.start_h = from[i];
      step.window.stride_h = stride[i];
    } else if (d == 3) {
      step.start_w = from[i];
      step.window.stride_w = stride[i];
    } else if (from[i] != 0 || stride[i] != 1) {
      return false;
    }
  }
  const std::int32_t output = moved(l, node.outputs[0], x);
  Integers y = x;
  y.value = output;
  step.inputs = {x.value};
  step.outputs = {output};
  l.program.steps.push_back(std::move(step));
  l.set_integers(node.outputs[0], y);
  return true;
}

bool flattens(const Lowering& l, const Node& node) {
  if (node.is("Flatten")) return node.get_int("axis", 1) == 1;
  if (!node.is("Reshape") || node.get_int("allowzero", 0) != 0) return false;
  const Tensor* shape = l.constant(node, 1);
  const ValueType *in = l.type(node.inputs[0]), *out = l.type(node.outputs[0]);
  if (shape == nullptr || in == nullptr || out == nullptr || !out->ranked || out->shape.size() != 2) return false;
  const Ints to = shape->to_int64();
  // [0 or -1, features] or [batch, -1] with all features of one sample in one row.
  std::int64_t features = 1;
  for (std::size_t d = 1; d < in->shape.size(); ++d) {
    if (!in->shape[d].known()) return false;
    features *= in->shape[d].value;
  }
  return to.size() == 2 &&
         (to[1] == features || (to[1] == -1 && (to[0] == 0 || (in->shape[0].known() && in->shape[0].value == to[0]))));
}

/// The largest value is that of the largest integer where the image rises, and of the smallest where it falls: those
/// channels are flagged. false: neither is so, or the channels are not known.
bool largest_by_channel(const Lowering& l, const std::string& value, const Integers& x,
                        std::vector<std::uint8_t>& min_channels) {
  if (std::all_of(x.a.begin(), x.a.end(), [](float a) { return a > 0; })) return true;
  const std::int64_t channels = channels_of(l, value);
  const auto finite = [](float v) { return std::isfinite(v); };
  if (channels < 1 || !std::all_of(x.a.begin(), x.a.end(), finite) || !std::all_of(x.b.begin(), x.b.end(), finite))
    return false;
  for (std::int64_t c = 0; c < channels; ++c)
    min_channels.push_back(x.a[x.a.size() == 1 ? 0 : static_cast<std::size_t>(c)] < 0 ? 1 : 0);
  if (std::find(min_channels.begin(), min_channels.end(), 1) == min_channels.end()) min_channels.clear();
  return true;
}

}  // namespace

bool lower_movement(Lowering& l, const Node& node) {
  const Integers* x = node.inputs.empty() ? nullptr : l.integers(node.inputs[0]);
  if (x == nullptr) return false;
  if (node.is("Identity")) {
    l.set_integers(node.outputs[0], *x);
    return true;
  }
  if (node.is("Pad")) return lower_pad(l, node, *x);
  if (node.is("Slice") && l.graph.opset >= 10) return lower_slice(l, node, *x);
  if ((node.is("Flatten") || node.is("Reshape")) && !x->flattened && image(l, node.inputs[0]) && x->a.size() == 1 &&
      flattens(l, node)) {
    Integers y = *x;
    y.flattened = true;
    l.set_integers(node.outputs[0], y);
    return true;
  }
  return false;
}

bool lower_pool(Lowering& l, const Node& node) {
  const Integers* x = node.inputs.empty() ? nullptr : l.integers(node.inputs[0]);
  if (x == nullptr || x->flattened || !image(l, node.inputs[0])) return false;
  Step step;
  step.name = node.name;
  step.inputs = {x->value};
  if (node.is("MaxPool")) {
    if (!read_window(l, node, false, step.window) || !largest_by_channel(l, node.inputs[0], *x, step.min_channels))
      return false;
    step.kind = StepKind::max_pool;
    const std::int32_t output = moved(l, node.outputs[0], *x);
    Integers y = *x;
    if (const auto range = l.range(x->value); range && !l.is_codes(x->value)) l.accumulator_ranges[output] = *range;
    y.value = output;
    step.outputs = {output};
    l.program.steps.push_back(std::move(step));
    l.set_integers(node.outputs[0], y);
    return true;
  }
  const bool global = node.is("GlobalAveragePool");
  // The graph averages x = v * a + b; only plain codes are averaged exactly as sum / count.
  if ((!global && !node.is("AveragePool")) || !x->plain() || !l.is_codes(x->value)) return false;
  if (global)
    step.window.kernel_h = step.window.kernel_w = 0;
  else if (!read_window(l, node, false, step.window) || step.window.dilation_h != 1 || step.window.dilation_w != 1)
    return false;
  step.kind = StepKind::sum_pool;
  step.count_pad = node.get_int("count_include_pad", 0) != 0;
  step.epilogue.a = {1};
  step.epilogue.b = {0};
  const std::int32_t output = l.new_value(node.outputs[0], ValueKind::tensor);
  step.outputs = {output};
  l.program.steps.push_back(std::move(step));
  l.set_tensor(node.outputs[0], output);
  return true;
}

}  // namespace nnq::lower_room
