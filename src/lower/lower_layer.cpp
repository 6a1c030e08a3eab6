// Convolutions and fully connected layers of codes.
#include <algorithm>
#include <cmath>

#include "lower/layer_weights.h"
#include "lower/lowering.h"
#include "nnq/error.h"

namespace nnq::lower_room {
namespace {

bool plain_gemm(const Node& node) {
  return node.get_int("transA", 0) == 0 && node.get_float("alpha", 1) == 1 &&
         (node.inputs.size() < 3 || node.inputs[2].empty());
}

LayerWeights conv_weights(const Tensor& w, const Node& node) {
  const Shape& s = w.shape();
  LayerWeights r{.values = std::vector<std::int32_t>(static_cast<std::size_t>(w.count())),
                 .out = s[0],
                 .in = s[1] * node.get_int("group", 1),
                 .groups = node.get_int("group", 1)};
  const float* from = w.as<float>();
  for (std::int64_t o = 0; o < s[0]; ++o) {
    for (std::int64_t i = 0; i < s[1]; ++i) {
      for (std::int64_t k = 0; k < s[2] * s[3]; ++k)
        r.values[static_cast<std::size_t>((o * s[2] * s[3] + k) * s[1] + i)] = static_cast<std::int32_t>(*from++);
    }
  }
  return r;
}

/// Fully connected weights [out][in]; behind a flattened image the inputs are reordered from ONNX's (c, h, w) to the
/// program's (h, w, c).
LayerWeights dense_weights(const Tensor& w, const Node& node, const Shape& image) {
  const bool transposed = node.is("Gemm") && node.get_int("transB", 0) != 0;
  const std::int64_t out = w.shape()[transposed ? 0 : 1], in = w.shape()[transposed ? 1 : 0];
  LayerWeights r{
      .values = std::vector<std::int32_t>(static_cast<std::size_t>(w.count())), .out = out, .in = in, .groups = 1};
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      std::int64_t to = i;
      if (!image.empty()) {
        const std::int64_t plane = image[1] * image[2];
        to = i % plane * image[0] + i / plane;
      }
      r.values[static_cast<std::size_t>(o * in + to)] =
          static_cast<std::int32_t>(w.as<float>()[transposed ? o * in + i : i * out + o]);
    }
  }
  return r;
}

/// What a layer's weights meet: codes, and the border's value where there is a border.
struct LayerInput {
  CodeType code;
  std::int32_t pad_value = 0;
  bool padded = false;

  std::int64_t low() const { return padded ? std::min(code.min, pad_value) : code.min; }
  std::int64_t high() const { return padded ? std::max(code.max, pad_value) : code.max; }
  /// Every value is odd.
  bool odd() const { return code.sign && (!padded || pad_value % 2 != 0); }
};

/// Smallest and largest possible sum over all channels, border values included.
void prove_range(const LayerWeights& w, const LayerInput& x, Step& step) {
  const std::int64_t low = x.low(), high = x.high(), each = w.each();
  std::int64_t least = 0, most = 0;
  for (std::int64_t o = 0; o < w.out; ++o) {
    std::int64_t lo = 0, hi = 0;
    std::int64_t partial_lo = 0, partial_hi = 0;  // of the terms taken in any order: exact in float32 too
    for (std::int64_t i = o * each; i < (o + 1) * each; ++i) {
      const std::int64_t v = w.values[static_cast<std::size_t>(i)];
      lo += v >= 0 ? v * low : v * high;
      hi += v >= 0 ? v * high : v * low;
      partial_lo += std::min<std::int64_t>({v * low, v * high, 0});
      partial_hi += std::max<std::int64_t>({v * low, v * high, 0});
    }
    if (const std::int64_t magnitude = std::max(-partial_lo, partial_hi); magnitude >= exact_limit) {
      throw Error("sums of output channel " + std::to_string(o) + " can reach " + std::to_string(magnitude) +
                      ", beyond the exact 2^24",
                  "layer '" + step.name + "'", "use fewer bits, or split the layer");
    }
    least = std::min(least, lo);
    most = std::max(most, hi);
  }
  step.accumulator_min = static_cast<std::int32_t>(least);
  step.accumulator_max = static_cast<std::int32_t>(most);
}

