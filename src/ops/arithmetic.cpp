// Operators of two tensors with NumPy broadcasting: arithmetic, comparison, logic, shifts; PRelu.
#include <cmath>
#include <type_traits>

#include "ops/support/check.h"
#include "ops/support/staged.h"

namespace nnq::ops {
namespace {

Status infer_broadcast(InferContext& ctx, DType result) {
  const ValueType& a = ctx.input(0);
  const ValueType& b = ctx.input(1);
  if (!a.ranked || !b.ranked) {
    set_output(ctx, 0, unranked(result));
    return {};
  }
  SymbolicShape shape;
  NNQ_TRY(broadcast(ctx.node, a.shape, b.shape, shape));
  set_output(ctx, 0, ranked(result, std::move(shape)));
  return {};
}

Status infer_arithmetic(InferContext& ctx) { return infer_broadcast(ctx, ctx.input(0).dtype); }
Status infer_comparison(InferContext& ctx) { return infer_broadcast(ctx, DType::boolean); }

template <class F>
std::function<Status(EvalContext&)> binary(F f) {
  return [f](EvalContext& ctx) -> Status {
    with_wide(ctx.input(0).dtype, [&](auto wide) {
      using W = decltype(wide);
      map_binary<W>(ctx.input(0), ctx.input(1), ctx.output(0), [&](W x, W y) { return f(x, y); });
    });
    return {};
  };
}

// Integer arithmetic wraps: it runs on the unsigned bits, where overflow is defined.
template <class T, class F>
T wrapping(T x, T y, F f) {
  if constexpr (std::is_floating_point_v<T>)
    return f(x, y);
  else
    return static_cast<T>(f(static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(y)));
}

/// Integer division truncates; by zero it gives 0, so that no input can trap.
template <class T>
T quotient(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return x / y;
  } else {
    if (y == T{0}) return T{0};
    if constexpr (std::is_signed_v<T>) {
      if (y == T{-1}) return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(x));
    }
    return x / y;
  }
}

/// fmod: the sign of the dividend; otherwise the sign of the divisor (Python). Integers modulo 0 give 0.
template <class T>
T modulo(T x, T y, bool fmod) {
  if constexpr (std::is_floating_point_v<T>) {
    const T r = std::fmod(x, y);
    return !fmod && r != T{0} && (r < T{0}) != (y < T{0}) ? r + y : r;
  } else {
    if (y == T{0}) return T{0};
    if constexpr (std::is_signed_v<T>) {
      if (y == T{-1}) return T{0};
      const T r = x % y;
      return !fmod && r != 0 && (r < 0) != (y < 0) ? r + y : r;
    } else {
      return x % y;
    }
  }
}

template <class T>
T power(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return y == T{2} ? x * x : std::pow(x, y);
  } else {
    if constexpr (std::is_signed_v<T>) {
      if (y < 0) return x == 1 ? 1 : (x == -1 ? (y % 2 == 0 ? 1 : -1) : 0);
    }
    std::uint64_t result = 1;
    auto base = static_cast<std::uint64_t>(x);
    for (auto n = static_cast<std::uint64_t>(y); n != 0; n >>= 1U, base *= base) {
      if ((n & 1U) != 0) result *= base;
    }
    return static_cast<T>(result);
  }
}

/// Computes in the base's type; an integer base with a fractional exponent type computes in double.
Status evaluate_pow(EvalContext& ctx) {
  const auto run = [&](auto wide) {
    using W = decltype(wide);
    map_binary<W>(ctx.input(0), ctx.input(1), ctx.output(0), [](W x, W y) { return power(x, y); });
  };
  if (!is_float(ctx.input(0).dtype) && is_float(ctx.input(1).dtype))
    run(double{});
  else
    with_wide(ctx.input(0).dtype, run);
  return {};
}

Status infer_mod(InferContext& ctx) {
  NNQ_REQUIRE(!is_float(ctx.input(0).dtype) || ctx.node.get_int("fmod", 0) == 1, title(ctx.node),
              ": fmod must be 1 for float inputs");
  return infer_arithmetic(ctx);
}

Status evaluate_mod(EvalContext& ctx) {
  const bool fmod = ctx.node.get_int("fmod", 0) != 0;
  return binary([fmod](auto x, auto y) { return modulo(x, y, fmod); })(ctx);
}

Status infer_shift(InferContext& ctx) {
  const std::string direction = ctx.node.get_string("direction", "");
  NNQ_REQUIRE(direction == "LEFT" || direction == "RIGHT", title(ctx.node), ": direction must be LEFT or RIGHT, got '",
              direction, "'");
  return infer_arithmetic(ctx);
}

