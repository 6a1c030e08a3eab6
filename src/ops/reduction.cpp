// Reduce*, ArgMax, ArgMin, CumSum. Floats accumulate in double, integers in 64 bits.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/elements.h"

namespace nnq::ops {
namespace {

enum class Kind { sum, mean, max, min, prod, l1, l2, sum_square, log_sum, log_sum_exp };

// ---- which axes

struct Axes {
  bool known = true;
  bool none = false;  // nothing is reduced (noop_with_empty_axes)
  std::vector<std::int64_t> list;
};

/// Axes as given: attribute, or input 1 (its value in `given`). Empty means all, or none with noop_with_empty_axes.
Status resolve_axes(const Node& node, std::vector<std::int64_t> given, std::size_t rank, Axes& out) {
  if (given.empty()) {
    out.none = node.get_int("noop_with_empty_axes", 0) != 0;
    for (std::size_t i = 0; i < rank && !out.none; ++i) out.list.push_back(static_cast<std::int64_t>(i));
    return {};
  }
  return normalize_axes(node, given, static_cast<std::int64_t>(rank), out.list);
}

Status infer_reduce(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  const bool keep = ctx.node.get_int("keepdims", 1) != 0;
  bool known = true;
  std::vector<std::int64_t> given = ctx.node.get_ints("axes");
  if (ctx.has(1)) NNQ_TRY(constant_integers(ctx, 1, "axes", known, given));
  if (!x.ranked || !known) {
    set_output(ctx, 0, x.ranked && keep ? of_rank(x.dtype, x.shape.size()) : unranked(x.dtype));
    return {};
  }
  Axes axes;
  NNQ_TRY(resolve_axes(ctx.node, given, x.shape.size(), axes));
  SymbolicShape shape;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    const bool reduced = std::binary_search(axes.list.begin(), axes.list.end(), static_cast<std::int64_t>(i));
    if (!reduced)
      shape.push_back(x.shape[i]);
    else if (keep)
      shape.emplace_back(1);
  }
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

// ---- accumulation

template <class W>
bool is_nan(W v) {
  if constexpr (std::is_floating_point_v<W>)
    return std::isnan(v);
  else
    return false;
}

/// Adds and multiplies that wrap for integers.
template <class W>
W plus(W a, W b) {
  if constexpr (std::is_floating_point_v<W>)
    return a + b;
  else
    return static_cast<W>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
template <class W>
W times(W a, W b) {
  if constexpr (std::is_floating_point_v<W>)
    return a * b;
  else
    return static_cast<W>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}
template <class W>
W magnitude(W v) {
  if constexpr (std::is_unsigned_v<W>)
    return v;
  else
    return v < W{0} ? times(v, W{-1}) : v;
}

template <class W>
W initial(Kind kind) {
  using Limits = std::numeric_limits<W>;
  switch (kind) {
    case Kind::prod:
      return W{1};
    case Kind::max:
    case Kind::log_sum_exp:
      return Limits::has_infinity ? static_cast<W>(-Limits::infinity()) : Limits::lowest();
    case Kind::min:
      return Limits::has_infinity ? Limits::infinity() : Limits::max();
    default:
      return W{0};
  }
}

template <class W>
W accumulate(Kind kind, W total, const W* v, std::int64_t n) {
  switch (kind) {
    case Kind::sum:
    case Kind::mean:
    case Kind::log_sum:
      for (std::int64_t i = 0; i < n; ++i) total = plus(total, v[i]);
      break;
    case Kind::l1:
      for (std::int64_t i = 0; i < n; ++i) total = plus(total, magnitude(v[i]));
      break;
    case Kind::l2:
    case Kind::sum_square:
      for (std::int64_t i = 0; i < n; ++i) total = plus(total, times(v[i], v[i]));
      break;
    case Kind::prod:
      for (std::int64_t i = 0; i < n; ++i) total = times(total, v[i]);
      break;
    case Kind::max:
    case Kind::log_sum_exp:
      for (std::int64_t i = 0; i < n; ++i) total = v[i] > total || is_nan(v[i]) ? v[i] : total;
      break;
    case Kind::min:
      for (std::int64_t i = 0; i < n; ++i) total = v[i] < total || is_nan(v[i]) ? v[i] : total;
      break;
  }
  return total;
}

template <class W>
W finished(Kind kind, W total, std::int64_t count) {
  switch (kind) {
    case Kind::mean:
      if constexpr (std::is_integral_v<W>)
        return count == 0 ? W{0} : total / static_cast<W>(count);
      else
        return total / static_cast<W>(count);
    case Kind::l2:
      return static_cast<W>(std::sqrt(static_cast<double>(total)));
    case Kind::log_sum:
      return static_cast<W>(std::log(static_cast<double>(total)));
    default:
      return total;
  }
}

template <class W>
void reduce(Kind kind, const TensorView& x, const TensorView& y, const std::vector<std::int64_t>& axes) {
  const Dims dims(x.shape), strides = row_major(dims);
  Dims kept, kept_strides, reduced, reduced_strides;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const bool is_reduced = std::binary_search(axes.begin(), axes.end(), static_cast<std::int64_t>(i));
    (is_reduced ? reduced : kept).push_back(dims[i]);
    (is_reduced ? reduced_strides : kept_strides).push_back(strides[i]);
  }
  if (kept.product() == 0) return;
  const std::int64_t count = reduced.product();
  W block[kBlock];
  Dims index(kept.size(), 0);
  std::int64_t out = 0;
  do {
    std::int64_t base = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) base += index[i] * kept_strides[i];
    const auto pass = [&](auto&& take) {
      for_each_row<1>(reduced, {reduced_strides}, [&](const auto& offset, std::int64_t length, const auto& step) {
        for (std::int64_t i = 0; i < length; i += kBlock) {
          const std::int64_t n = std::min(kBlock, length - i);
          load<W>(x.dtype, x.data, base + offset[0] + i * step[0], step[0], n, block);
          take(n);
        }
      });
    };
    W total = initial<W>(kind);
    pass([&](std::int64_t n) { total = accumulate(kind, total, block, n); });
    if constexpr (std::is_floating_point_v<W>) {
      if (kind == Kind::log_sum_exp && std::isfinite(total)) {  // subtracting the largest keeps exp in range
        const W largest = total;
        W sum = 0;
        pass([&](std::int64_t n) {
          for (std::int64_t i = 0; i < n; ++i) sum += std::exp(block[i] - largest);
        });
        total = largest + std::log(sum);
      }
    }
    total = finished(kind, total, count);
    store<W>(y.dtype, y.data, out++, 1, &total);
  } while (next_index(index, kept, kept.size()));
}

std::function<Status(EvalContext&)> evaluate_reduce(Kind kind) {
  return [kind](EvalContext& ctx) -> Status {
    const TensorView& x = ctx.input(0);
    std::vector<std::int64_t> given = ctx.node.get_ints("axes");
    if (ctx.has(1)) NNQ_TRY(read_integers(ctx.node, "axes", ctx.input(1), kMaxRank, given));
    Axes axes;
    NNQ_TRY(resolve_axes(ctx.node, given, x.shape.size(), axes));
    std::int64_t kept = 1;
    for (std::size_t i = 0; i < x.shape.size(); ++i) {
      if (!std::binary_search(axes.list.begin(), axes.list.end(), static_cast<std::int64_t>(i))) kept *= x.shape[i];
    }
    NNQ_REQUIRE(kept == ctx.output(0).count(), title(ctx.node), ": the axes do not fit the output ",
                nnq::to_string(ctx.output(0).shape));
    const bool through_double =
        is_float(x.dtype) || kind == Kind::log_sum_exp || kind == Kind::log_sum || kind == Kind::l2;
    if (through_double)
      reduce<double>(kind, x, ctx.output(0), axes.list);
    else if (x.dtype == DType::u64)
      reduce<std::uint64_t>(kind, x, ctx.output(0), axes.list);
    else
      reduce<std::int64_t>(kind, x, ctx.output(0), axes.list);
    return {};
  };
}

// ---- ArgMax, ArgMin

Status infer_arg(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  if (!x.ranked) {
    set_output(ctx, 0, unranked(DType::i64));
    return {};
  }
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(x.shape.size()), axis));
  SymbolicShape shape = x.shape;
  NNQ_REQUIRE(shape[static_cast<std::size_t>(axis)].value != 0, title(ctx.node), ": axis ", axis, " of ", x.to_string(),
              " is empty");
  if (ctx.node.get_int("keepdims", 1) != 0)
    shape[static_cast<std::size_t>(axis)] = Dim(1);
  else
    shape.erase(shape.begin() + axis);
  set_output(ctx, 0, ranked(DType::i64, std::move(shape)));
  return {};
}