/// Bits of the encoding that packed weights were made with; 0: not known.
int nominal_bits(const Lowering& l, const std::string& weight) {
  const auto packed = l.unpacked.find(weight);
  if (packed == l.unpacked.end() || packed->second.node == nullptr) return 0;
  const Tensor* planes = l.constant(*packed->second.node, 0);
  return planes != nullptr && planes->rank() == 2 ? static_cast<int>(planes->shape()[0]) : 0;
}

void add_pads(Window& w, const Window& more) {
  w.pad_top += more.pad_top;
  w.pad_left += more.pad_left;
  w.pad_bottom += more.pad_bottom;
  w.pad_right += more.pad_right;
}

/// Adds the layer's step with its epilogue; the pool between sums and thresholds moves behind the codes.
void emit(Lowering& l, const Node& node, Step step, LayerWeights weights, const LayerInput& input) {
  prove_range(weights, input, step);
  Tail tail = read_tail(l, node.outputs[0],
                        {.channels = weights.out, .low = step.accumulator_min, .high = step.accumulator_max});
  for (const Node* taken : tail.nodes) l.take(*taken);
  const std::vector<std::int8_t> direction = tail.epilogue.direction;
  turn_falling_channels(weights, tail.epilogue);
  if (input.odd()) move_thresholds_to_parity(weights, tail.epilogue);
  prove_range(weights, input, step);  // of the weights as they are stored
  step.weights = pack(weights);
  step.note = tail.note;
  step.epilogue = tail.epilogue;
  if (tail.residual >= 0) step.inputs.push_back(tail.residual);
  if (!tail.code) {
    step.outputs = {l.new_value(node.outputs[0], ValueKind::accumulator)};
    l.accumulator_ranges[step.outputs[0]] = {step.accumulator_min, step.accumulator_max};
    l.set_integers(node.outputs[0], {.value = step.outputs[0]});
    l.program.steps.push_back(std::move(step));
    return;
  }
  if (tail.pool == nullptr) {
    step.outputs = {l.new_value(tail.end, ValueKind::codes, *tail.code)};
    l.set_integers(tail.end, {.value = step.outputs[0]});
    l.program.steps.push_back(std::move(step));
    return;
  }
  // Thresholds keep or turn the order of the graph's sums, so pooling codes gives what pooling sums gave; turned
  // channels take the minimum, whatever the sign of the weights they are stored with.
  Step pool;
  pool.kind = StepKind::max_pool;
  pool.name = tail.pool->name;
  read_window(l, *tail.pool, false, pool.window);
  for (const std::int8_t d : direction) pool.min_channels.push_back(d < 0 ? 1 : 0);
  if (std::find(pool.min_channels.begin(), pool.min_channels.end(), 1) == pool.min_channels.end())
    pool.min_channels.clear();
  pool.note = "pools codes: batch norm and quantizer moved in front";
  const std::int32_t before = l.new_value(node.outputs[0], ValueKind::codes, *tail.code);
  const std::int32_t after = l.new_value(tail.end, ValueKind::codes, *tail.code);
  step.outputs = {before};
  pool.inputs = {before};
  pool.outputs = {after};
  l.program.steps.push_back(std::move(step));
  l.program.steps.push_back(std::move(pool));
  l.set_integers(tail.end, {.value = after});
}

}  // namespace

bool image_behind(const Lowering& l, const Integers& x, Shape& image) {
  image.clear();
  if (!x.flattened) return true;
  const ValueType& type = l.program.values[static_cast<std::size_t>(x.value)].type;
  bool known = true;
  for (std::size_t d = 1; d < type.shape.size(); ++d) {
    known = known && type.shape[d].known();
    image.push_back(type.shape[d].value);
  }
  return known;
}

