// Pad: constant, reflect, edge and wrap; negative pads crop. pads and value are attributes before opset 11, inputs from
// then on; axes is an input from opset 18.
#include "ops/support/check.h"
#include "ops/support/copy.h"
#include "ops/support/elements.h"

namespace nnq::ops {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 40;

/// Pads of every axis from the listed ones.
Status spread_pads(const Node& node, std::size_t rank, const std::vector<std::int64_t>& pads,
                   const std::vector<std::int64_t>& axes, Dims& begin, Dims& end) {
  std::vector<std::int64_t> sorted;
  NNQ_TRY(normalize_axes(node, axes, static_cast<std::int64_t>(rank), sorted));
  NNQ_REQUIRE(pads.size() == 2 * axes.size(), title(node), ": ", pads.size(), " pads given, expected ",
              2 * axes.size());
  begin = Dims(rank, 0);
  end = Dims(rank, 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(axes[i] < 0 ? axes[i] + static_cast<std::int64_t>(rank) : axes[i]);
    for (std::int64_t p : {pads[i], pads[axes.size() + i]})
      NNQ_REQUIRE(p > -kLargest && p < kLargest, title(node), ": pad ", p, " is out of range");
    begin[axis] = pads[i];
    end[axis] = pads[axes.size() + i];
  }
  return {};
}

std::vector<std::int64_t> all_axes(std::size_t rank) {
  std::vector<std::int64_t> axes;
  for (std::size_t i = 0; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
  return axes;
}

std::vector<std::int64_t> attribute_pads(const Node& node) { return node.get_ints("pads", node.get_ints("paddings")); }

Status infer_pad(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  const std::string mode = ctx.node.get_string("mode", "constant");
  NNQ_REQUIRE(mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap", title(ctx.node),
              ": unknown mode ", mode);
  if (ctx.has(2)) {
    Dim count;
    if (ctx.input(2).ranked) NNQ_TRY(product(ctx.node, ctx.input(2).shape, 0, ctx.input(2).shape.size(), count));
    NNQ_REQUIRE(!count.known() || count.value == 1, title(ctx.node), ": the pad value must be a scalar, got ",
                ctx.input(2).to_string());
  }
  bool known = true, axes_known = true;
  std::vector<std::int64_t> pads = attribute_pads(ctx.node), axes;
  if (ctx.has(1)) NNQ_TRY(constant_integers(ctx, 1, "pads", known, pads));
  if (ctx.has(3)) NNQ_TRY(constant_integers(ctx, 3, "axes", axes_known, axes));
  if (!x.ranked || !known || !axes_known) {
    set_output(ctx, 0, x.ranked ? of_rank(x.dtype, x.shape.size()) : unranked(x.dtype));
    return {};
  }
  Dims begin, end;
  NNQ_TRY(spread_pads(ctx.node, x.shape.size(), pads, ctx.has(3) ? axes : all_axes(x.shape.size()), begin, end));
  ValueType result = x;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    Dim& d = result.shape[i];
    if (d.known()) {
      const std::int64_t extent = d.value;
      NNQ_REQUIRE(extent < kLargest && extent + begin[i] + end[i] >= 0, title(ctx.node), ": axis ", i, " of ",
                  x.to_string(), " cannot be padded by ", begin[i], " and ", end[i]);
      d = Dim(extent + begin[i] + end[i]);
      NNQ_REQUIRE(mode == "constant" || extent > 0 || d.value == 0, title(ctx.node), ": axis ", i,
                  " is empty and cannot be padded by ", mode);
    } else if (begin[i] + end[i] != 0) {
      d = Dim();
    }
  }
  set_output(ctx, 0, std::move(result));
  return {};
}

enum class Mode { constant, reflect, edge, wrap };

/// Where output index i of an axis comes from; -1: the pad value.
std::int64_t source(Mode mode, std::int64_t i, std::int64_t extent) {
  if (i >= 0 && i < extent) return i;
  switch (mode) {
    case Mode::constant:
      return -1;
    case Mode::edge:
      return i < 0 ? 0 : extent - 1;
    case Mode::wrap:
      return (i % extent + extent) % extent;
    case Mode::reflect: {
      if (extent == 1) return 0;
      const std::int64_t period = 2 * (extent - 1), folded = (i % period + period) % period;
      return folded < extent ? folded : period - folded;
    }
  }
  return -1;
}

Mode mode_of(const Node& node) {
  const std::string mode = node.get_string("mode", "constant");
  if (mode == "reflect") return Mode::reflect;
  if (mode == "edge") return Mode::edge;
  return mode == "wrap" ? Mode::wrap : Mode::constant;
}

/// The pad value in the element's own bytes.
void pad_value(const EvalContext& ctx, DType type, std::byte* element) {
  const TensorView to{type, {}, element};
  float attribute = ctx.node.get_float("value", 0);
  if (ctx.has(2))
    convert({ctx.input(2).dtype, {}, ctx.input(2).data}, to);
  else
    convert({DType::f32, {}, reinterpret_cast<std::byte*>(&attribute)}, to);
}

Status evaluate_pad(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &y = ctx.output(0);
  const Dims in(x.shape), out(y.shape), strides = row_major(in);
  std::vector<std::int64_t> pads = attribute_pads(ctx.node), axes = all_axes(in.size());
  if (ctx.has(1)) NNQ_TRY(read_integers(ctx.node, "pads", ctx.input(1), 2 * kMaxRank, pads));
  if (ctx.has(3)) NNQ_TRY(read_integers(ctx.node, "axes", ctx.input(3), kMaxRank, axes));
  Dims begin, end;
  NNQ_TRY(spread_pads(ctx.node, in.size(), pads, axes, begin, end));
  for (std::size_t i = 0; i < in.size(); ++i) {
    NNQ_REQUIRE(in[i] + begin[i] + end[i] == out[i], title(ctx.node), ": the pads do not fit the output ",
                nnq::to_string(y.shape));
  }
  const std::size_t size = size_of(x.dtype);
  alignas(8) std::byte value[8] = {};
  pad_value(ctx, x.dtype, value);
  if (y.count() == 0) return {};
  const Mode mode = mode_of(ctx.node);
  const std::size_t outer = in.empty() ? 0 : in.size() - 1;
  const std::int64_t width = in.empty() ? 1 : out.back();
  Dims index(outer, 0);
  std::byte* to = y.data;
  do {
    std::int64_t base = 0;
    bool inside = true;
    for (std::size_t i = 0; i < outer; ++i) {
      const std::int64_t from = source(mode, index[i] - begin[i], in[i]);
      inside = inside && from >= 0;
      base += from * strides[i];
    }
    for (std::int64_t column = 0; column < width; ++column, to += size) {
      const std::int64_t from = !inside ? -1 : (in.empty() ? 0 : source(mode, column - begin[outer], in[outer]));
      std::memcpy(to, from < 0 ? value : x.data + static_cast<std::size_t>(base + from) * size, size);
    }
  } while (next_index(index, out, outer));
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(pad) {
  add(define("Pad",
             {.inputs = {{kAny}, {kI64, true}, {kAny, true, 0}, {kIndex, true}},
              .attributes = "mode:s pads:I paddings:I value:f"},
             infer_pad, evaluate_pad));
}
