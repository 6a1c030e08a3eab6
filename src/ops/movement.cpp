// Operators that move elements: Transpose, Expand, Tile, Concat, Split, DepthToSpace, SpaceToDepth.
#include <algorithm>

#include "ops/support/check.h"
#include "ops/support/copy.h"

namespace nnq::ops {
namespace {

// ---- Transpose

Status infer_transpose(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  std::vector<std::int64_t> perm = ctx.node.get_ints("perm");
  if (!x.ranked && perm.empty()) {
    set_output(ctx, 0, unranked(x.dtype));
    return {};
  }
  const std::size_t rank = x.ranked ? x.shape.size() : perm.size();
  if (!ctx.node.has("perm") || perm.empty()) {
    perm.clear();
    for (std::size_t i = rank; i-- > 0;) perm.push_back(static_cast<std::int64_t>(i));
  }
  NNQ_REQUIRE(perm.size() == rank && rank <= kMaxRank, title(ctx.node), ": perm has ", perm.size(), " entries for ",
              x.to_string());
  std::vector<std::int64_t> sorted;
  NNQ_TRY(normalize_axes(ctx.node, perm, static_cast<std::int64_t>(rank), sorted));
  SymbolicShape shape(rank);
  for (std::size_t i = 0; i < rank && x.ranked; ++i) {
    NNQ_REQUIRE(perm[i] >= 0, title(ctx.node), ": perm entry ", perm[i], " is negative");
    shape[i] = x.shape[static_cast<std::size_t>(perm[i])];
  }
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

Status evaluate_transpose(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  const TensorView& y = ctx.output(0);
  const Dims strides = row_major(x.shape);
  const auto it = ctx.node.attributes.find("perm");
  const auto* perm = it == ctx.node.attributes.end() ? nullptr : std::get_if<std::vector<std::int64_t>>(&it->second);
  Dims from(strides.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const bool reversed = perm == nullptr || perm->empty();
    from[i] = strides[reversed ? from.size() - 1 - i : static_cast<std::size_t>((*perm)[i])];
  }
  copy_strided(size_of(x.dtype), y.shape, x.data, from, y.data, row_major(y.shape));
  return {};
}

// ---- Expand, Tile

Status infer_expand(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  bool known = false;
  std::vector<std::int64_t> target;
  NNQ_TRY(constant_integers(ctx, 1, "the target shape", known, target));
  if (!known || !x.ranked) {
    set_output(ctx, 0, unranked(x.dtype));
    return {};
  }
  SymbolicShape to, shape;
  for (std::int64_t d : target) {
    NNQ_REQUIRE(d >= 0, title(ctx.node), ": target dimension ", d, " is negative");
    to.emplace_back(d);
  }
  NNQ_TRY(broadcast(ctx.node, x.shape, to, shape));
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

Status evaluate_expand(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  const TensorView& y = ctx.output(0);
  copy_strided(size_of(x.dtype), y.shape, x.data, broadcast_strides(x.shape, y.shape), y.data, row_major(y.shape));
  return {};
}

Status infer_tile(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  bool known = false;
  std::vector<std::int64_t> repeats;
  NNQ_TRY(constant_integers(ctx, 1, "repeats", known, repeats));
  if (!x.ranked || !known) {
    set_output(ctx, 0, x.ranked ? of_rank(x.dtype, x.shape.size()) : unranked(x.dtype));
    return {};
  }
  NNQ_REQUIRE(repeats.size() == x.shape.size(), title(ctx.node), ": expected ", x.shape.size(), " repeats, got ",
              repeats.size());
  SymbolicShape shape(repeats.size());
  for (std::size_t i = 0; i < repeats.size(); ++i) {
    NNQ_REQUIRE(repeats[i] >= 0, title(ctx.node), ": repeat ", repeats[i], " is negative");
    NNQ_TRY(multiply(ctx.node, x.shape[i], Dim(repeats[i]), shape[i]));
  }
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

/// Every row of the output is its input row repeated.
Status evaluate_tile(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  const TensorView& y = ctx.output(0);
  if (y.count() == 0) return {};
  const Dims in(x.shape), out(y.shape), strides = row_major(in);
  const std::size_t size = size_of(x.dtype);
  const std::int64_t row = in.empty() ? 1 : in.back();
  Dims index(in.size() < 2 ? 0 : in.size() - 1, 0);
  std::byte* to = y.data;
  const std::int64_t repeats = in.empty() ? 1 : out.back() / row;
  do {
    std::int64_t from = 0;
    for (std::size_t i = 0; i < index.size(); ++i) from += (index[i] % in[i]) * strides[i];
    for (std::int64_t r = 0; r < repeats; ++r) {
      std::memcpy(to, x.data + static_cast<std::size_t>(from) * size, static_cast<std::size_t>(row) * size);
      to += static_cast<std::size_t>(row) * size;
    }
  } while (next_index(index, out, index.size()));
  return {};
}

// ---- Concat, Split

Status infer_concat(InferContext& ctx) {
  NNQ_REQUIRE(ctx.node.has("axis"), title(ctx.node), ": attribute axis is missing");
  const ValueType& first = ctx.input(0);
  SymbolicShape shape;
  bool have = false;
  std::int64_t axis = 0;
  bool all_ranked = true;
  for (std::size_t k = 0; k < ctx.inputs.size(); ++k) {
    const ValueType& x = ctx.input(k);
    all_ranked = all_ranked && x.ranked;
    if (!x.ranked) continue;
    if (!have) {
      NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(x.shape.size()), axis));
      shape = x.shape;
      have = true;
      continue;
    }
    NNQ_REQUIRE(x.shape.size() == shape.size(), title(ctx.node), ": input ", k, " ", x.to_string(),
                " has another rank than ", to_string(shape));
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (static_cast<std::int64_t>(i) == axis)
        NNQ_TRY(add(ctx.node, shape[i], x.shape[i], shape[i]));
      else
        NNQ_TRY(unify(ctx.node, "dimensions off the axis", shape[i], x.shape[i], shape[i]));
    }
  }
  if (have && !all_ranked) shape[static_cast<std::size_t>(axis)] = Dim();
  set_output(ctx, 0, have ? ranked(first.dtype, std::move(shape)) : unranked(first.dtype));
  return {};
}

Status evaluate_concat(EvalContext& ctx) {
  const TensorView& y = ctx.output(0);
  const auto rank = static_cast<std::int64_t>(y.shape.size());
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), rank, axis));
  const Dims out(y.shape);
  const auto a = static_cast<std::size_t>(axis);
  const auto inner = static_cast<std::size_t>(out.product(a + 1, out.size())) * size_of(y.dtype);
  const std::int64_t outer = out.product(0, a);
  const std::size_t row = inner * static_cast<std::size_t>(out[a]);
  std::size_t offset = 0;
  for (const TensorView* x : ctx.inputs) {
    const std::size_t bytes = inner * static_cast<std::size_t>(x->shape[a]);
    NNQ_REQUIRE(offset + bytes <= row, title(ctx.node), ": the inputs are larger than the output");
    for (std::int64_t i = 0; i < outer && bytes > 0; ++i) {
      std::memcpy(y.data + static_cast<std::size_t>(i) * row + offset, x->data + static_cast<std::size_t>(i) * bytes,
                  bytes);
    }
    offset += bytes;
  }
  return {};
}