template <class W>
void arg(const TensorView& x, std::int64_t* out, std::size_t axis, bool largest, bool last) {
  const Dims dims(x.shape);
  const std::int64_t inner = dims.product(axis + 1, dims.size()), outer = dims.product(0, axis), length = dims[axis];
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i = 0; i < inner; ++i) {
      std::int64_t where = 0;
      W best{};
      for (std::int64_t k = 0; k < length; ++k) {
        const W v = at<W>(x, (o * length + k) * inner + i);
        const bool better = largest ? v > best : v < best;
        if (k == 0 || better || (last && v == best)) {
          best = v;
          where = k;
        }
      }
      out[o * inner + i] = where;
    }
  }
}

Status evaluate_arg(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(x.shape.size()), axis));
  const bool largest = ctx.node.op == "ArgMax", last = ctx.node.get_int("select_last_index", 0) != 0;
  auto* out = ctx.output(0).as<std::int64_t>();
  with_wide(x.dtype, [&](auto wide) { arg<decltype(wide)>(x, out, static_cast<std::size_t>(axis), largest, last); });
  return {};
}

// ---- CumSum: the axis is input 1

Status cumsum_axis(const Node& node, const TensorView& t, std::size_t rank, std::int64_t& axis) {
  NNQ_REQUIRE(t.count() == 1, title(node), ": axis must be one value, got ", nnq::to_string(t.shape));
  return normalize_axis(node, at<std::int64_t>(t, 0), static_cast<std::int64_t>(rank), axis);
}

