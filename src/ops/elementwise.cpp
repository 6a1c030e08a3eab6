// Operators of one tensor, element by element. float32 results are one IEEE operation, or one call of the C library's
// function for transcendental ones.
#include <cmath>
#include <limits>
#include <type_traits>

#include "ops/support/check.h"
#include "ops/support/staged.h"

namespace nnq::ops {
namespace {

/// `f` is generic over the wide types; integer types pass through double for functions that need a float.
template <class F>
std::function<Status(EvalContext&)> unary(F f) {
  return [f](EvalContext& ctx) -> Status {
    map_unary(ctx.input(0), ctx.output(0), f);
    return {};
  };
}

/// As unary, with two float attributes; only float types.
template <class F>
std::function<Status(EvalContext&)> with_attributes(const char* first, float a, const char* second, float b, F f) {
  return [=](EvalContext& ctx) -> Status {
    const float p = ctx.node.get_float(first, a);
    const float q = ctx.node.get_float(second, b);
    const TensorView& x = ctx.input(0);
    if (x.dtype == DType::f64)
      map_unary(x, ctx.output(0), [&](auto v) {
        return static_cast<decltype(v)>(f(static_cast<double>(v), static_cast<double>(p), static_cast<double>(q)));
      });
    else
      map_unary(x, ctx.output(0), [&](auto v) { return static_cast<decltype(v)>(f(static_cast<float>(v), p, q)); });
    return {};
  };
}

#define NNQ_FLOAT_MATH(expression)               \
  [](auto x) {                                   \
    using T = decltype(x);                       \
    if constexpr (std::is_floating_point_v<T>) { \
      return static_cast<T>(expression);         \
    } else {                                     \
      return x;                                  \
    }                                            \
  }

template <class T>
T magnitude(T v) {
  if constexpr (std::is_floating_point_v<T>)
    return std::abs(v);
  else if constexpr (std::is_signed_v<T>)
    return v < 0 ? static_cast<T>(0U - static_cast<std::uint64_t>(v)) : v;
  else
    return v;
}

template <class T>
T negated(T v) {
  if constexpr (std::is_floating_point_v<T>)
    return -v;
  else
    return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(v));
}

template <class T>
T sign_of(T v) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(v)) return v;
  }
  return static_cast<T>(static_cast<int>(v > T{0}) - static_cast<int>(v < T{0}));
}

Status infer_predicate(InferContext& ctx) {
  ValueType type = ctx.input(0);
  type.dtype = DType::boolean;
  set_output(ctx, 0, std::move(type));
  return {};
}

template <class F>
std::function<Status(EvalContext&)> predicate(F f) {
  return [f](EvalContext& ctx) -> Status {
    const TensorView& x = ctx.input(0);
    const std::int64_t count = x.count();
    auto* out = ctx.output(0).as<std::uint8_t>();
    double block[kBlock];
    for (std::int64_t i = 0; i < count; i += kBlock) {
      const std::int64_t n = std::min(kBlock, count - i);
      load<double>(x.dtype, x.data, i, 1, n, block);
      for (std::int64_t k = 0; k < n; ++k) out[i + k] = f(ctx.node, block[k]) ? 1 : 0;
    }
    return {};
  };
}

Status evaluate_gelu(EvalContext& ctx) {
  const bool tanh_form = ctx.node.get_string("approximate", "none") == "tanh";
  map_unary(ctx.input(0), ctx.output(0), [&](auto x) {
    using T = decltype(x);
    if constexpr (std::is_floating_point_v<T>) {
      if (tanh_form) {
        const T inner = static_cast<T>(0.7978845608028654) * (x + static_cast<T>(0.044715) * x * x * x);
        return static_cast<T>(T(0.5) * x * (T(1) + std::tanh(inner)));
      }
      return static_cast<T>(T(0.5) * x * (T(1) + std::erf(x * static_cast<T>(0.7071067811865476))));
    } else {
      return x;
    }
  });
  return {};
}

Status infer_gelu(InferContext& ctx) {
  const std::string form = ctx.node.get_string("approximate", "none");
  NNQ_REQUIRE(form == "none" || form == "tanh", title(ctx.node), ": approximate must be none or tanh, got ", form);
  return infer_same(ctx);
}

// ---- Clip: bounds are attributes before opset 11, scalar inputs from then on.

Status infer_clip(InferContext& ctx) {
  for (std::size_t i = 1; i < 3; ++i) {
    if (!ctx.has(i) || !ctx.input(i).ranked) continue;
    Dim count;
    NNQ_TRY(product(ctx.node, ctx.input(i).shape, 0, ctx.input(i).shape.size(), count));
    NNQ_REQUIRE(!count.known() || count.value == 1, title(ctx.node), ": ", i == 1 ? "min" : "max",
                " must be a scalar, got ", ctx.input(i).to_string());
  }
  return infer_same(ctx);
}

