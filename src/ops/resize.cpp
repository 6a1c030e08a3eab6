// Resize (opset 10 to 19) and Upsample: separable interpolation, one axis after the other, in double.
#include "ops/support/resize.h"

#include <algorithm>

#include "ops/support/check.h"
#include "ops/support/multiply.h"

namespace nnq::ops {
namespace {

Status infer_resize(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  ResizeStyle style;
  NNQ_TRY(read_resize_style(ctx.node, ctx.opset, style));
  ResizeWanted wanted;
  NNQ_TRY(read_resize_wanted(
      ctx.node, ctx.opset, [&](std::size_t i) { return ctx.has(i); },
      [&](std::size_t i) -> std::optional<TensorView> {
        const Tensor* t = ctx.constant(i);
        if (t == nullptr || !t->defined()) return std::nullopt;
        return t->view();
      },
      wanted));
  if (!x.ranked || !wanted.known) {
    set_output(ctx, 0, x.ranked ? of_rank(x.dtype, x.shape.size()) : unranked(x.dtype));
    return {};
  }
  std::vector<ResizeAxis> plan(x.shape.size());
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].in = x.shape[i].value;
  NNQ_TRY(resolve_resize(ctx.node, wanted, style.coordinates == ResizeCoordinates::tf_crop_and_resize, plan));
  SymbolicShape shape;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    NNQ_REQUIRE(plan[i].in != 0 || plan[i].out <= 0, title(ctx.node), ": axis ", i, " of ", x.to_string(), " is empty");
    const bool same = plan[i].in < 0 && plan[i].out < 0 && plan[i].scale == 1 && wanted.sizes.empty();
    shape.push_back(plan[i].out >= 0 ? Dim(plan[i].out) : (same ? x.shape[i] : Dim()));
  }
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

/// [outer, in, inner] -> [outer, out, inner]
void apply(const ResizeTable& table, std::int64_t outer, std::int64_t in, std::int64_t out, std::int64_t inner,
           const double* from, double* to) {
  std::fill_n(to, outer * out * inner, 0.0);
  for (std::int64_t n = 0; n < outer; ++n) {
    for (std::int64_t o = 0; o < out; ++o) {
      double* row = to + (n * out + o) * inner;
      for (std::int64_t t = 0; t < table.taps; ++t) {
        const double w = table.weight[static_cast<std::size_t>(o * table.taps + t)];
        if (w == 0) continue;  // an infinity beside the sample must not become NaN
        const double* source = from + (n * in + table.index[static_cast<std::size_t>(o * table.taps + t)]) * inner;
        for (std::int64_t i = 0; i < inner; ++i) row[i] += w * source[i];
      }
    }
  }
}

/// tf_crop_and_resize: positions outside the input get the extrapolation value.
void extrapolate(const ResizeStyle& style, const std::vector<ResizeAxis>& plan, const Dims& dims, double value,
                 double* y) {
  Dims index(dims.size(), 0);
  std::int64_t i = 0;
  do {
    bool inside = true;
    for (std::size_t d = 0; d < dims.size() && inside; ++d) {
      const double x = resize_position(style.coordinates, plan[d], index[d]);
      inside = x >= 0 && x <= static_cast<double>(plan[d].in - 1);
    }
    if (!inside) y[i] = value;
    ++i;
  } while (next_index(index, dims, dims.size()));
}

Status evaluate_resize(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &y = ctx.output(0);
  ResizeStyle style;
  NNQ_TRY(read_resize_style(ctx.node, ctx.opset, style));
  ResizeWanted wanted;
  NNQ_TRY(read_resize_wanted(
      ctx.node, ctx.opset, [&](std::size_t i) { return ctx.has(i); },
      [&](std::size_t i) -> std::optional<TensorView> { return ctx.input(i); }, wanted));
  const bool crop = style.coordinates == ResizeCoordinates::tf_crop_and_resize;
  std::vector<ResizeAxis> plan(x.shape.size());
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].in = x.shape[i];
  NNQ_TRY(resolve_resize(ctx.node, wanted, crop, plan));
  for (std::size_t i = 0; i < plan.size(); ++i) {
    NNQ_REQUIRE(plan[i].out == y.shape[i], title(ctx.node), ": resizes axis ", i, " to ", plan[i].out,
                " but its output has ", y.shape[i]);
  }
  if (y.count() == 0) return {};
  NNQ_REQUIRE(x.count() > 0, title(ctx.node), ": the input is empty");
  const std::vector<std::size_t> order = resize_order(plan, crop);
  const auto largest = static_cast<std::size_t>(std::max(x.count(), y.count()));
  const Workspace work(ctx.scratch, 2 * largest * sizeof(double));
  double *from = work.as<double>(), *to = from + largest;
  load_doubles(x.dtype, x.data, 0, 1, x.count(), from, 1);
  Dims dims(x.shape);
  for (std::size_t axis : order) {
    ResizeTable table;
    NNQ_TRY(make_resize_table(ctx.node, style, plan[axis], table));
    apply(table, dims.product(0, axis), plan[axis].in, plan[axis].out, dims.product(axis + 1, dims.size()), from, to);
    dims[axis] = plan[axis].out;
    std::swap(from, to);
  }
  if (crop) extrapolate(style, plan, dims, static_cast<double>(ctx.node.get_float("extrapolation_value", 0)), from);
  store<double>(y.dtype, y.data, 0, y.count(), from);
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(resize) {
  add(define("Resize",
             {.inputs = {{kAny}, {kFloat, true}, {kFloat, true}, {kI64, true}},
              .attributes = "mode:s coordinate_transformation_mode:s nearest_mode:s cubic_coeff_a:f exclude_outside:i "
                            "extrapolation_value:f antialias:i "
                            "axes:I keep_aspect_ratio_policy:s"},
             infer_resize, evaluate_resize));
  add(define("Upsample", {.inputs = {{kAny}, {kFloat, true}}, .attributes = "mode:s scales:F"}, infer_resize,
             evaluate_resize));
}
