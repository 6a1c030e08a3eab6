// ONNX's own quantization operators: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, ConvInteger, QLinearConv.
#include <cmath>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/convolve.h"

namespace nnq::ops {
namespace {

constexpr Types kCode = kByte | only(DType::i16) | only(DType::u16);

/// Integer types Quantize and Dequantize know by their ONNX codes (attribute output_dtype, opset 21).
std::optional<DType> code_type(std::int64_t code) {
  switch (code) {
    case 2:
      return DType::u8;
    case 3:
      return DType::i8;
    case 4:
      return DType::u16;
    case 5:
      return DType::i16;
    default:
      return std::nullopt;
  }
}

// ---- which scale an element uses: one, one for each index of an axis, or one for each block along it

struct Granularity {
  std::int64_t outer = 1, extent = 1, inner = 1;  // x seen as [outer, extent, inner]
  std::int64_t block = 0;                         // > 0: scale is [outer, ceil(extent / block), inner]
  bool single = true;

  std::int64_t index(std::int64_t o, std::int64_t e, std::int64_t i) const {
    if (single) return 0;
    if (block == 0) return e;
    return (o * ((extent + block - 1) / block) + e / block) * inner + i;
  }
};

Status infer_granularity(const InferContext& ctx) {
  const Node& node = ctx.node;
  const ValueType &x = ctx.input(0), &scale = ctx.input(1);
  const std::int64_t block = node.get_int("block_size", 0);
  NNQ_REQUIRE(block >= 0 && block < std::int64_t{1} << 40, title(node), ": block_size ", block, " is out of range");
  if (ctx.has(2) && scale.ranked && ctx.input(2).ranked) {
    Dim a, b, same;
    NNQ_TRY(product(node, scale.shape, 0, scale.shape.size(), a));
    NNQ_TRY(product(node, ctx.input(2).shape, 0, ctx.input(2).shape.size(), b));
    NNQ_TRY(unify(node, "sizes of scale and zero point", a, b, same));
  }
  if (!x.ranked || !scale.ranked) return {};
  Dim count;
  NNQ_TRY(product(node, scale.shape, 0, scale.shape.size(), count));
  NNQ_REQUIRE(count.value != 0, title(node), ": the scale is empty");
  if (scale.shape.empty() || (count.value == 1 && block == 0)) return {};
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(node, node.get_int("axis", 1), static_cast<std::int64_t>(x.shape.size()), axis));
  const auto a = static_cast<std::size_t>(axis);
  if (block == 0) {
    NNQ_REQUIRE(scale.shape.size() == 1, title(node), ": the scale must be a scalar or a vector, got ",
                scale.to_string());
    Dim same;
    return unify(node, "extent of the axis and number of scales", x.shape[a], scale.shape[0], same);
  }
  NNQ_REQUIRE(scale.shape.size() == x.shape.size(), title(node), ": blocked scales must have the input's rank, got ",
              scale.to_string());
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    const Dim expected = i == a && x.shape[i].known() ? Dim((x.shape[i].value + block - 1) / block) : x.shape[i];
    Dim same;
    if (i != a || x.shape[i].known()) NNQ_TRY(unify(node, "scales and blocks", expected, scale.shape[i], same));
  }
  return {};
}

Granularity granularity(const EvalContext& ctx) {
  Granularity g;
  const Dims dims(ctx.input(0).shape);
  g.block = ctx.node.get_int("block_size", 0);
  g.single = ctx.input(1).count() == 1;
  std::int64_t axis = ctx.node.get_int("axis", 1);
  if (axis < 0) axis += static_cast<std::int64_t>(dims.size());
  if (g.single || axis < 0 || axis >= static_cast<std::int64_t>(dims.size())) {
    g.single = true;
    g.inner = dims.product();
    return g;
  }
  const auto a = static_cast<std::size_t>(axis);
  g.outer = dims.product(0, a);
  g.extent = dims[a];
  g.inner = dims.product(a + 1, dims.size());
  return g;
}