Status evaluate_clip(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  with_wide(x.dtype, [&](auto wide) {
    using W = decltype(wide);
    W low = std::numeric_limits<W>::lowest();
    W high = std::numeric_limits<W>::max();
    if constexpr (std::is_floating_point_v<W>) {
      low = -std::numeric_limits<W>::infinity();
      high = std::numeric_limits<W>::infinity();
    }
    if (ctx.has(1))
      low = at<W>(ctx.input(1), 0);
    else if (ctx.node.has("min"))
      low = static_cast<W>(ctx.node.get_float("min", 0));
    if (ctx.has(2))
      high = at<W>(ctx.input(2), 0);
    else if (ctx.node.has("max"))
      high = static_cast<W>(ctx.node.get_float("max", 0));
    map_unary(x, ctx.output(0), [&](auto v) {
      const auto lo = static_cast<decltype(v)>(low);
      const auto hi = static_cast<decltype(v)>(high);
      const auto raised = v < lo ? lo : v;
      return raised > hi ? hi : raised;
    });
  });
  return {};
}

// ---- Cast and CastLike

std::optional<DType> dtype_of_onnx(std::int64_t code) {
  switch (code) {  // TensorProto.DataType
    case 1:
      return DType::f32;
    case 2:
      return DType::u8;
    case 3:
      return DType::i8;
    case 4:
      return DType::u16;
    case 5:
      return DType::i16;
    case 6:
      return DType::i32;
    case 7:
      return DType::i64;
    case 9:
      return DType::boolean;
    case 10:
      return DType::f16;
    case 11:
      return DType::f64;
    case 12:
      return DType::u32;
    case 13:
      return DType::u64;
    case 16:
      return DType::bf16;
    default:
      return std::nullopt;
  }
}

Status infer_cast(InferContext& ctx) {
  NNQ_REQUIRE(ctx.node.has("to"), title(ctx.node), ": attribute to is missing");
  const auto to = dtype_of_onnx(ctx.node.get_int("to", 0));
  NNQ_REQUIRE(to.has_value(), title(ctx.node), ": element type code ", ctx.node.get_int("to", 0), " is not supported");
  ValueType type = ctx.input(0);
  type.dtype = *to;
  set_output(ctx, 0, std::move(type));
  return {};
}

Status infer_cast_like(InferContext& ctx) {
  ValueType type = ctx.input(0);
  type.dtype = ctx.input(1).dtype;
  set_output(ctx, 0, std::move(type));
  return {};
}

Status evaluate_cast(EvalContext& ctx) {
  convert(ctx.input(0), ctx.output(0));
  return {};
}

void register_activations(const std::function<void(Op)>& add) {
  const Signature plain{.inputs = {{kFloat}}, .attributes = "alpha:f beta:f gamma:f lambd:f bias:f"};
  const auto floating = [&](const char* name, auto f) { add(define(name, plain, infer_same, unary(f))); };
  const auto shaped = [&](const char* name, const char* a, float av, const char* b, float bv, auto f) {
    add(define(name, plain, infer_same, with_attributes(a, av, b, bv, f)));
  };
  floating("Sigmoid", NNQ_FLOAT_MATH(T(1) / (T(1) + std::exp(-x))));
  floating("Tanh", NNQ_FLOAT_MATH(std::tanh(x)));
  floating("Softplus", NNQ_FLOAT_MATH((x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::abs(x)))));
  floating("Softsign", NNQ_FLOAT_MATH(x / (T(1) + std::abs(x))));
  floating("HardSwish", NNQ_FLOAT_MATH(x * std::fmax(T(0), std::fmin(T(1), x * static_cast<T>(1.0F / 6.0F) + T(0.5)))));
  floating("Mish", NNQ_FLOAT_MATH(x * std::tanh((x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::abs(x))))));
  shaped("LeakyRelu", "alpha", 0.01F, "", 0, [](auto x, auto a, auto) { return x < 0 ? a * x : x; });
  shaped("ThresholdedRelu", "alpha", 1, "", 0, [](auto x, auto a, auto) { return x > a ? x : decltype(x){0}; });
  shaped("HardSigmoid", "alpha", 0.2F, "beta", 0.5F, [](auto x, auto a, auto b) {
    const auto y = a * x + b;
    return y < 0 ? decltype(x){0} : (y > 1 ? decltype(x){1} : y);
  });
  shaped("Elu", "alpha", 1, "", 0, [](auto x, auto a, auto) { return x < 0 ? a * std::expm1(x) : x; });
  shaped("Celu", "alpha", 1, "", 0, [](auto x, auto a, auto) {
    return (x > 0 ? x : decltype(x){0}) + (x < 0 ? a * std::expm1(x / a) : decltype(x){0});
  });
  shaped("Selu", "alpha", 1.67326319217681884765625F, "gamma", 1.05070102214813232421875F,
         [](auto x, auto a, auto g) { return x > 0 ? g * x : g * (a * std::expm1(x)); });
  shaped("Shrink", "lambd", 0.5F, "bias", 0,
         [](auto x, auto l, auto b) { return x < -l ? x + b : (x > l ? x - b : decltype(x){0}); });
  add(define("Gelu", {.inputs = {{kFloat}}, .attributes = "approximate:s"}, infer_gelu, evaluate_gelu));
  add(define("Relu", {.inputs = {{kFloat | kSigned}}}, infer_same,
             unary([](auto x) { return x < decltype(x){0} ? decltype(x){0} : x; })));
}

