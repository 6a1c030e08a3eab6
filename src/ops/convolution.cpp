// Conv and ConvTranspose, any number of spatial axes, groups and dilations. Sums are accumulated in double and rounded
// once, so a convolution of integer-valued floats is exact.
#include "ops/support/check.h"
#include "ops/support/convolve.h"

namespace nnq::ops {
namespace {

constexpr const char* kWindowAttributes =
    "strides:I dilations:I pads:I auto_pad:s kernel_shape:I group:i output_padding:I output_shape:I";

Status check_bias(const InferContext& ctx, const Dim& filters) {
  if (!ctx.has(2) || !ctx.input(2).ranked) return {};
  const ValueType& bias = ctx.input(2);
  const bool fits =
      bias.shape.size() == 1 && (!bias.shape[0].known() || !filters.known() || bias.shape[0].value == filters.value);
  NNQ_REQUIRE(fits, title(ctx.node), ": the bias is ", bias.to_string(), ", expected one value for each of ",
              to_string({filters}), " filters");
  return {};
}

Status infer_conv(InferContext& ctx) {
  SymbolicShape shape;
  NNQ_TRY(infer_convolution(ctx, 1, shape));
  if (shape.empty()) {
    set_output(ctx, 0, unranked(ctx.input(0).dtype));
    return {};
  }
  NNQ_TRY(check_bias(ctx, shape[1]));
  set_output(ctx, 0, ranked(ctx.input(0).dtype, std::move(shape)));
  return {};
}

Status evaluate_conv(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &w = ctx.input(1), &y = ctx.output(0);
  Convolution c;
  NNQ_TRY(make_convolution(ctx, x, w, c));
  const std::int64_t patch = c.patch(), positions = c.output.product();
  const Workspace work(ctx.scratch, panel_bytes(patch));
  convolve(
      c, x, work.as<double>(),
      [&](std::int64_t filter, double* out, std::int64_t step) {
        load_doubles(w.dtype, w.data, filter * patch, 1, patch, out, step);
      },
      [&](std::int64_t, std::int64_t filter, std::int64_t, std::int64_t count, double* v) {
        if (ctx.has(2)) std::fill_n(v, count, at<double>(ctx.input(2), filter));
      },
      [&](std::int64_t n, std::int64_t filter, std::int64_t first, std::int64_t count, double* v) {
        store<double>(y.dtype, y.data, (n * c.filters + filter) * positions + first, count, v);
      });
  return {};
}

// ---- ConvTranspose: weights [C, M / groups, kernel...]

Status infer_conv_transpose(InferContext& ctx) {
  const ValueType &x = ctx.input(0), &w = ctx.input(1);
  NNQ_REQUIRE(!x.ranked || x.shape.size() >= 3, title(ctx.node), ": the input must be [N, C, spatial...], got ",
              x.to_string());
  NNQ_REQUIRE(!w.ranked || w.shape.size() >= 3, title(ctx.node), ": weights must be [C, M/group, kernel...], got ",
              w.to_string());
  if (!x.ranked || !w.ranked) {
    set_output(ctx, 0, x.ranked ? of_rank(x.dtype, x.shape.size()) : unranked(x.dtype));
    return {};
  }
  const std::size_t rank = x.shape.size();
  NNQ_REQUIRE(w.shape.size() == rank, title(ctx.node), ": input ", x.to_string(), " and weights ", w.to_string(),
              " differ in rank");
  const std::int64_t groups = ctx.node.get_int("group", 1);
  NNQ_REQUIRE(groups >= 1, title(ctx.node), ": group must be at least 1, got ", groups);
  Dim channels;
  NNQ_TRY(unify(ctx.node, "channels of input and weights", x.shape[1], w.shape[0], channels));
  NNQ_REQUIRE(!channels.known() || channels.value % groups == 0, title(ctx.node), ": ", channels.value,
              " channels do not divide into ", groups, " groups");
  SymbolicShape shape(rank);
  shape[0] = x.shape[0];
  NNQ_TRY(multiply(ctx.node, w.shape[1], Dim(groups), shape[1]));
  NNQ_TRY(check_bias(ctx, shape[1]));
  const std::vector<std::int64_t> stated = ctx.node.get_ints("kernel_shape");
  NNQ_REQUIRE(stated.empty() || stated.size() == rank - 2, title(ctx.node), ": kernel_shape has ", stated.size(),
              " entries, expected ", rank - 2);
  Dims kernel, input, output;
  bool known = true;
  for (std::size_t i = 2; i < rank; ++i) {
    NNQ_REQUIRE(stated.empty() || !w.shape[i].known() || w.shape[i].value == stated[i - 2], title(ctx.node),
                ": kernel_shape does not match weights ", w.to_string());
    known = known && w.shape[i].known();
    kernel.push_back(w.shape[i].value);
    input.push_back(x.shape[i].value);
  }
  WindowGeometry geometry;
  if (known) NNQ_TRY(resolve_transpose_padding(ctx.node, kernel, input, geometry, output));
  for (std::size_t i = 0; i < output.size(); ++i) shape[i + 2] = output[i] >= 0 ? Dim(output[i]) : Dim();
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

/// Adds weight * x along every row of one input plane into the output plane `sum` at kernel tap `tap`.
void scatter_plane(const WindowGeometry& g, const Dims& in, const Dims& out, const Dims& tap, double weight,
                   const double* x, double* sum) {
  const std::size_t last = in.size() - 1;
  const Dims steps = row_major(out);
  const std::int64_t shift = tap[last] * g.dilation[last] - g.pad_begin[last], stride = g.stride[last];
  Dims index(last, 0);
  do {
    std::int64_t offset = 0;
    bool valid = true;
    for (std::size_t i = 0; i < last; ++i) {
      const std::int64_t at = index[i] * g.stride[i] + tap[i] * g.dilation[i] - g.pad_begin[i];
      valid = valid && at >= 0 && at < out[i];
      offset += at * steps[i];
    }
    if (valid) {
      for (std::int64_t i = 0; i < in[last]; ++i) {
        const std::int64_t at = i * stride + shift;
        if (at >= 0 && at < out[last]) sum[offset + at] += weight * x[i];
      }
    }
    x += in[last];
  } while (next_index(index, in, last));
}

Status evaluate_conv_transpose(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &w = ctx.input(1), &y = ctx.output(0);
  const Dims xs(x.shape), ws(w.shape), ys(y.shape);
  if (y.count() == 0) return {};
  Dims kernel, in, out, resolved;
  for (std::size_t i = 2; i < xs.size(); ++i) {
    kernel.push_back(ws[i]);
    in.push_back(xs[i]);
    out.push_back(ys[i]);
  }
  WindowGeometry g;
  NNQ_TRY(resolve_transpose_padding(ctx.node, kernel, in, g, resolved));
  const std::int64_t groups = ctx.node.get_int("group", 1), depth = xs[1] / groups, filters = ws[1];
  const std::int64_t in_plane = in.product(), out_plane = out.product(), taps = kernel.product();
  const Workspace work({}, static_cast<std::size_t>(in_plane + out_plane) * sizeof(double));
  double* plane = work.as<double>();
  double* sum = plane + in_plane;
  for (std::int64_t n = 0; n < xs[0]; ++n) {
    for (std::int64_t m = 0; m < groups * filters; ++m) {
      std::fill_n(sum, out_plane, ctx.has(2) ? at<double>(ctx.input(2), m) : 0.0);
      for (std::int64_t c = m / filters * depth; c < (m / filters + 1) * depth && in_plane > 0; ++c) {
        load_doubles(x.dtype, x.data, (n * xs[1] + c) * in_plane, 1, in_plane, plane, 1);
        std::int64_t element = (c * filters + m % filters) * taps;
        Dims tap(kernel.size(), 0);
        do scatter_plane(g, in, out, tap, at<double>(w, element++), plane, sum);
        while (next_index(tap, kernel, kernel.size()));
      }
      store<double>(y.dtype, y.data, (n * groups * filters + m) * out_plane, out_plane, sum);
    }
  }
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(convolution) {
  const Signature signature{.inputs = {{kFloat}, {kFloat, false, 0}, {kFloat, true, 0}},
                            .attributes = kWindowAttributes};
  Op conv = define("Conv", signature, infer_conv, evaluate_conv);
  conv.macs = [](const Node&, std::span<const ValueType> in, std::span<const ValueType> out) {
    return convolution_macs(in[1], out[0]);
  };
  conv.scratch = [](const Node&, std::span<const ValueType> in) { return convolution_scratch(in[1]); };
  add(std::move(conv));

  Op transpose = define("ConvTranspose", signature, infer_conv_transpose, evaluate_conv_transpose);
  transpose.macs = [](const Node&, std::span<const ValueType> in, std::span<const ValueType>) {
    // Every input element meets every weight of its channel.
    std::int64_t total = in[1].shape[1].value;
    for (std::size_t i = 2; i < in[1].shape.size(); ++i) total *= in[1].shape[i].value;
    for (const Dim& d : in[0].shape) total *= d.value;
    return total;
  };
  add(std::move(transpose));
}