/// f(element, index of its scale)
template <class F>
void for_each_element(const Granularity& g, F&& f) {
  std::int64_t element = 0;
  for (std::int64_t o = 0; o < g.outer; ++o) {
    for (std::int64_t e = 0; e < g.extent; ++e) {
      for (std::int64_t i = 0; i < g.inner; ++i) f(element++, g.index(o, e, i));
    }
  }
}

std::pair<double, double> code_range(DType t) {
  switch (t) {
    case DType::i8:
      return {-128, 127};
    case DType::u8:
      return {0, 255};
    case DType::i16:
      return {-32768, 32767};
    default:
      return {0, 65535};
  }
}

double saturate(double v, DType t) {
  const auto [low, high] = code_range(t);
  return v >= low ? std::min(v, high) : low;  // NaN becomes the lowest code
}

// ---- QuantizeLinear, DequantizeLinear

Status infer_quantize(InferContext& ctx) {
  DType type = DType::u8;
  if (ctx.has(2)) {
    type = ctx.input(2).dtype;
  } else if (const std::int64_t code = ctx.node.get_int("output_dtype", 0); code != 0) {
    const auto stated = code_type(code);
    if (!stated)
      return Status::unsupported(text(title(ctx.node), ": output element type code ", code, " is not supported"));
    type = *stated;
  }
  NNQ_TRY(infer_granularity(ctx));
  ValueType result = ctx.input(0);
  result.dtype = type;
  set_output(ctx, 0, std::move(result));
  return {};
}

/// y = saturate(rint(x / scale) + zero_point); the division is one float32 operation, ties round to even.
Status evaluate_quantize(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &scale = ctx.input(1), &y = ctx.output(0);
  for_each_element(granularity(ctx), [&](std::int64_t i, std::int64_t s) {
    const float ratio = at<float>(x, i) / at<float>(scale, s);
    const double zero = ctx.has(2) ? at<double>(ctx.input(2), s) : 0.0;
    const double code = saturate(static_cast<double>(std::nearbyint(ratio)) + zero, y.dtype);
    store<double>(y.dtype, y.data, i, 1, &code);
  });
  return {};
}

Status infer_dequantize(InferContext& ctx) {
  NNQ_TRY(infer_granularity(ctx));
  ValueType result = ctx.input(0);
  result.dtype = ctx.input(1).dtype;
  set_output(ctx, 0, std::move(result));
  return {};
}

Status evaluate_dequantize(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &scale = ctx.input(1), &y = ctx.output(0);
  for_each_element(granularity(ctx), [&](std::int64_t i, std::int64_t s) {
    const std::int64_t zero = ctx.has(2) ? at<std::int64_t>(ctx.input(2), s) : 0;
    const float value = static_cast<float>(at<std::int64_t>(x, i) - zero) * at<float>(scale, s);
    store<float>(y.dtype, y.data, i, 1, &value);
  });
  return {};
}

// ---- DynamicQuantizeLinear

Status infer_dynamic(InferContext& ctx) {
  ValueType codes = ctx.input(0);
  codes.dtype = DType::u8;
  set_output(ctx, 0, std::move(codes));
  set_output(ctx, 1, ranked(DType::f32, {}));
  set_output(ctx, 2, ranked(DType::u8, {}));
  return {};
}

Status evaluate_dynamic(EvalContext& ctx) {
  const float* x = ctx.input(0).as<float>();
  const std::int64_t count = ctx.input(0).count();
  float low = 0, high = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  const float range = high - low;
  const float scale = range == 0 ? 1.0F : range / 255.0F;
  const auto zero = static_cast<float>(saturate(static_cast<double>(std::nearbyint(0.0F - low / scale)), DType::u8));
  const auto wanted = [&](std::size_t i) { return i < ctx.outputs.size() && ctx.outputs[i] != nullptr; };
  if (wanted(1)) *ctx.output(1).as<float>() = scale;
  if (wanted(2)) *ctx.output(2).as<std::uint8_t>() = static_cast<std::uint8_t>(zero);
  for (std::int64_t i = 0; wanted(0) && i < count; ++i) {
    const double code =
        saturate(static_cast<double>(std::nearbyint(x[i] / scale)) + static_cast<double>(zero), DType::u8);
    ctx.output(0).as<std::uint8_t>()[i] = static_cast<std::uint8_t>(code);
  }
  return {};
}