const Tensor* integer_weight(Lowering& l, const Node& node) {
  const bool conv = node.is("Conv");
  if ((!conv && !is_dense(node)) || node.inputs.size() < 2) return nullptr;
  if (conv && node.inputs.size() > 2 && !node.inputs[2].empty()) return nullptr;
  if (node.is("Gemm") && !plain_gemm(node)) return nullptr;
  const auto packed = l.unpacked.find(node.inputs[1]);
  const Tensor* plain = l.graph.initializer(node.inputs[1]);
  if (packed == l.unpacked.end() && plain == nullptr) return nullptr;
  const Tensor& w = plain != nullptr ? *plain : packed->second.values;
  if (w.dtype() != DType::f32 || w.rank() != (conv ? 4 : 2) || w.count() == 0) return nullptr;
  for (const float v : w.values<float>()) {
    if (!(v >= -128 && v <= 127) || v != std::nearbyint(v)) return nullptr;
  }
  return &w;
}

bool read_window(const Lowering& l, const Node& node, bool conv, Window& window) {
  const ValueType* t = l.type(node.inputs[0]);
  if (t == nullptr || !t->ranked || t->shape.size() != 4 || node.get_string("auto_pad", "NOTSET") != "NOTSET" ||
      node.get_int("ceil_mode", 0) != 0 || node.outputs.size() != 1)
    return false;
  using Ints = std::vector<std::int64_t>;
  Ints kernel = node.get_ints("kernel_shape");
  if (conv && kernel.empty()) {
    const ValueType* w = l.type(node.inputs[1]);
    if (w == nullptr || !w->fully_known() || w->shape.size() != 4) return false;
    kernel = {w->shape[2].value, w->shape[3].value};
  }
  const Ints strides = node.get_ints("strides", {1, 1}), dilations = node.get_ints("dilations", {1, 1}),
             pads = node.get_ints("pads", {0, 0, 0, 0});
  if (kernel.size() != 2 || strides.size() != 2 || dilations.size() != 2 || pads.size() != 4) return false;
  for (const std::int64_t p : pads) {
    if (p < 0) return false;
  }
  window = {.kernel_h = kernel[0],
            .kernel_w = kernel[1],
            .stride_h = strides[0],
            .stride_w = strides[1],
            .dilation_h = dilations[0],
            .dilation_w = dilations[1],
            .pad_top = pads[0],
            .pad_left = pads[1],
            .pad_bottom = pads[2],
            .pad_right = pads[3]};
  return true;
}

bool lower_layer(Lowering& l, const Node& node) {
  if (!node.is("Conv") && !is_dense(node)) return false;
  const auto border = l.borders.find(node.inputs[0]);
  const Integers* x = border != l.borders.end() ? &border->second.from : l.integers(node.inputs[0]);
  const Tensor* w = x != nullptr && x->plain() && l.is_codes(x->value) ? integer_weight(l, node) : nullptr;
  if (w == nullptr) return false;
  Step step;
  step.name = node.name;
  step.inputs = {x->value};
  LayerWeights weights;
  if (node.is("Conv")) {
    step.kind = StepKind::convolution;
    if (x->flattened || !read_window(l, node, true, step.window)) return false;
    if (border != l.borders.end()) {
      add_pads(step.window, border->second.pads);
      step.pad_value = border->second.value;
    }
    weights = conv_weights(*w, node);
  } else {
    const ValueType* t = l.type(node.inputs[0]);
    Shape image;
    if (!image_behind(l, *x, image) || t == nullptr || !t->ranked || t->shape.size() != 2) return false;
    step.kind = StepKind::dense;
    weights = dense_weights(*w, node, image);
  }
  const Window& window = step.window;
  const bool padded = window.pad_top + window.pad_left + window.pad_bottom + window.pad_right > 0;
  step.out_channels = weights.out;
  step.in_channels = weights.in;
  step.groups = weights.groups;
  weights.nominal_bits = nominal_bits(l, node.inputs[1]);
  const LayerInput input{.code = l.code(x->value), .pad_value = step.pad_value, .padded = padded};
  emit(l, node, std::move(step), std::move(weights), input);
  return true;
}

}  // namespace nnq::lower_room