Status evaluate_shift(EvalContext& ctx) {
  const bool left = ctx.node.get_string("direction", "") == "LEFT";
  map_binary<std::uint64_t>(ctx.input(0), ctx.input(1), ctx.output(0), [left](std::uint64_t x, std::uint64_t y) {
    if (y >= 64) return std::uint64_t{0};
    return left ? x << y : x >> y;
  });
  return {};
}

/// The slope broadcasts to x only (not both ways).
Status infer_prelu(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  const ValueType& slope = ctx.input(1);
  if (x.ranked && slope.ranked) {
    SymbolicShape shape;
    NNQ_TRY(broadcast(ctx.node, x.shape, slope.shape, shape));
    bool grows = shape.size() != x.shape.size();
    for (std::size_t i = 0; i < shape.size() && !grows; ++i) grows = x.shape[i].known() && shape[i] != x.shape[i];
    NNQ_REQUIRE(!grows, title(ctx.node), ": the slope ", slope.to_string(), " does not broadcast to ", x.to_string());
  }
  return infer_same(ctx);
}

template <class F>
void bitwise(const std::function<void(Op)>& add, const char* name, F f) {
  add(define(name, {.inputs = {{kSigned | kUnsigned}, {kSigned | kUnsigned, false, 0}}}, infer_arithmetic,
             [f](EvalContext& ctx) -> Status {
               map_binary<std::uint64_t>(ctx.input(0), ctx.input(1), ctx.output(0), f);
               return {};
             }));
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(arithmetic) {
  const Signature numbers{.inputs = {{kNumber}, {kNumber, false, 0}}};
  const auto arithmetic = [&](const char* name, auto f) { add(define(name, numbers, infer_arithmetic, binary(f))); };
  arithmetic("Add", [](auto x, auto y) { return wrapping(x, y, [](auto a, auto b) { return a + b; }); });
  arithmetic("Sub", [](auto x, auto y) { return wrapping(x, y, [](auto a, auto b) { return a - b; }); });
  arithmetic("Mul", [](auto x, auto y) { return wrapping(x, y, [](auto a, auto b) { return a * b; }); });
  arithmetic("Div", [](auto x, auto y) { return quotient(x, y); });
  add(define("Mod", {.inputs = {{kNumber}, {kNumber, false, 0}}, .attributes = "fmod:i"}, infer_mod, evaluate_mod));
  add(define("Pow", {.inputs = {{kNumber}, {kNumber}}}, infer_arithmetic, evaluate_pow));
  add(define("BitShift", {.inputs = {{kUnsigned}, {kUnsigned, false, 0}}, .attributes = "direction:s"}, infer_shift,
             evaluate_shift));
  bitwise(add, "BitwiseAnd", [](std::uint64_t x, std::uint64_t y) { return x & y; });
  bitwise(add, "BitwiseOr", [](std::uint64_t x, std::uint64_t y) { return x | y; });
  bitwise(add, "BitwiseXor", [](std::uint64_t x, std::uint64_t y) { return x ^ y; });

  const auto comparison = [&](const char* name, auto f) {
    add(define(name, {.inputs = {{kAny}, {kAny, false, 0}}}, infer_comparison, binary(f)));
  };
  comparison("Equal", [](auto x, auto y) { return x == y; });
  comparison("Less", [](auto x, auto y) { return x < y; });
  comparison("LessOrEqual", [](auto x, auto y) { return x <= y; });
  comparison("Greater", [](auto x, auto y) { return x > y; });
  comparison("GreaterOrEqual", [](auto x, auto y) { return x >= y; });

  const auto logic = [&](const char* name, bool (*f)(std::int64_t, std::int64_t)) {
    add(define(name, {.inputs = {{kBool}, {kBool}}}, infer_comparison, [f](EvalContext& ctx) -> Status {
      map_binary<std::int64_t>(ctx.input(0), ctx.input(1), ctx.output(0), f);
      return {};
    }));
  };
  logic("And", [](std::int64_t x, std::int64_t y) { return (x & y) != 0; });
  logic("Or", [](std::int64_t x, std::int64_t y) { return (x | y) != 0; });
  logic("Xor", [](std::int64_t x, std::int64_t y) { return (x ^ y) != 0; });

  add(define("PRelu", {.inputs = {{kNumber}, {kNumber, false, 0}}}, infer_prelu, binary([](auto x, auto slope) {
               return x < decltype(x){0} ? wrapping(x, slope, [](auto a, auto b) { return a * b; }) : x;
             })));
}
