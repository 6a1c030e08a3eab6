// MaxPool, AveragePool and their global forms, any number of spatial axes.
#include <cmath>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/geometry.h"
#include "ops/support/multiply.h"

namespace nnq::ops {
namespace {

constexpr const char* kAttributes =
    "kernel_shape:I strides:I dilations:I pads:I auto_pad:s ceil_mode:i count_include_pad:i storage_order:i";

/// Read in place: get_ints copies, and evaluation allocates nothing.
Dims kernel_of(const Node& node) {
  const auto it = node.attributes.find("kernel_shape");
  const auto* list = it == node.attributes.end() ? nullptr : std::get_if<std::vector<std::int64_t>>(&it->second);
  return list == nullptr ? Dims() : Dims(*list);
}

Status infer_pool(InferContext& ctx) {
  const Node& node = ctx.node;
  const ValueType& x = ctx.input(0);
  const std::vector<std::int64_t> stated = node.get_ints("kernel_shape");
  NNQ_REQUIRE(!stated.empty() && stated.size() + 2 <= kMaxRank, title(node), ": kernel_shape is missing or has ",
              stated.size(), " entries");
  NNQ_REQUIRE(!x.ranked || x.shape.size() == stated.size() + 2, title(node), ": kernel_shape has ", stated.size(),
              " entries but the input is ", x.to_string());
  SymbolicShape shape(stated.size() + 2);
  if (x.ranked) {
    const Dims kernel = kernel_of(node);
    Dims input;
    for (std::size_t i = 0; i < kernel.size(); ++i) input.push_back(x.shape[i + 2].value);
    WindowGeometry g;
    NNQ_TRY(resolve_conv_padding(node, kernel, input, g));
    for (std::size_t i = 0; i < kernel.size(); ++i) {
      NNQ_REQUIRE(g.pad_begin[i] < g.span(i) && g.pad_end[i] < g.span(i), title(node), ": pads ", g.pad_begin[i],
                  " and ", g.pad_end[i], " must be smaller than the window of ", g.span(i));
    }
    SymbolicShape extents;
    if (pads_to_same(node)) {
      for (std::size_t i = 0; i < kernel.size(); ++i) {
        const Dim& d = x.shape[i + 2];
        if (d.known())
          extents.emplace_back((d.value + g.stride[i] - 1) / g.stride[i]);
        else
          extents.push_back(g.stride[i] == 1 ? d : Dim());
      }
    } else {
      NNQ_TRY(window_output_dims(node, g, std::span(x.shape).subspan(2), node.get_int("ceil_mode", 0) != 0, extents));
    }
    shape[0] = x.shape[0];
    shape[1] = x.shape[1];
    std::copy(extents.begin(), extents.end(), shape.begin() + 2);
  }
  set_output(ctx, 1, ranked(DType::i64, shape));
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

/// The part of one window that lies in the input: taps [low, high) of each axis, and where tap 0 is.
struct Window {
  Dims start, low, high;
  std::int64_t padded_taps = 1;  // taps inside input and padding together

  bool empty() const {
    for (std::size_t i = 0; i < low.size(); ++i) {
      if (low[i] >= high[i]) return true;
    }
    return false;
  }
};

Window window_at(const WindowGeometry& g, const Dims& input, const Dims& index) {
  const std::size_t rank = g.rank();
  Window w{Dims(rank), Dims(rank), Dims(rank)};
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t d = g.dilation[i];
    const auto taps_below = [&](std::int64_t limit) {
      return limit <= w.start[i] ? 0 : std::min(g.kernel[i], (limit - w.start[i] + d - 1) / d);
    };
    w.start[i] = index[i] * g.stride[i] - g.pad_begin[i];
    w.low[i] = taps_below(0);
    w.high[i] = taps_below(input[i]);
    w.padded_taps *= taps_below(input[i] + g.pad_end[i]);
  }
  return w;
}

/// Calls f(offset in the plane) for every tap of a window that lies in the input.
template <class F>
void for_each_tap(const WindowGeometry& g, const Dims& steps, const Window& w, F&& f) {
  if (w.empty()) return;
  const std::size_t rank = g.rank(), last = rank - 1;
  Dims tap = w.low;
  for (;;) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < last; ++i) offset += (w.start[i] + tap[i] * g.dilation[i]) * steps[i];
    for (std::int64_t t = w.low[last]; t < w.high[last]; ++t) f(offset + w.start[last] + t * g.dilation[last]);
    std::size_t i = last;
    while (i > 0 && ++tap[i - 1] >= w.high[i - 1]) {
      tap[i - 1] = w.low[i - 1];
      --i;
    }
    if (i == 0) return;
  }
}

/// Runs over planes and windows: window(plane index, plane values, output index, w).
template <class F>
Status for_each_window(EvalContext& ctx, const Dims& out_dims, WindowGeometry& g, F&& f) {
  const TensorView& x = ctx.input(0);
  const Dims dims(x.shape);
  Dims input, output;
  for (std::size_t i = 2; i < dims.size(); ++i) {
    input.push_back(dims[i]);
    output.push_back(out_dims[i]);
  }
  NNQ_TRY(resolve_conv_padding(ctx.node, kernel_of(ctx.node), input, g));
  const std::int64_t plane = input.product(), windows = output.product();
  const Workspace work(ctx.scratch, static_cast<std::size_t>(plane) * sizeof(double));
  double* values = work.as<double>();
  for (std::int64_t p = 0; p < dims[0] * dims[1] && windows > 0; ++p) {
    load_doubles(x.dtype, x.data, p * plane, 1, plane, values, 1);
    Dims index(output.size(), 0);
    std::int64_t position = p * windows;
    do f(p * plane, values, position++, window_at(g, input, index), row_major(input));
    while (next_index(index, output, output.size()));
  }
  return {};
}