Status equal_parts(const Node& node, std::int64_t total, std::int64_t parts, std::vector<std::int64_t>& out) {
  const std::int64_t each = (total + parts - 1) / parts;
  NNQ_REQUIRE(node.has("num_outputs") || total % parts == 0, title(node), ": ", total, " does not divide into ", parts,
              " equal parts");
  out.assign(static_cast<std::size_t>(parts), each);
  out.back() = total - each * (parts - 1);
  NNQ_REQUIRE(out.back() >= 0, title(node), ": ", total, " does not divide into ", parts, " parts");
  return {};
}

/// Lengths of the parts: input 1 (opset 13), attribute split, or equal parts (the last one smaller with num_outputs).
Status infer_split(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  const std::size_t parts = ctx.node.outputs.size();
  for (std::size_t i = 0; i < parts; ++i) set_output(ctx, i, x.ranked ? x : unranked(x.dtype));
  NNQ_REQUIRE(!ctx.node.has("num_outputs") || ctx.node.get_int("num_outputs", 0) == static_cast<std::int64_t>(parts),
              title(ctx.node), ": num_outputs is ", ctx.node.get_int("num_outputs", 0), " but the node has ", parts,
              " outputs");
  if (!x.ranked) return {};
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(x.shape.size()), axis));
  const auto a = static_cast<std::size_t>(axis);
  const Dim& total = x.shape[a];
  bool known = true;
  std::vector<std::int64_t> lengths = ctx.node.get_ints("split");
  if (ctx.has(1)) {
    NNQ_TRY(constant_integers(ctx, 1, "split", known, lengths));
  } else if (lengths.empty()) {
    known = total.known();
    if (known) NNQ_TRY(equal_parts(ctx.node, total.value, static_cast<std::int64_t>(parts), lengths));
  }
  if (!known) {
    for (std::size_t i = 0; i < parts; ++i) ctx.outputs[i].shape[a] = Dim();
    return {};
  }
  NNQ_REQUIRE(lengths.size() == parts, title(ctx.node), ": split has ", lengths.size(), " entries for ", parts,
              " outputs");
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < parts; ++i) {
    NNQ_REQUIRE(lengths[i] >= 0 && !__builtin_add_overflow(sum, lengths[i], &sum), title(ctx.node), ": bad length ",
                lengths[i]);
    ctx.outputs[i].shape[a] = Dim(lengths[i]);
  }
  NNQ_REQUIRE(!total.known() || sum == total.value, title(ctx.node), ": the parts add up to ", sum, ", not to ",
              total.value);
  return {};
}

