// Operators that pick elements: Slice, Gather, GatherElements.
#include <algorithm>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/copy.h"
#include "ops/support/elements.h"

namespace nnq::ops {
namespace {

// ---- Slice: starts, ends, axes, steps are attributes before opset 10 (no steps), inputs 1 to 4 from then on.

struct Bounds {
  bool starts_known = true, axes_known = true;
  std::vector<std::int64_t> starts, ends, axes, steps;
};

/// One axis: first index, number of elements, step.
struct Cut {
  std::int64_t start = 0, count = 0, step = 1;
};

Cut cut_axis(std::int64_t extent, std::int64_t start, std::int64_t end, std::int64_t step) {
  // No more than one element is left once the step exceeds any extent; clamping keeps the arithmetic in range.
  step = std::clamp(step, -(std::int64_t{1} << 61), std::int64_t{1} << 61);
  if (start < 0) start += extent;
  if (end < 0) end += extent;
  Cut cut;
  if (step > 0) {
    start = std::clamp<std::int64_t>(start, 0, extent);
    end = std::clamp<std::int64_t>(end, 0, extent);
    cut.count = end > start ? (end - start + step - 1) / step : 0;
  } else {
    start = std::clamp<std::int64_t>(start, -1, extent - 1);
    end = std::clamp<std::int64_t>(end, -1, extent - 1);
    cut.count = start > end ? (start - end - step - 1) / -step : 0;
  }
  cut.start = cut.count > 0 ? start : 0;
  cut.step = cut.count > 1 ? step : 1;
  return cut;
}

Status check_bounds(const Node& node, std::size_t rank, Bounds& b) {
  const std::size_t n = b.starts.size();
  if (b.axes.empty()) {
    for (std::size_t i = 0; i < n; ++i) b.axes.push_back(static_cast<std::int64_t>(i));
  }
  if (b.steps.empty()) b.steps.assign(n, 1);
  NNQ_REQUIRE(b.ends.size() == n && b.axes.size() == n && b.steps.size() == n, title(node), ": ", n, " starts, ",
              b.ends.size(), " ends, ", b.axes.size(), " axes and ", b.steps.size(), " steps must be equally many");
  std::vector<std::int64_t> sorted;
  NNQ_TRY(normalize_axes(node, b.axes, static_cast<std::int64_t>(rank), sorted));
  for (std::int64_t& a : b.axes) a += a < 0 ? static_cast<std::int64_t>(rank) : 0;
  for (std::int64_t s : b.steps) NNQ_REQUIRE(s != 0, title(node), ": a step is 0");
  return {};
}

Status infer_slice(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  Bounds b;
  if (ctx.opset < 10 && !ctx.has(1)) {
    b.starts = ctx.node.get_ints("starts");
    b.ends = ctx.node.get_ints("ends");
    b.axes = ctx.node.get_ints("axes");
  } else {
    NNQ_REQUIRE(ctx.has(1) && ctx.has(2), title(ctx.node), ": starts and ends are missing");
    bool starts = false, ends = false, axes = !ctx.has(3), steps = !ctx.has(4);
    NNQ_TRY(constant_integers(ctx, 1, "starts", starts, b.starts));
    NNQ_TRY(constant_integers(ctx, 2, "ends", ends, b.ends));
    if (!axes) NNQ_TRY(constant_integers(ctx, 3, "axes", axes, b.axes));
    if (!steps) NNQ_TRY(constant_integers(ctx, 4, "steps", steps, b.steps));
    b.starts_known = starts && ends && steps;
    b.axes_known = axes;
  }
  if (!x.ranked) {
    set_output(ctx, 0, unranked(x.dtype));
    return {};
  }
  ValueType result = x;
  if (!b.starts_known || !b.axes_known) {
    const bool listed = b.axes_known && ctx.has(3);
    for (std::size_t i = 0; i < result.shape.size(); ++i) {
      const auto axis = static_cast<std::int64_t>(i), back = axis - static_cast<std::int64_t>(result.shape.size());
      const bool cut =
          !listed ||
          std::count(b.axes.begin(), b.axes.end(), axis) + std::count(b.axes.begin(), b.axes.end(), back) > 0;
      if (cut) result.shape[i] = Dim();
    }
    set_output(ctx, 0, std::move(result));
    return {};
  }
  NNQ_TRY(check_bounds(ctx.node, x.shape.size(), b));
  for (std::size_t i = 0; i < b.axes.size(); ++i) {
    Dim& d = result.shape[static_cast<std::size_t>(b.axes[i])];
    if (d.known()) {
      d = Dim(cut_axis(d.value, b.starts[i], b.ends[i], b.steps[i]).count);
    } else {
      const bool whole = b.starts[i] == 0 && b.ends[i] >= std::numeric_limits<std::int32_t>::max() && b.steps[i] == 1;
      if (!whole) d = Dim();
    }
  }
  set_output(ctx, 0, std::move(result));
  return {};
}

Status evaluate_slice(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &y = ctx.output(0);
  Bounds b;
  if (!ctx.has(1)) {
    b.starts = ctx.node.get_ints("starts");
    b.ends = ctx.node.get_ints("ends");
    b.axes = ctx.node.get_ints("axes");
  } else {
    NNQ_TRY(read_integers(ctx.node, "starts", ctx.input(1), kMaxRank, b.starts));
    NNQ_TRY(read_integers(ctx.node, "ends", ctx.input(2), kMaxRank, b.ends));
    if (ctx.has(3)) NNQ_TRY(read_integers(ctx.node, "axes", ctx.input(3), kMaxRank, b.axes));
    if (ctx.has(4)) NNQ_TRY(read_integers(ctx.node, "steps", ctx.input(4), kMaxRank, b.steps));
  }
  NNQ_TRY(check_bounds(ctx.node, x.shape.size(), b));
  Dims out(x.shape), strides = row_major(x.shape);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < b.axes.size(); ++i) {
    const auto a = static_cast<std::size_t>(b.axes[i]);
    const Cut cut = cut_axis(x.shape[a], b.starts[i], b.ends[i], b.steps[i]);
    out[a] = cut.count;
    offset += cut.start * strides[a];
    strides[a] *= cut.step;
  }
  NNQ_REQUIRE(out == Dims(y.shape), title(ctx.node), ": cuts ", nnq::to_string(out.shape()), " but its output is ",
              nnq::to_string(y.shape));
  const std::size_t size = size_of(x.dtype);
  if (y.count() > 0)
    copy_strided(size, out, x.data + offset * static_cast<std::int64_t>(size), strides, y.data, row_major(out));
  return {};
}

// ---- Gather, GatherElements

/// Index in [-extent, extent) made non-negative; -1 when it is outside.
std::int64_t wrapped(std::int64_t index, std::int64_t extent) {
  if (index < -extent || index >= extent) return -1;
  return index < 0 ? index + extent : index;
}

Status infer_gather(InferContext& ctx) {
  const ValueType &x = ctx.input(0), &indices = ctx.input(1);
  if (!x.ranked || !indices.ranked) {
    set_output(ctx, 0, unranked(x.dtype));
    return {};
  }
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(x.shape.size()), axis));
  SymbolicShape shape(x.shape.begin(), x.shape.begin() + axis);
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), x.shape.begin() + axis + 1, x.shape.end());
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