/// Flat index with the spatial axes in column-major order (storage_order = 1).
std::int64_t column_major(std::int64_t offset, const Dims& steps, const Dims& input) {
  std::int64_t index = 0, scale = 1;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    index += offset / steps[i] % input[i] * scale;
    scale *= input[i];
  }
  return index;
}

Status evaluate_max_pool(EvalContext& ctx) {
  const TensorView* values = ctx.outputs[0];
  const TensorView* indices = ctx.outputs.size() > 1 ? ctx.outputs[1] : nullptr;
  if (values == nullptr && indices == nullptr) return {};
  const bool by_column = ctx.node.get_int("storage_order", 0) != 0;
  WindowGeometry g;
  Dims input;
  for (std::size_t i = 2; i < ctx.input(0).shape.size(); ++i) input.push_back(ctx.input(0).shape[i]);
  return for_each_window(
      ctx, (values != nullptr ? values : indices)->shape, g,
      [&](std::int64_t base, const double* plane, std::int64_t out, const Window& w, const Dims& steps) {
        double best = -std::numeric_limits<double>::infinity();
        std::int64_t where = -1;
        for_each_tap(g, steps, w, [&](std::int64_t offset) {
          if (where < 0 || plane[offset] > best || std::isnan(plane[offset])) {
            best = plane[offset];
            where = offset;
          }
        });
        if (values != nullptr) store<double>(values->dtype, values->data, out, 1, &best);
        if (indices == nullptr) return;
        where = std::max<std::int64_t>(where, 0);
        indices->as<std::int64_t>()[out] = base + (by_column ? column_major(where, steps, input) : where);
      });
}

/// Sum in double divided once: exact for integer-valued floats up to the division.
Status evaluate_average_pool(EvalContext& ctx) {
  const TensorView& y = ctx.output(0);
  const bool count_padding = ctx.node.get_int("count_include_pad", 0) != 0;
  WindowGeometry g;
  return for_each_window(ctx, y.shape, g,
                         [&](std::int64_t, const double* plane, std::int64_t out, const Window& w, const Dims& steps) {
                           double sum = 0;
                           std::int64_t count = 0;
                           for_each_tap(g, steps, w, [&](std::int64_t offset) {
                             sum += plane[offset];
                             ++count;
                           });
                           const std::int64_t divisor = count_padding ? w.padded_taps : count;
                           const double mean = divisor > 0 ? sum / static_cast<double>(divisor) : 0.0;
                           store<double>(y.dtype, y.data, out, 1, &mean);
                         });
}

// ---- Global pooling

Status infer_global(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  NNQ_REQUIRE(!x.ranked || x.shape.size() >= 2, title(ctx.node), ": the input must be [N, C, spatial...], got ",
              x.to_string());
  if (!x.ranked) {
    set_output(ctx, 0, unranked(x.dtype));
    return {};
  }
  SymbolicShape shape = x.shape;
  for (std::size_t i = 2; i < shape.size(); ++i) shape[i] = Dim(1);
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

template <class Reduce>
std::function<Status(EvalContext&)> global(double start, Reduce reduce, bool mean) {
  return [=](EvalContext& ctx) -> Status {
    const TensorView &x = ctx.input(0), &y = ctx.output(0);
    const Dims dims(x.shape);
    const std::int64_t plane = dims.product(2, dims.size());
    double block[kBlock];
    for (std::int64_t p = 0; p < dims[0] * dims[1]; ++p) {
      double value = start;
      for (std::int64_t i = 0; i < plane; i += kBlock) {
        const std::int64_t n = std::min(kBlock, plane - i);
        load_doubles(x.dtype, x.data, p * plane + i, 1, n, block, 1);
        for (std::int64_t j = 0; j < n; ++j) value = reduce(value, block[j]);
      }
      if (mean) value /= static_cast<double>(plane);
      store<double>(y.dtype, y.data, p, 1, &value);
    }
    return {};
  };
}

std::size_t plane_scratch(const Node&, std::span<const ValueType> in) {
  std::int64_t plane = 1;
  for (std::size_t i = 2; i < in[0].shape.size(); ++i) plane *= std::max<std::int64_t>(in[0].shape[i].value, 0);
  return static_cast<std::size_t>(plane) * sizeof(double);
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(pooling) {
  Op max = define("MaxPool", {.inputs = {{kFloat | kByte}}, .max_outputs = 2, .attributes = kAttributes}, infer_pool,
                  evaluate_max_pool);
  max.scratch = plane_scratch;
  add(std::move(max));
  Op average =
      define("AveragePool", {.inputs = {{kFloat}}, .attributes = kAttributes}, infer_pool, evaluate_average_pool);
  average.scratch = plane_scratch;
  add(std::move(average));
  add(define("GlobalAveragePool", {.inputs = {{kFloat}}}, infer_global,
             global(
                 0, [](double a, double b) { return a + b; }, true)));
  add(define("GlobalMaxPool", {.inputs = {{kFloat}}}, infer_global,
             global(
                 -std::numeric_limits<double>::infinity(),
                 [](double a, double b) { return b > a || std::isnan(b) ? b : a; }, false)));
}