/// The outputs' own shapes carry the lengths, except where an output is not wanted: then split must be read again.
Status evaluate_split(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  const Dims in(x.shape);
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", 0), static_cast<std::int64_t>(in.size()), axis));
  const auto a = static_cast<std::size_t>(axis);
  std::vector<std::int64_t> lengths = ctx.node.get_ints("split");
  if (ctx.has(1))
    NNQ_TRY(read_integers(ctx.node, "split", ctx.input(1), 1024, lengths));
  else if (lengths.empty())
    NNQ_TRY(equal_parts(ctx.node, in[a], static_cast<std::int64_t>(ctx.outputs.size()), lengths));
  const std::size_t inner = static_cast<std::size_t>(in.product(a + 1, in.size())) * size_of(x.dtype);
  const std::size_t row = inner * static_cast<std::size_t>(in[a]);
  const std::int64_t outer = in.product(0, a);
  std::size_t offset = 0;
  for (std::size_t k = 0; k < ctx.outputs.size() && k < lengths.size(); ++k) {
    NNQ_REQUIRE(lengths[k] >= 0 && lengths[k] <= in[a], title(ctx.node), ": bad length ", lengths[k]);
    const std::size_t bytes = inner * static_cast<std::size_t>(lengths[k]);
    const TensorView* y = ctx.outputs[k];
    NNQ_REQUIRE(offset + bytes <= row && (y == nullptr || y->shape[a] == lengths[k]), title(ctx.node),
                ": split does not fit the outputs");
    for (std::int64_t i = 0; y != nullptr && i < outer && bytes > 0; ++i) {
      std::memcpy(y->data + static_cast<std::size_t>(i) * bytes, x.data + static_cast<std::size_t>(i) * row + offset,
                  bytes);
    }
    offset += bytes;
  }
  return {};
}

// ---- DepthToSpace, SpaceToDepth

