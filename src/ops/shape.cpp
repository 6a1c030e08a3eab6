// Operators about shapes and constants: Shape, Size, Constant, ConstantOfShape, Range.
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/copy.h"
#include "ops/support/elements.h"

namespace nnq::ops {
namespace {

/// Shape's slice [start, end) of a rank, clamped as the operator says (opset 15).
std::pair<std::int64_t, std::int64_t> shape_range(const Node& node, std::int64_t rank) {
  const auto clamp = [rank](std::int64_t v) {
    if (v < 0) v = v < -rank ? 0 : v + rank;
    return std::min(v, rank);
  };
  const std::int64_t start = clamp(node.get_int("start", 0));
  return {start, std::max(start, clamp(node.get_int("end", rank)))};
}

Status infer_shape(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  if (!x.ranked) {
    set_output(ctx, 0, of_rank(DType::i64, 1));
    return {};
  }
  const auto [start, end] = shape_range(ctx.node, static_cast<std::int64_t>(x.shape.size()));
  set_output(ctx, 0, ranked(DType::i64, {Dim(end - start)}));
  return {};
}

Status evaluate_shape(EvalContext& ctx) {
  const Shape& shape = ctx.input(0).shape;
  const auto [start, end] = shape_range(ctx.node, static_cast<std::int64_t>(shape.size()));
  auto* out = ctx.output(0).as<std::int64_t>();
  for (std::int64_t i = start; i < end; ++i) out[i - start] = shape[static_cast<std::size_t>(i)];
  return {};
}

Status infer_size(InferContext& ctx) {
  set_output(ctx, 0, ranked(DType::i64, {}));
  return {};
}

Status evaluate_size(EvalContext& ctx) {
  *ctx.output(0).as<std::int64_t>() = ctx.input(0).count();
  return {};
}

/// The tensor a Constant stands for; exactly one value attribute must be there.
Status constant_value(const Node& node, Tensor& out) {
  if (const auto it = node.attributes.find("value"); it != node.attributes.end()) {
    out = std::get<Tensor>(it->second);
    NNQ_REQUIRE(out.defined(), title(node), ": its value is empty");
  } else if (node.has("value_float")) {
    out = Tensor::scalar(node.get_float("value_float", 0));
  } else if (node.has("value_int")) {
    out = Tensor::scalar(node.get_int("value_int", 0));
  } else if (node.has("value_floats")) {
    const auto values = node.get<std::vector<float>>("value_floats", {});
    out = Tensor::of({static_cast<std::int64_t>(values.size())}, values);
  } else if (node.has("value_ints")) {
    const auto values = node.get_ints("value_ints");
    out = Tensor::of({static_cast<std::int64_t>(values.size())}, values);
  } else {
    return Status::unsupported(
        text(title(node), ": expected one of value, value_float, value_floats, value_int, value_ints"));
  }
  if (out.dtype() == DType::string)
    return Status::unsupported(text(title(node), ": string tensors are not computed on"));
  return {};
}

Status infer_constant(InferContext& ctx) {
  Tensor value;
  NNQ_TRY(constant_value(ctx.node, value));
  set_output(ctx, 0, ValueType::of(value.dtype(), value.shape()));
  return {};
}

Status evaluate_constant(EvalContext& ctx) {
  Tensor value;
  NNQ_TRY(constant_value(ctx.node, value));
  if (value.bytes() > 0) std::memcpy(ctx.output(0).data, value.data(), value.bytes());
  return {};
}

/// ConstantOfShape's value attribute: one element, float32 0 by default.
Tensor fill_value(const Node& node) { return node.get<Tensor>("value", Tensor::scalar(0.0F)); }

Status infer_constant_of_shape(InferContext& ctx) {
  const Tensor value = fill_value(ctx.node);
  NNQ_REQUIRE(value.defined() && value.count() == 1 && value.dtype() != DType::string, title(ctx.node),
              ": value must hold one number");
  bool known = false;
  std::vector<std::int64_t> dims;
  NNQ_TRY(constant_integers(ctx, 0, "the shape", known, dims));
  const ValueType& in = ctx.input(0);
  if (!known) {
    const bool rank_known = in.ranked && in.shape.size() == 1 && in.shape[0].known() &&
                            in.shape[0].value <= static_cast<std::int64_t>(kMaxRank);
    set_output(
        ctx, 0,
        rank_known ? of_rank(value.dtype(), static_cast<std::size_t>(in.shape[0].value)) : unranked(value.dtype()));
    return {};
  }
  SymbolicShape shape;
  for (std::int64_t d : dims) {
    NNQ_REQUIRE(d >= 0, title(ctx.node), ": dimension ", d, " is negative");
    shape.emplace_back(d);
  }
  set_output(ctx, 0, ranked(value.dtype(), std::move(shape)));
  return {};
}

Status evaluate_constant_of_shape(EvalContext& ctx) {
  const Tensor value = fill_value(ctx.node);
  const TensorView& y = ctx.output(0);
  fill(size_of(y.dtype), y.data, y.count(), value.data());
  return {};
}

/// Number of elements of Range: max(ceil((limit - start) / delta), 0).
Status range_count(const Node& node, const TensorView& start, const TensorView& limit, const TensorView& delta,
                   std::int64_t& out) {
  const auto a = at<double>(start, 0), b = at<double>(limit, 0), d = at<double>(delta, 0);
  NNQ_REQUIRE(d != 0 && std::isfinite(a) && std::isfinite(b) && std::isfinite(d), title(node),
              ": start, limit and a delta other than 0 must be finite");
  const double count = std::ceil((b - a) / d);
  NNQ_REQUIRE(count < 1e15, title(node), ": would have more than 10^15 elements");
  out = count > 0 ? static_cast<std::int64_t>(count) : 0;
  return {};
}

Status infer_range(InferContext& ctx) {
  const DType type = ctx.input(0).dtype;
  for (std::size_t i = 0; i < 3; ++i) {
    Dim count;
    if (ctx.input(i).ranked) NNQ_TRY(product(ctx.node, ctx.input(i).shape, 0, ctx.input(i).shape.size(), count));
    NNQ_REQUIRE(!count.known() || count.value == 1, title(ctx.node), ": input ", i, " must be a scalar, got ",
                ctx.input(i).to_string());
  }
  Dim length;
  const bool known = ctx.constant(0) != nullptr && ctx.constant(1) != nullptr && ctx.constant(2) != nullptr;
  if (known) {
    std::int64_t count = 0;
    NNQ_TRY(range_count(ctx.node, ctx.constant(0)->view(), ctx.constant(1)->view(), ctx.constant(2)->view(), count));
    length = Dim(count);
  }
  set_output(ctx, 0, ranked(type, {length}));
  return {};
}

Status evaluate_range(EvalContext& ctx) {
  const TensorView& y = ctx.output(0);
  std::int64_t count = 0;
  NNQ_TRY(range_count(ctx.node, ctx.input(0), ctx.input(1), ctx.input(2), count));
  NNQ_REQUIRE(count == y.count(), title(ctx.node), ": has ", count, " elements but its output ", y.count());
  with_wide(y.dtype, [&](auto wide) {
    using W = decltype(wide);
    const W start = at<W>(ctx.input(0), 0), delta = at<W>(ctx.input(2), 0);
    for (std::int64_t i = 0; i < count; ++i) {
      W v;
      if constexpr (std::is_floating_point_v<W>)
        v = start + static_cast<W>(i) * delta;
      else
        v = static_cast<W>(static_cast<std::uint64_t>(start) +
                           static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(delta));
      store<W>(y.dtype, y.data, i, 1, &v);
    }
  });
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(shape) {
  add(define("Shape", {.inputs = {{kAny}}, .attributes = "start:i end:i"}, infer_shape, evaluate_shape));
  add(define("Size", {.inputs = {{kAny}}}, infer_size, evaluate_size));
  add(define("Constant", {.inputs = {}, .attributes = "value:t value_float:f value_floats:F value_int:i value_ints:I"},
             infer_constant, evaluate_constant));
  add(define("ConstantOfShape", {.inputs = {{kI64}}, .attributes = "value:t"}, infer_constant_of_shape,
             evaluate_constant_of_shape));
  const Formal number{kFloat | kSigned, false, 0};
  add(define("Range", {.inputs = {number, number, number}}, infer_range, evaluate_range));
}
