#include "ops/support/convolve.h"

#include "ops/support/check.h"

namespace nnq::ops {

Status infer_convolution(const InferContext& ctx, std::size_t w_index, SymbolicShape& out) {
  const Node& node = ctx.node;
  const ValueType& x = ctx.input(0);
  const ValueType& w = ctx.input(w_index);
  NNQ_REQUIRE(!w.ranked || w.shape.size() >= 3, title(node), ": weights must be [M, C/group, kernel...], got ",
              w.to_string());
  NNQ_REQUIRE(!x.ranked || x.shape.size() >= 3, title(node), ": the input must be [N, C, spatial...], got ",
              x.to_string());
  const std::size_t rank = x.ranked ? x.shape.size() : (w.ranked ? w.shape.size() : 0);
  out.assign(rank, Dim());
  if (!x.ranked || !w.ranked) return {};
  NNQ_REQUIRE(w.shape.size() == rank, title(node), ": input ", x.to_string(), " and weights ", w.to_string(),
              " differ in rank");
  const std::int64_t groups = node.get_int("group", 1);
  NNQ_REQUIRE(groups >= 1, title(node), ": group must be at least 1, got ", groups);
  const Dim &channels = x.shape[1], &filters = w.shape[0], &depth = w.shape[1];
  if (channels.known() && depth.known()) {
    NNQ_REQUIRE(channels.value % groups == 0 && channels.value / groups == depth.value, title(node), ": ",
                channels.value, " input channels in ", groups, " groups do not match weights ", w.to_string());
  }
  NNQ_REQUIRE(!filters.known() || filters.value % groups == 0, title(node), ": ", filters.value,
              " filters do not divide into ", groups, " groups");
  out[0] = x.shape[0];
  out[1] = filters;
  Dims kernel, input;
  const std::vector<std::int64_t> stated = node.get_ints("kernel_shape");
  NNQ_REQUIRE(stated.empty() || stated.size() == rank - 2, title(node), ": kernel_shape has ", stated.size(),
              " entries, expected ", rank - 2);
  for (std::size_t i = 2; i < rank; ++i) {
    const Dim& k = w.shape[i];
    if (!stated.empty()) {
      NNQ_REQUIRE(!k.known() || k.value == stated[i - 2], title(node), ": kernel_shape says ", stated[i - 2],
                  " but the weights are ", w.to_string());
      kernel.push_back(stated[i - 2]);
    } else if (!k.known()) {
      return {};
    } else {
      kernel.push_back(k.value);
    }
    input.push_back(x.shape[i].value);
  }
  WindowGeometry geometry;
  NNQ_TRY(resolve_conv_padding(node, kernel, input, geometry));
  SymbolicShape extents;
  if (pads_to_same(node)) {  // the output extent is ceil(input / stride), padding unknown or not
    for (std::size_t i = 0; i < kernel.size(); ++i) {
      const Dim& d = x.shape[i + 2];
      if (d.known())
        extents.emplace_back((d.value + geometry.stride[i] - 1) / geometry.stride[i]);
      else
        extents.push_back(geometry.stride[i] == 1 ? d : Dim());
    }
  } else {
    NNQ_TRY(window_output_dims(node, geometry, std::span(x.shape).subspan(2), false, extents));
  }
  std::copy(extents.begin(), extents.end(), out.begin() + 2);
  return {};
}

Status make_convolution(const EvalContext& ctx, const TensorView& x, const TensorView& w, Convolution& c) {
  const Dims xs(x.shape), ws(w.shape), ys(ctx.output(0).shape);
  Dims kernel;
  for (std::size_t i = 2; i < xs.size(); ++i) {
    kernel.push_back(ws[i]);
    c.input.push_back(xs[i]);
    c.output.push_back(ys[i]);
  }
  NNQ_TRY(resolve_conv_padding(ctx.node, kernel, c.input, c.geometry));
  c.batch = xs[0];
  c.channels = xs[1];
  c.filters = ws[0];
  c.groups = ctx.node.get_int("group", 1);
  return {};
}

namespace {

/// Output indices [low, high) whose window element `at` (kernel index * dilation - pad) falls inside the input.
std::pair<std::int64_t, std::int64_t> inside(std::int64_t at, std::int64_t stride, std::int64_t extent) {
  const std::int64_t low = at >= 0 ? 0 : (-at + stride - 1) / stride;
  const std::int64_t high = at >= extent ? 0 : (extent - 1 - at) / stride + 1;
  return {low, high};
}

}  // namespace

void gather_patches(const Convolution& c, const TensorView& x, std::int64_t n, std::int64_t g, std::int64_t first,
                    std::int64_t count, double* out, std::int64_t stride) {
  const WindowGeometry& geo = c.geometry;
  const std::size_t rank = geo.rank(), last = rank - 1;
  const std::int64_t depth = c.channels / c.groups, plane = c.input.product(), width = c.output[last];
  const Dims steps = row_major(c.input);
  for (std::int64_t channel = 0; channel < depth; ++channel) {
    const std::int64_t base = (n * c.channels + g * depth + channel) * plane;
    Dims tap(rank, 0);
    do {
      const std::int64_t at = tap[last] * geo.dilation[last] - geo.pad_begin[last];
      const auto [low, high] = inside(at, geo.stride[last], c.input[last]);
      for (std::int64_t done = 0; done < count;) {
        const std::int64_t position = first + done, column = position % width;
        const std::int64_t length = std::min(width - column, count - done);
        std::int64_t rest = position / width, offset = base;
        bool valid = true;
        for (std::size_t i = last; i-- > 0;) {
          const std::int64_t index = rest % c.output[i] * geo.stride[i] + tap[i] * geo.dilation[i] - geo.pad_begin[i];
          rest /= c.output[i];
          valid = valid && index >= 0 && index < c.input[i];
          offset += index * steps[i];
        }
        const std::int64_t from = std::max(low, column), to = std::min(high, column + length);
        if (valid && from < to) {
          double* row = out + done + (from - column);
          load_doubles(x.dtype, x.data, offset + from * geo.stride[last] + at, geo.stride[last], to - from, row, 1);
          if (c.x_zero != 0) {
            for (std::int64_t i = 0; i < to - from; ++i) row[i] -= c.x_zero;
          }
        }
        done += length;
      }
      out += stride;
    } while (next_index(tap, geo.kernel, rank));
  }
}

std::size_t convolution_scratch(const ValueType& w) {
  std::int64_t patch = 1;
  for (std::size_t i = 1; i < w.shape.size(); ++i) patch *= std::max<std::int64_t>(w.shape[i].value, 0);
  return panel_bytes(patch);
}

std::int64_t convolution_macs(const ValueType& w, const ValueType& y) {
  std::int64_t total = 1;
  for (std::size_t i = 1; i < w.shape.size(); ++i) total *= w.shape[i].value;
  for (const Dim& d : y.shape) total *= d.value;
  return total;
}

}  // namespace nnq::ops