Status infer_cumsum(InferContext& ctx) {
  const Tensor* axis = ctx.constant(1);
  std::int64_t unused = 0;
  if (axis != nullptr && axis->defined() && ctx.input(0).ranked) {
    NNQ_TRY(cumsum_axis(ctx.node, axis->view(), ctx.input(0).shape.size(), unused));
  }
  return infer_same(ctx);
}

Status evaluate_cumsum(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &y = ctx.output(0);
  const Dims dims(x.shape);
  std::int64_t axis = 0;
  NNQ_TRY(cumsum_axis(ctx.node, ctx.input(1), dims.size(), axis));
  const bool exclusive = ctx.node.get_int("exclusive", 0) != 0, reverse = ctx.node.get_int("reverse", 0) != 0;
  const auto a = static_cast<std::size_t>(axis);
  const std::int64_t inner = dims.product(a + 1, dims.size()), outer = dims.product(0, a), length = dims[a];
  const auto run = [&](auto wide) {
    using W = decltype(wide);
    for (std::int64_t line = 0; line < outer * inner; ++line) {
      W total{};
      for (std::int64_t k = 0; k < length; ++k) {
        const std::int64_t at_k = (line / inner * length + (reverse ? length - 1 - k : k)) * inner + line % inner;
        const W before = total;
        total = plus(total, at<W>(x, at_k));
        store<W>(y.dtype, y.data, at_k, 1, exclusive ? &before : &total);
      }
    }
  };
  if (is_float(x.dtype))
    run(double{});
  else
    with_wide(x.dtype, run);
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(reduction) {
  const auto reduction = [&](const char* name, Types types, Kind kind) {
    add(define(name, {.inputs = {{types}, {kI64, true}}, .attributes = "axes:I keepdims:i noop_with_empty_axes:i"},
               infer_reduce, evaluate_reduce(kind)));
  };
  reduction("ReduceSum", kNumber, Kind::sum);
  reduction("ReduceMean", kNumber, Kind::mean);
  reduction("ReduceMax", kAny, Kind::max);
  reduction("ReduceMin", kAny, Kind::min);
  reduction("ReduceProd", kNumber, Kind::prod);
  reduction("ReduceL1", kNumber, Kind::l1);
  reduction("ReduceL2", kNumber, Kind::l2);
  reduction("ReduceSumSquare", kNumber, Kind::sum_square);
  reduction("ReduceLogSum", kNumber, Kind::log_sum);
  reduction("ReduceLogSumExp", kNumber, Kind::log_sum_exp);
  const Signature arg_signature{.inputs = {{kNumber}}, .attributes = "axis:i keepdims:i select_last_index:i"};
  add(define("ArgMax", arg_signature, infer_arg, evaluate_arg));
  add(define("ArgMin", arg_signature, infer_arg, evaluate_arg));
  add(define("CumSum", {.inputs = {{kNumber}, {kIndex}}, .attributes = "exclusive:i reverse:i"}, infer_cumsum,
             evaluate_cumsum));
}
