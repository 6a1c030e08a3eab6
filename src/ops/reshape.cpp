// Operators that only rename the shape: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout (inference).
#include <algorithm>

#include "ops/support/check.h"
#include "ops/support/copy.h"
#include "ops/support/elements.h"

namespace nnq::ops {
namespace {

/// What is left of the input's size for the -1 of a reshape target: input dims divided by the other output dims.
Status remaining_dim(const Node& node, const ValueType& x, const SymbolicShape& target, std::size_t hole,
                     const std::vector<bool>& copied, Dim& out) {
  if (!x.ranked) return {};
  std::int64_t have = 1, used = 1;
  std::vector<Dim> free_dims;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (i < copied.size() && copied[i]) continue;  // appears on both sides
    if (!x.shape[i].known())
      free_dims.push_back(x.shape[i]);
    else
      NNQ_REQUIRE(!__builtin_mul_overflow(have, x.shape[i].value, &have), title(node), ": the input's size overflows");
  }
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (i == hole || copied[i]) continue;
    NNQ_REQUIRE(!__builtin_mul_overflow(used, target[i].value, &used), title(node), ": the target's size overflows");
  }
  if (free_dims.size() > 1) return {};
  if (free_dims.size() == 1) {
    if (have == used) out = free_dims[0];
    return {};
  }
  bool copied_zero = false;
  for (std::size_t i = 0; i < copied.size(); ++i) copied_zero = copied_zero || (copied[i] && target[i].value == 0);
  if (used == 0 || copied_zero) {
    NNQ_REQUIRE(used != 0 || have == 0, title(node), ": cannot reshape ", x.to_string(), " into ", to_string(target));
    out = used == 0 ? Dim(0) : Dim(have / used);
    return {};
  }
  NNQ_REQUIRE(have % used == 0, title(node), ": ", x.to_string(), " does not divide into ", to_string(target));
  out = Dim(have / used);
  return {};
}

Status infer_reshape(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  bool known = false;
  std::vector<std::int64_t> target;
  NNQ_TRY(constant_integers(ctx, 1, "the target shape", known, target));
  if (!known) {
    const ValueType& t = ctx.input(1);
    const bool rank_known = t.ranked && t.shape.size() == 1 && t.shape[0].known() &&
                            t.shape[0].value <= static_cast<std::int64_t>(kMaxRank);
    set_output(ctx, 0, rank_known ? of_rank(x.dtype, static_cast<std::size_t>(t.shape[0].value)) : unranked(x.dtype));
    return {};
  }
  NNQ_REQUIRE(target.size() <= kMaxRank, title(ctx.node), ": target rank ", target.size(), " is above ", kMaxRank);
  const bool allow_zero = ctx.node.get_int("allowzero", 0) != 0;
  SymbolicShape shape(target.size());
  std::vector<bool> copied(target.size(), false);
  std::size_t hole = target.size();
  for (std::size_t i = 0; i < target.size(); ++i) {
    NNQ_REQUIRE(target[i] >= -1, title(ctx.node), ": target dimension ", target[i], " is negative");
    if (target[i] == -1) {
      NNQ_REQUIRE(hole == target.size(), title(ctx.node), ": the target has more than one -1");
      hole = i;
    } else if (target[i] == 0 && !allow_zero) {
      copied[i] = true;
      NNQ_REQUIRE(!x.ranked || i < x.shape.size(), title(ctx.node), ": target dimension ", i,
                  " is 0 (keep) but the input is ", x.to_string());
      if (x.ranked) shape[i] = x.shape[i];
    } else {
      shape[i] = Dim(target[i]);
    }
  }
  if (hole < target.size()) {
    if (!x.ranked) copied.assign(target.size(), false);
    NNQ_TRY(remaining_dim(ctx.node, x, shape, hole, copied, shape[hole]));
  }
  ValueType result = ranked(x.dtype, std::move(shape));
  if (x.fully_known() && result.fully_known()) {
    Dim a, b;
    NNQ_TRY(product(ctx.node, x.shape, 0, x.shape.size(), a));
    NNQ_TRY(product(ctx.node, result.shape, 0, result.shape.size(), b));
    NNQ_REQUIRE(a.value == b.value, title(ctx.node), ": cannot reshape ", x.to_string(), " into ",
                to_string(result.shape));
  }
  set_output(ctx, 0, std::move(result));
  return {};
}

Status infer_flatten(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  if (!x.ranked) {
    set_output(ctx, 0, of_rank(x.dtype, 2));
    return {};
  }
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 1), static_cast<std::int64_t>(x.shape.size()) + 1, axis));
  // Negative axes count from the rank, not from rank + 1.
  if (ctx.node.get_int("axis", 1) < 0) axis -= 1;
  NNQ_REQUIRE(axis >= 0, title(ctx.node), ": axis ", ctx.node.get_int("axis", 1), " is out of range for ",
              x.to_string());
  Dim rows, columns;
  NNQ_TRY(product(ctx.node, x.shape, 0, static_cast<std::size_t>(axis), rows));
  NNQ_TRY(product(ctx.node, x.shape, static_cast<std::size_t>(axis), x.shape.size(), columns));
  set_output(ctx, 0, ranked(x.dtype, {rows, columns}));
  return {};
}