void register_math(const std::function<void(Op)>& add) {
  const Signature plain{.inputs = {{kFloat}}};
  const auto floating = [&](const char* name, auto f) { add(define(name, plain, infer_same, unary(f))); };
  floating("Erf", NNQ_FLOAT_MATH(std::erf(x)));
  floating("Exp", NNQ_FLOAT_MATH(std::exp(x)));
  floating("Log", NNQ_FLOAT_MATH(std::log(x)));
  floating("Sqrt", NNQ_FLOAT_MATH(std::sqrt(x)));
  floating("Reciprocal", NNQ_FLOAT_MATH(T(1) / x));
  floating("Floor", NNQ_FLOAT_MATH(std::floor(x)));
  floating("Ceil", NNQ_FLOAT_MATH(std::ceil(x)));
  floating("Round", NNQ_FLOAT_MATH(std::nearbyint(x)));  // the default mode: ties to even
  floating("Sin", NNQ_FLOAT_MATH(std::sin(x)));
  floating("Cos", NNQ_FLOAT_MATH(std::cos(x)));
  floating("Tan", NNQ_FLOAT_MATH(std::tan(x)));
  floating("Asin", NNQ_FLOAT_MATH(std::asin(x)));
  floating("Acos", NNQ_FLOAT_MATH(std::acos(x)));
  floating("Atan", NNQ_FLOAT_MATH(std::atan(x)));
  floating("Sinh", NNQ_FLOAT_MATH(std::sinh(x)));
  floating("Cosh", NNQ_FLOAT_MATH(std::cosh(x)));
  floating("Asinh", NNQ_FLOAT_MATH(std::asinh(x)));
  floating("Acosh", NNQ_FLOAT_MATH(std::acosh(x)));
  floating("Atanh", NNQ_FLOAT_MATH(std::atanh(x)));
  add(define("Abs", {.inputs = {{kNumber}}}, infer_same, unary([](auto x) { return magnitude(x); })));
  add(define("Neg", {.inputs = {{kFloat | kSigned}}}, infer_same, unary([](auto x) { return negated(x); })));
  add(define("Sign", {.inputs = {{kNumber}}}, infer_same, unary([](auto x) { return sign_of(x); })));
  add(define("BitwiseNot", {.inputs = {{kSigned | kUnsigned}}}, infer_same, unary([](auto x) {
               if constexpr (std::is_integral_v<decltype(x)>)
                 return static_cast<decltype(x)>(~x);
               else
                 return x;
             })));
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(elementwise) {
  register_activations(add);
  register_math(add);
  add(define("Not", {.inputs = {{kBool}}}, infer_predicate, predicate([](const Node&, double x) { return x == 0; })));
  add(define("IsNaN", {.inputs = {{kFloat}}}, infer_predicate,
             predicate([](const Node&, double x) { return std::isnan(x); })));
  add(define("IsInf", {.inputs = {{kFloat}}, .attributes = "detect_negative:i detect_positive:i"}, infer_predicate,
             predicate([](const Node& node, double x) {
               return std::isinf(x) && node.get_int(x > 0 ? "detect_positive" : "detect_negative", 1) != 0;
             })));
  add(define("Clip", {.inputs = {{kNumber}, {kNumber, true, 0}, {kNumber, true, 0}}, .attributes = "min:f max:f"},
             infer_clip, evaluate_clip));
  add(define("Cast", {.inputs = {{kAny}}, .attributes = "to:i saturate:i"}, infer_cast, evaluate_cast));
  add(define("CastLike", {.inputs = {{kAny}, {kAny}}}, infer_cast_like, evaluate_cast));
}
