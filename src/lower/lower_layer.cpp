// Convolutions and fully connected layers of codes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "lower/lowering.h"
#include "nnq/encoding.h"
#include "nnq/error.h"

namespace nnq::lower_room {
namespace {

/// Simulation computes sums in float32: exact below this.
constexpr std::int64_t exact_limit = std::int64_t{1} << 24;

bool is_dense(const Node& node) { return node.is("Gemm") || node.is("MatMul"); }

bool plain_gemm(const Node& node) {
  return node.get_int("transA", 0) == 0 && node.get_float("alpha", 1) == 1 &&
         (node.inputs.size() < 3 || node.inputs[2].empty());
}

/// Weights as [out][kernel_h][kernel_w][in / groups].
struct Weights {
  std::vector<std::int32_t> values;
  std::int64_t out = 0, in = 0, groups = 1;
};

Weights conv_weights(const Tensor& w, const Node& node) {
  const Shape& s = w.shape();
  Weights r{.values = std::vector<std::int32_t>(static_cast<std::size_t>(w.count())),
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
Weights dense_weights(const Tensor& w, const Node& node, const Shape& image) {
  const bool transposed = node.is("Gemm") && node.get_int("transB", 0) != 0;
  const std::int64_t out = w.shape()[transposed ? 0 : 1], in = w.shape()[transposed ? 1 : 0];
  Weights r{
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

int bits_of(std::int32_t most) {
  int bits = 1;
  while (most >> bits != 0) ++bits;
  return bits;
}

/// The fewest planes that hold the values (-128 .. 127): value = offset + gcd * code. {-1,+1} takes one, {-3,-1,1,3}
/// two. Unused codes, too, must stand for 8-bit integers: -127 .. 127 is stored from -128 on.
PackedWeights pack(const std::vector<std::int32_t>& values) {
  PackedWeights p;
  p.count = static_cast<std::int64_t>(values.size());
  std::int32_t low = values.empty() ? 0 : *std::min_element(values.begin(), values.end());
  std::int32_t unit = 0, high = 0;
  for (const std::int32_t v : values) {
    unit = std::gcd(unit, v - low);
    high = std::max(high, v - low);
  }
  unit = std::max(unit, 1);
  const auto offset = [&] {
    const std::int32_t beyond = low + unit * ((1 << bits_of(high / unit)) - 1) - 127;
    return beyond <= 0 ? low : low - (beyond + unit - 1) / unit * unit;
  };
  if (offset() < -128) unit = 1;
  p.bits = bits_of(high / unit);
  p.offset = low = offset();
  for (int k = 0; k < p.bits; ++k) p.plane_scale.push_back(unit << k);
  std::vector<std::uint8_t> codes;
  codes.reserve(values.size());
  for (const std::int32_t v : values) codes.push_back(static_cast<std::uint8_t>((v - low) / unit));
  p.owned = std::make_shared<const std::vector<std::uint8_t>>(pack_planes(codes, p.bits));
  p.data = p.owned->data();
  return p;
}

/// Smallest and largest possible sum over all channels, border values included.
void prove_range(const Weights& w, const CodeType& code, std::int32_t pad_value, bool padded, const std::string& name,
                 Step& step) {
  const std::int64_t low = padded ? std::min(code.min, pad_value) : code.min,
                     high = padded ? std::max(code.max, pad_value) : code.max;
  const std::int64_t each = w.out > 0 ? static_cast<std::int64_t>(w.values.size()) / w.out : 0;
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
                  "layer '" + name + "'", "use fewer bits, or split the layer");
    }
    least = std::min(least, lo);
    most = std::max(most, hi);
  }
  step.accumulator_min = static_cast<std::int32_t>(least);
  step.accumulator_max = static_cast<std::int32_t>(most);
}

void add_pads(Window& w, const Window& more) {
  w.pad_top += more.pad_top;
  w.pad_left += more.pad_left;
  w.pad_bottom += more.pad_bottom;
  w.pad_right += more.pad_right;
}

/// Adds the layer's step with its epilogue; the pool between sums and thresholds moves behind the codes.
void emit(Lowering& l, const Node& node, Step step, std::int64_t channels) {
  Tail tail = read_tail(l, node.outputs[0], channels, step.accumulator_min, step.accumulator_max);
  for (const Node* taken : tail.nodes) l.take(*taken);
  step.note = tail.note;
  step.epilogue = tail.epilogue;
  if (tail.residual >= 0) step.inputs.push_back(tail.residual);
  if (!tail.code) {
    step.outputs = {l.new_value(node.outputs[0], ValueKind::accumulator)};
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
  // Thresholds keep or turn the order of sums, so pooling codes gives what pooling sums gave; turned channels take the
  // minimum.
  Step pool;
  pool.kind = StepKind::max_pool;
  pool.name = tail.pool->name;
  read_window(l, *tail.pool, false, pool.window);
  for (const std::int8_t direction : step.epilogue.direction) pool.min_channels.push_back(direction < 0 ? 1 : 0);
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
  const CodeType code = l.code(x->value);
  Step step;
  step.name = node.name;
  step.inputs = {x->value};
  Weights weights;
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
  prove_range(weights, code, step.pad_value, padded, node.name, step);
  step.out_channels = weights.out;
  step.in_channels = weights.in;
  step.groups = weights.groups;
  step.weights = pack(weights.values);
  emit(l, node, std::move(step), weights.out);
  return true;
}

}  // namespace nnq::lower_room
