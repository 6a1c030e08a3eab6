// Operators of any number of tensors: Min, Max, Sum, Mean; and Where.
#include <cmath>

#include "ops/support/check.h"
#include "ops/support/staged.h"

namespace nnq::ops {
namespace {

/// Broadcast shape of inputs [first, end).
Status infer_joined(InferContext& ctx, std::size_t first, DType type) {
  SymbolicShape shape;
  for (std::size_t i = first; i < ctx.inputs.size(); ++i) {
    if (!ctx.input(i).ranked) {
      set_output(ctx, 0, unranked(type));
      return {};
    }
    NNQ_TRY(broadcast(ctx.node, shape, ctx.input(i).shape, shape));
  }
  set_output(ctx, 0, ranked(type, std::move(shape)));
  return {};
}

Status infer_variadic(InferContext& ctx) { return infer_joined(ctx, 0, ctx.input(0).dtype); }

/// Folds the inputs from left to right into the output: y = x0, y = f(y, x1), ...
template <class F>
std::function<Status(EvalContext&)> fold(F f, bool mean) {
  return [f, mean](EvalContext& ctx) -> Status {
    const TensorView& y = ctx.output(0);
    with_wide(y.dtype, [&](auto wide) {
      using W = decltype(wide);
      map_binary<W>(ctx.input(0), ctx.input(0), y, [](W x, W) { return x; });
      for (std::size_t i = 1; i < ctx.inputs.size(); ++i)
        map_binary<W>(y, ctx.input(i), y, [&](W a, W b) { return f(a, b); });
      const auto count = static_cast<W>(ctx.inputs.size());
      if (mean) map_unary(y, y, [&](auto v) { return static_cast<decltype(v)>(v / static_cast<decltype(v)>(count)); });
    });
    return {};
  };
}

template <class T>
bool not_a_number(T v) {
  if constexpr (std::is_floating_point_v<T>)
    return std::isnan(v);
  else
    return false;
}

// ---- Where

Status infer_where(InferContext& ctx) { return infer_joined(ctx, 0, ctx.input(1).dtype); }

template <class T>
void choose(const TensorView& condition, const TensorView& a, const TensorView& b, const TensorView& y) {
  const Dims dims(y.shape);
  for_each_row<4>(dims,
                  {broadcast_strides(condition.shape, dims), broadcast_strides(a.shape, dims),
                   broadcast_strides(b.shape, dims), row_major(dims)},
                  [&](const auto& offset, std::int64_t count, const auto& step) {
                    const auto* c = condition.as<std::uint8_t>() + offset[0];
                    const T* x = a.as<T>() + offset[1];
                    const T* z = b.as<T>() + offset[2];
                    T* out = y.as<T>() + offset[3];
                    for (std::int64_t i = 0; i < count; ++i)
                      out[i] = c[i * step[0]] != 0 ? x[i * step[1]] : z[i * step[2]];
                  });
}

Status evaluate_where(EvalContext& ctx) {
  const TensorView &c = ctx.input(0), &a = ctx.input(1), &b = ctx.input(2), &y = ctx.output(0);
  switch (size_of(y.dtype)) {
    case 1:
      choose<std::uint8_t>(c, a, b, y);
      break;
    case 2:
      choose<std::uint16_t>(c, a, b, y);
      break;
    case 4:
      choose<std::uint32_t>(c, a, b, y);
      break;
    default:
      choose<std::uint64_t>(c, a, b, y);
      break;
  }
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(variadic) {
  const Signature numbers{.inputs = {{kNumber, false, 0}}, .variadic = true};
  const Signature floats{.inputs = {{kFloat, false, 0}}, .variadic = true};
  add(define("Min", numbers, infer_variadic,
             fold([](auto a, auto b) { return b < a || not_a_number(b) ? b : a; }, false)));
  add(define("Max", numbers, infer_variadic,
             fold([](auto a, auto b) { return b > a || not_a_number(b) ? b : a; }, false)));
  add(define("Sum", floats, infer_variadic,
             fold([](auto a, auto b) { return static_cast<decltype(a)>(a + b); }, false)));
  add(define("Mean", floats, infer_variadic,
             fold([](auto a, auto b) { return static_cast<decltype(a)>(a + b); }, true)));
  add(define("Where", {.inputs = {{kBool}, {kAny}, {kAny, false, 1}}}, infer_where, evaluate_where));
}