Status infer_depth_space(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  const bool to_space = ctx.node.op == "DepthToSpace";
  const std::int64_t block = ctx.node.get_int("blocksize", 0);
  NNQ_REQUIRE(block >= 1 && block <= 65536, title(ctx.node), ": blocksize must be in [1, 65536], got ", block);
  const std::string mode = ctx.node.get_string("mode", "DCR");
  NNQ_REQUIRE(mode == "DCR" || mode == "CRD", title(ctx.node), ": mode must be DCR or CRD, got ", mode);
  if (!x.ranked) {
    set_output(ctx, 0, of_rank(x.dtype, 4));
    return {};
  }
  NNQ_REQUIRE(x.shape.size() == 4, title(ctx.node), ": expected [N, C, H, W], got ", x.to_string());
  const auto scaled = [&](const Dim& d, std::int64_t by, bool up, Dim& out) -> Status {
    if (up) return multiply(ctx.node, d, Dim(by), out);
    NNQ_REQUIRE(!d.known() || d.value % by == 0, title(ctx.node), ": dimension ", d.value, " is not divisible by ", by);
    out = d.known() ? Dim(d.value / by) : (by == 1 ? d : Dim());
    return {};
  };
  SymbolicShape shape = x.shape;
  NNQ_TRY(scaled(x.shape[1], block * block, !to_space, shape[1]));
  NNQ_TRY(scaled(x.shape[2], block, to_space, shape[2]));
  NNQ_TRY(scaled(x.shape[3], block, to_space, shape[3]));
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

Dims dims6(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d, std::int64_t e, std::int64_t f) {
  Dims out;
  for (std::int64_t v : {a, b, c, d, e, f}) out.push_back(v);
  return out;
}

/// Both are one permutation of six dims; the deep side is [N, bh, bw, C, H, W] (DCR) or [N, C, bh, bw, H, W] (CRD) and
/// the wide side [N, C, H, bh, W, bw].
Status evaluate_depth_space(EvalContext& ctx) {
  const bool to_space = ctx.node.op == "DepthToSpace";
  const TensorView& deep = to_space ? ctx.input(0) : ctx.output(0);
  const TensorView& wide = to_space ? ctx.output(0) : ctx.input(0);
  const std::int64_t b = ctx.node.get_int("blocksize", 1);
  const bool crd = to_space && ctx.node.get_string("mode", "DCR") == "CRD";
  const std::int64_t n = deep.shape[0], c = deep.shape[1] / (b * b), h = deep.shape[2], w = deep.shape[3];
  const Dims walk = dims6(n, c, h, b, w, b);
  const std::int64_t plane = h * w;
  const Dims deep_strides = crd ? dims6(c * b * b * plane, b * b * plane, w, b * plane, 1, plane)
                                : dims6(c * b * b * plane, plane, w, b * c * plane, 1, c * plane);
  const Dims wide_strides = row_major(walk);
  const std::size_t size = size_of(deep.dtype);
  if (to_space)
    copy_strided(size, walk, deep.data, deep_strides, wide.data, wide_strides);
  else
    copy_strided(size, walk, wide.data, wide_strides, deep.data, deep_strides);
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(movement) {
  add(define("Transpose", {.inputs = {{kAny}}, .attributes = "perm:I"}, infer_transpose, evaluate_transpose));
  add(define("Expand", {.inputs = {{kAny}, {kI64}}}, infer_expand, evaluate_expand));
  add(define("Tile", {.inputs = {{kAny}, {kI64}}}, infer_tile, evaluate_tile));
  add(define("Concat", {.inputs = {{kAny, false, 0}}, .variadic = true, .attributes = "axis:i"}, infer_concat,
             evaluate_concat));
  add(define("Split",
             {.inputs = {{kAny}, {kI64, true}}, .max_outputs = 0, .attributes = "axis:i split:I num_outputs:i"},
             infer_split, evaluate_split));
  add(define("DepthToSpace", {.inputs = {{kAny}}, .attributes = "blocksize:i mode:s"}, infer_depth_space,
             evaluate_depth_space));
  add(define("SpaceToDepth", {.inputs = {{kAny}}, .attributes = "blocksize:i mode:s"}, infer_depth_space,
             evaluate_depth_space));
}