/// Axes from input 1 (opset 13) or the attribute. `known` is false when they are an input without a value.
Status read_axes(const InferContext& ctx, bool& given, bool& known, std::vector<std::int64_t>& axes) {
  given = ctx.has(1) || ctx.node.has("axes");
  known = true;
  if (ctx.has(1)) return constant_integers(ctx, 1, "axes", known, axes);
  axes = ctx.node.get_ints("axes");
  return {};
}

Status infer_squeeze(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  bool given = false, known = false;
  std::vector<std::int64_t> axes;
  NNQ_TRY(read_axes(ctx, given, known, axes));
  if (!x.ranked || !known) {
    set_output(ctx, 0, unranked(x.dtype));
    return {};
  }
  std::vector<std::int64_t> drop;
  NNQ_TRY(normalize_axes(ctx.node, axes, static_cast<std::int64_t>(x.shape.size()), drop));
  SymbolicShape shape;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    const Dim& d = x.shape[i];
    if (!given) {
      if (!d.known()) {  // may or may not be 1
        set_output(ctx, 0, unranked(x.dtype));
        return {};
      }
      if (d.value != 1) shape.push_back(d);
      continue;
    }
    const bool dropped = std::binary_search(drop.begin(), drop.end(), static_cast<std::int64_t>(i));
    NNQ_REQUIRE(!dropped || !d.known() || d.value == 1, title(ctx.node), ": axis ", i, " of ", x.to_string(),
                " is not 1");
    if (!dropped) shape.push_back(d);
  }
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

Status infer_unsqueeze(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  bool given = false, known = false;
  std::vector<std::int64_t> axes;
  NNQ_TRY(read_axes(ctx, given, known, axes));
  NNQ_REQUIRE(given, title(ctx.node), ": axes are missing");
  if (!x.ranked || !known) {
    set_output(ctx, 0, unranked(x.dtype));
    return {};
  }
  const std::size_t rank = x.shape.size() + axes.size();
  NNQ_REQUIRE(rank <= kMaxRank, title(ctx.node), ": output rank ", rank, " is above ", kMaxRank);
  std::vector<std::int64_t> added;
  NNQ_TRY(normalize_axes(ctx.node, axes, static_cast<std::int64_t>(rank), added));
  SymbolicShape shape;
  std::size_t next = 0;
  for (std::size_t i = 0; i < rank; ++i) {
    const bool is_new = std::binary_search(added.begin(), added.end(), static_cast<std::int64_t>(i));
    shape.push_back(is_new ? Dim(1) : x.shape[next++]);
  }
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

Status infer_dropout(InferContext& ctx) {
  const Tensor* training = ctx.constant(2);
  const Tensor* ratio = ctx.constant(1);
  const auto is_on = [](const Tensor* t) {
    return t != nullptr && t->defined() && t->count() == 1 && *t->as<std::uint8_t>() != 0;
  };
  const bool drops_nothing = ratio != nullptr && ratio->defined() && ratio->count() == 1 && ratio->to_float()[0] == 0;
  if (is_on(training) && !drops_nothing) {
    return Status::unsupported(text(title(ctx.node), ": Dropout in training mode is not supported"));
  }
  set_output(ctx, 0, ctx.input(0));
  ValueType mask = ctx.input(0);
  mask.dtype = ctx.opset >= 10 ? DType::boolean : ctx.input(0).dtype;
  set_output(ctx, 1, std::move(mask));
  return {};
}

Status evaluate_dropout(EvalContext& ctx) {
  if (ctx.outputs[0] != nullptr) NNQ_TRY(evaluate_copy(ctx));
  if (ctx.outputs.size() < 2 || ctx.outputs[1] == nullptr) return {};
  const TensorView& mask = ctx.output(1);
  const std::uint8_t yes = 1;
  std::byte element[8] = {};
  convert({DType::u8, {}, const_cast<std::byte*>(reinterpret_cast<const std::byte*>(&yes))}, {mask.dtype, {}, element});
  fill(size_of(mask.dtype), mask.data, mask.count(), element);
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(reshape) {
  add(define("Reshape", {.inputs = {{kAny}, {kI64}}, .attributes = "allowzero:i"}, infer_reshape, evaluate_copy));
  add(define("Flatten", {.inputs = {{kAny}}, .attributes = "axis:i"}, infer_flatten, evaluate_copy));
  add(define("Squeeze", {.inputs = {{kAny}, {kI64, true}}, .attributes = "axes:I"}, infer_squeeze, evaluate_copy));
  add(define("Unsqueeze", {.inputs = {{kAny}, {kI64, true}}, .attributes = "axes:I"}, infer_unsqueeze, evaluate_copy));
  add(define("Identity", {.inputs = {{kAny}}}, infer_same, evaluate_copy));
  add(define("Dropout",
             {.inputs = {{kFloat}, {kFloat, true}, {kBool, true}}, .max_outputs = 2, .attributes = "ratio:f seed:i"},
             infer_dropout, evaluate_dropout));
}