Status evaluate_gather(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &indices = ctx.input(1), &y = ctx.output(0);
  const Dims dims(x.shape);
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(dims.size()), axis));
  const auto a = static_cast<std::size_t>(axis);
  const std::size_t inner = static_cast<std::size_t>(dims.product(a + 1, dims.size())) * size_of(x.dtype);
  const std::int64_t outer = dims.product(0, a), extent = dims[a], count = indices.count();
  std::byte* out = y.data;
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i = 0; i < count; ++i, out += inner) {
      const auto given = at<std::int64_t>(indices, i);
      const std::int64_t index = wrapped(given, extent);
      NNQ_REQUIRE(index >= 0, title(ctx.node), ": index ", given, " is outside axis ", axis, " of extent ", extent);
      if (inner > 0) std::memcpy(out, x.data + static_cast<std::size_t>(o * extent + index) * inner, inner);
    }
  }
  return {};
}

Status infer_gather_elements(InferContext& ctx) {
  const ValueType &x = ctx.input(0), &indices = ctx.input(1);
  if (x.ranked) {
    std::int64_t axis = 0;
    NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(x.shape.size()), axis));
    NNQ_REQUIRE(!indices.ranked || indices.shape.size() == x.shape.size(), title(ctx.node), ": input ", x.to_string(),
                " and indices ", indices.to_string(), " differ in rank");
    for (std::size_t i = 0; indices.ranked && i < x.shape.size(); ++i) {
      const Dim &d = x.shape[i], &k = indices.shape[i];
      NNQ_REQUIRE(static_cast<std::int64_t>(i) == axis || !d.known() || !k.known() || k.value <= d.value,
                  title(ctx.node), ": indices ", indices.to_string(), " exceed ", x.to_string());
    }
  }
  set_output(ctx, 0, indices.ranked ? ranked(x.dtype, indices.shape) : unranked(x.dtype));
  return {};
}

Status evaluate_gather_elements(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &indices = ctx.input(1), &y = ctx.output(0);
  const Dims dims(x.shape), out(indices.shape), strides = row_major(dims);
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(dims.size()), axis));
  if (y.count() == 0) return {};
  const auto a = static_cast<std::size_t>(axis);
  const std::size_t size = size_of(x.dtype);
  Dims index(out.size(), 0);
  std::int64_t i = 0;
  do {
    const auto given = at<std::int64_t>(indices, i);
    const std::int64_t picked = wrapped(given, dims[a]);
    NNQ_REQUIRE(picked >= 0, title(ctx.node), ": index ", given, " is outside axis ", axis, " of extent ", dims[a]);
    std::int64_t from = 0;
    for (std::size_t d = 0; d < out.size(); ++d) from += (d == a ? picked : index[d]) * strides[d];
    std::memcpy(y.data + static_cast<std::size_t>(i) * size, x.data + static_cast<std::size_t>(from) * size, size);
    ++i;
  } while (next_index(index, out, out.size()));
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(select) {
  const Formal bounds{kIndex, true};
  add(define("Slice", {.inputs = {{kAny}, bounds, bounds, bounds, bounds}, .attributes = "starts:I ends:I axes:I"},
             infer_slice, evaluate_slice));
  add(define("Gather", {.inputs = {{kAny}, {kIndex}}, .attributes = "axis:i"}, infer_gather, evaluate_gather));
  add(define("GatherElements", {.inputs = {{kAny}, {kIndex}}, .attributes = "axis:i"}, infer_gather_elements,
             evaluate_gather_elements));
}