// ---- ConvInteger and QLinearConv

/// Input i holds one value, or (when allowed) one for each filter.
Status check_parameter(const InferContext& ctx, std::size_t i, const Dim& filters, bool per_filter) {
  if (!ctx.has(i) || !ctx.input(i).ranked) return {};
  Dim count;
  NNQ_TRY(product(ctx.node, ctx.input(i).shape, 0, ctx.input(i).shape.size(), count));
  const bool fits =
      !count.known() || count.value == 1 || (per_filter && (!filters.known() || count.value == filters.value));
  NNQ_REQUIRE(fits && count.value != 0, title(ctx.node), ": input ", i, " is ", ctx.input(i).to_string(),
              ", expected one value", per_filter ? " or one for each filter" : "");
  return {};
}

Status infer_conv_integer(InferContext& ctx) {
  SymbolicShape shape;
  NNQ_TRY(infer_convolution(ctx, 1, shape));
  const Dim filters = shape.empty() ? Dim() : shape[1];
  NNQ_TRY(check_parameter(ctx, 2, filters, false));
  NNQ_TRY(check_parameter(ctx, 3, filters, true));
  set_output(ctx, 0, shape.empty() ? unranked(DType::i32) : ranked(DType::i32, std::move(shape)));
  return {};
}

Status infer_qlinear_conv(InferContext& ctx) {
  SymbolicShape shape;
  NNQ_TRY(infer_convolution(ctx, 3, shape));
  const Dim filters = shape.empty() ? Dim() : shape[1];
  for (std::size_t i : {1U, 2U, 6U, 7U}) NNQ_TRY(check_parameter(ctx, i, filters, false));
  for (std::size_t i : {4U, 5U}) NNQ_TRY(check_parameter(ctx, i, filters, true));
  if (ctx.has(8) && ctx.input(8).ranked) {
    Dim same;
    NNQ_REQUIRE(ctx.input(8).shape.size() == 1, title(ctx.node), ": the bias must be [M], got ",
                ctx.input(8).to_string());
    NNQ_TRY(unify(ctx.node, "filters and bias", filters, ctx.input(8).shape[0], same));
  }
  const DType type = ctx.input(7).dtype;
  set_output(ctx, 0, shape.empty() ? unranked(type) : ranked(type, std::move(shape)));
  return {};
}

double parameter(const TensorView& t, std::int64_t i) { return at<double>(t, t.count() == 1 ? 0 : i); }

/// Both convolve codes minus zero points; finish(n, filter, first, count, sums).
template <class Start, class Finish>
Status convolve_codes(EvalContext& ctx, const TensorView& w, double x_zero, const TensorView* w_zero, Start&& start,
                      Finish&& finish) {
  Convolution c;
  NNQ_TRY(make_convolution(ctx, ctx.input(0), w, c));
  c.x_zero = x_zero;
  const std::int64_t patch = c.patch();
  const Workspace work(ctx.scratch, panel_bytes(patch));
  convolve(
      c, ctx.input(0), work.as<double>(),
      [&](std::int64_t filter, double* out, std::int64_t step) {
        load_doubles(w.dtype, w.data, filter * patch, 1, patch, out, step);
        const double zero = w_zero == nullptr ? 0.0 : parameter(*w_zero, filter);
        for (std::int64_t i = 0; i < patch && zero != 0; ++i) out[i * step] -= zero;
      },
      [&](std::int64_t, std::int64_t filter, std::int64_t, std::int64_t count, double* v) { start(filter, count, v); },
      [&](std::int64_t n, std::int64_t filter, std::int64_t first, std::int64_t count, double* v) {
        finish((n * c.filters + filter) * c.output.product() + first, filter, count, v);
      });
  return {};
}

Status evaluate_conv_integer(EvalContext& ctx) {
  auto* out = ctx.output(0).as<std::int32_t>();
  return convolve_codes(
      ctx, ctx.input(1), ctx.has(2) ? at<double>(ctx.input(2), 0) : 0.0, ctx.has(3) ? &ctx.input(3) : nullptr,
      [](std::int64_t, std::int64_t, double*) {},
      [&](std::int64_t offset, std::int64_t, std::int64_t count, const double* v) {
        for (std::int64_t i = 0; i < count; ++i)
          out[offset + i] = static_cast<std::int32_t>(static_cast<std::int64_t>(v[i]));
      });
}

Status evaluate_qlinear_conv(EvalContext& ctx) {
  const TensorView& y = ctx.output(0);
  const auto x_scale = at<float>(ctx.input(1), 0), y_scale = at<float>(ctx.input(6), 0);
  const auto y_zero = at<double>(ctx.input(7), 0);
  return convolve_codes(
      ctx, ctx.input(3), at<double>(ctx.input(2), 0), &ctx.input(5),
      [&](std::int64_t filter, std::int64_t count, double* v) {
        if (ctx.has(8)) std::fill_n(v, count, at<double>(ctx.input(8), filter));
      },
      [&](std::int64_t offset, std::int64_t filter, std::int64_t count, double* v) {
        const float scale = x_scale * static_cast<float>(parameter(ctx.input(4), filter)) / y_scale;
        for (std::int64_t i = 0; i < count; ++i)
          v[i] = saturate(std::nearbyint(v[i] * static_cast<double>(scale)) + y_zero, y.dtype);
        store<double>(y.dtype, y.data, offset, count, v);
      });
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(quantize_linear) {
  const Formal scale{kFloat};
  add(define("QuantizeLinear",
             {.inputs = {{kFloat | only(DType::i32)}, scale, {kCode, true}},
              .attributes = "axis:i block_size:i output_dtype:i saturate:i"},
             infer_quantize, evaluate_quantize));
  add(define("DequantizeLinear",
             {.inputs = {{kCode | only(DType::i32)}, scale, {kCode | only(DType::i32), true, 0}},
              .attributes = "axis:i block_size:i"},
             infer_dequantize, evaluate_dequantize));
  add(define("DynamicQuantizeLinear", {.inputs = {{kF32}}, .max_outputs = 3}, infer_dynamic, evaluate_dynamic));
  const char* window = "strides:I dilations:I pads:I auto_pad:s kernel_shape:I group:i";
  Op integer =
      define("ConvInteger", {.inputs = {{kByte}, {kByte}, {kByte, true, 0}, {kByte, true, 1}}, .attributes = window},
             infer_conv_integer, evaluate_conv_integer);
  integer.macs = [](const Node&, std::span<const ValueType> in, std::span<const ValueType> out) {
    return convolution_macs(in[1], out[0]);
  };
  integer.scratch = [](const Node&, std::span<const ValueType> in) { return convolution_scratch(in[1]); };
  add(std::move(integer));
  Op qlinear = define("QLinearConv",
                      {.inputs = {{kByte},
                                  scale,
                                  {kByte, false, 0},
                                  {kByte},
                                  scale,
                                  {kByte, false, 3},
                                  scale,
                                  {kByte},
                                  {only(DType::i32), true}},
                       .attributes = window},
                      infer_qlinear_conv, evaluate_qlinear_conv);
  qlinear.macs = [](const Node&, std::span<const ValueType> in, std::span<const ValueType> out) {
    return convolution_macs(in[3], out[0]);
  };
  qlinear.scratch = [](const Node&, std::span<const ValueType> in) { return convolution_scratch(in[3]); };
  add(std::move(qlinear));
}
