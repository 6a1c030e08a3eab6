#include "ops/support/check.h"

#include <algorithm>
#include <limits>

#include "ops/support/elements.h"

namespace nnq::ops {
namespace {

bool has_kind(const Attribute& a, char kind) {
  switch (kind) {
    case 'i':
      return std::holds_alternative<std::int64_t>(a);
    case 'f':
      return std::holds_alternative<float>(a);
    case 's':
      return std::holds_alternative<std::string>(a);
    case 't':
      return std::holds_alternative<Tensor>(a);
    case 'I':
      return std::holds_alternative<std::vector<std::int64_t>>(a);
    case 'F':
      return std::holds_alternative<std::vector<float>>(a);
    case 'S':
      return std::holds_alternative<std::vector<std::string>>(a);
    default:
      return false;
  }
}

const char* kind_name(char kind) {
  switch (kind) {
    case 'i':
      return "an integer";
    case 'f':
      return "a float";
    case 's':
      return "a string";
    case 't':
      return "a tensor";
    case 'I':
      return "a list of integers";
    case 'F':
      return "a list of floats";
    default:
      return "a list of strings";
  }
}

/// An exporter writes an empty list without saying of what; such a list counts as a list of any kind.
bool is_empty_list(const Attribute& a) {
  const auto* ints = std::get_if<std::vector<std::int64_t>>(&a);
  const auto* floats = std::get_if<std::vector<float>>(&a);
  const auto* strings = std::get_if<std::vector<std::string>>(&a);
  return (ints != nullptr && ints->empty()) || (floats != nullptr && floats->empty()) ||
         (strings != nullptr && strings->empty());
}

Status check_attributes(const Node& node, std::string_view spec) {
  while (!spec.empty()) {
    const std::size_t space = std::min(spec.find(' '), spec.size());
    const std::string_view item = spec.substr(0, space);
    spec.remove_prefix(std::min(space + 1, spec.size()));
    const std::size_t colon = item.find(':');
    const auto it = node.attributes.find(std::string(item.substr(0, colon)));
    if (it == node.attributes.end()) continue;
    const char kind = item[colon + 1];
    if (kind >= 'A' && kind <= 'Z' && is_empty_list(it->second)) continue;
    NNQ_REQUIRE(has_kind(it->second, kind), title(node), ": attribute ", it->first, " must be ", kind_name(kind));
    if (const auto* list = std::get_if<std::vector<std::int64_t>>(&it->second)) {
      NNQ_REQUIRE(list->size() <= 1024, title(node), ": attribute ", it->first, " has ", list->size(),
                  " entries, at most 1024 are accepted");
    }
  }
  return {};
}

Status check_inputs(const InferContext& ctx, const Signature& s) {
  const std::string name = title(ctx.node);
  std::size_t required = 0;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    if (!s.inputs[i].optional) required = i + 1;
  }
  const std::size_t n = ctx.inputs.size();
  NNQ_REQUIRE(n >= required, name, ": expected at least ", required, " inputs, got ", n);
  NNQ_REQUIRE(s.variadic || n <= s.inputs.size(), name, ": expected at most ", s.inputs.size(), " inputs, got ", n);
  for (std::size_t i = 0; i < n; ++i) {
    const Formal& formal = s.inputs[std::min(i, s.inputs.size() - 1)];
    if (!ctx.has(i)) {
      NNQ_REQUIRE(formal.optional, name, ": input ", i, " is missing");
      continue;
    }
    const ValueType& type = ctx.input(i);
    NNQ_REQUIRE((formal.types & only(type.dtype)) != 0, name, ": input ", i, " has unsupported element type ",
                name_of(type.dtype));
    NNQ_REQUIRE(type.shape.size() <= kMaxRank, name, ": input ", i, " has rank ", type.shape.size(), ", at most ",
                kMaxRank, " is supported");
    const auto same = static_cast<std::size_t>(std::max(formal.same_as, 0));
    if (formal.same_as < 0 || same == i || !ctx.has(same)) continue;
    NNQ_REQUIRE(type.dtype == ctx.input(same).dtype, name, ": input ", i, " is ", name_of(type.dtype), " but input ",
                same, " is ", name_of(ctx.input(same).dtype), "; they must agree");
  }
  return {};
}

Status check_outputs(const InferContext& ctx) {
  for (std::size_t i = 0; i < ctx.outputs.size(); ++i) {
    const ValueType& type = ctx.outputs[i];
    if (!type.ranked) continue;
    NNQ_REQUIRE(type.shape.size() <= kMaxRank, title(ctx.node), ": output has rank ", type.shape.size(), ", at most ",
                kMaxRank, " is supported");
    Shape known;
    for (const Dim& d : type.shape) {
      NNQ_REQUIRE(d.value >= -1, title(ctx.node), ": output ", i, " would have the negative dimension ", d.value);
      if (d.known()) known.push_back(d.value);
    }
    const auto count = checked_count(known);
    NNQ_REQUIRE(count && *count <= std::numeric_limits<std::int64_t>::max() / 16, title(ctx.node),
                ": the size of output ", i, " ", type.to_string(), " overflows");
  }
  return {};
}

}  // namespace

std::string title(const Node& node) { return node.name.empty() ? node.op : node.op + " '" + node.name + "'"; }

std::function<Status(InferContext&)> checked(Signature signature, Status (*infer)(InferContext&)) {
  return [s = std::move(signature), infer](InferContext& ctx) -> Status {
    const std::size_t wanted = ctx.node.outputs.size();
    NNQ_REQUIRE(wanted >= 1 && (s.max_outputs == 0 || wanted <= s.max_outputs), title(ctx.node), ": expected 1 to ",
                s.max_outputs, " outputs, got ", wanted);
    NNQ_REQUIRE(s.max_outputs != 1 || !ctx.node.outputs[0].empty(), title(ctx.node), ": its output has no name");
    NNQ_TRY(check_inputs(ctx, s));
    NNQ_TRY(check_attributes(ctx.node, s.attributes));
    ctx.outputs.assign(wanted, ValueType{});
    NNQ_TRY(infer(ctx));
    return check_outputs(ctx);
  };
}

Op define(std::string name, Signature signature, Status (*infer)(InferContext&),
          std::function<Status(EvalContext&)> evaluate) {
  Op op;
  op.name = std::move(name);
  op.infer = checked(std::move(signature), infer);
  op.evaluate = std::move(evaluate);
  return op;
}

Status normalize_axis(const Node& node, std::int64_t axis, std::int64_t limit, std::int64_t& out) {
  NNQ_REQUIRE(axis >= -limit && axis < limit, title(node), ": axis ", axis, " is outside [", -limit, ", ", limit - 1,
              "]");
  out = axis < 0 ? axis + limit : axis;
  return {};
}

Status normalize_axes(const Node& node, const std::vector<std::int64_t>& axes, std::int64_t rank,
                      std::vector<std::int64_t>& out) {
  out.clear();
  for (std::int64_t a : axes) {
    std::int64_t axis = 0;
    NNQ_TRY(normalize_axis(node, a, rank, axis));
    out.push_back(axis);
  }
  std::sort(out.begin(), out.end());
  NNQ_REQUIRE(std::adjacent_find(out.begin(), out.end()) == out.end(), title(node), ": an axis is given twice");
  return {};
}

Status read_integers(const Node& node, const char* what, const TensorView& t, std::size_t limit,
                     std::vector<std::int64_t>& out) {
  NNQ_REQUIRE(t.dtype == DType::i64 || t.dtype == DType::i32, title(node), ": ", what, " must be int32 or int64, got ",
              name_of(t.dtype));
  NNQ_REQUIRE(t.shape.size() <= 1, title(node), ": ", what, " must have one dimension, got shape ",
              nnq::to_string(t.shape));
  const std::int64_t count = t.count();
  NNQ_REQUIRE(count <= static_cast<std::int64_t>(limit), title(node), ": ", what, " has ", count, " entries, at most ",
              limit, " are accepted");
  out.resize(static_cast<std::size_t>(count));
  load<std::int64_t>(t.dtype, t.data, 0, 1, count, out.data());
  return {};
}

Status constant_integers(const InferContext& ctx, std::size_t i, const char* what, bool& known,
                         std::vector<std::int64_t>& out) {
  known = false;
  out.clear();
  if (!ctx.has(i)) return {};
  const ValueType& type = ctx.input(i);
  if (type.ranked) {
    NNQ_REQUIRE(type.shape.size() <= 1, title(ctx.node), ": ", what, " must have one dimension, got ",
                type.to_string());
  }
  const Tensor* value = ctx.constant(i);
  if (value == nullptr || !value->defined()) return {};
  known = true;
  return read_integers(ctx.node, what, value->view(), 1024, out);
}

void set_output(InferContext& ctx, std::size_t i, ValueType type) {
  if (i < ctx.outputs.size()) ctx.outputs[i] = std::move(type);
}

ValueType unranked(DType t) { return {t, false, {}}; }
ValueType ranked(DType t, SymbolicShape shape) { return {t, true, std::move(shape)}; }
ValueType of_rank(DType t, std::size_t rank) { return {t, true, SymbolicShape(rank)}; }

Status broadcast(const Node& node, const SymbolicShape& a, const SymbolicShape& b, SymbolicShape& out) {
  SymbolicShape result(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::size_t from_a = result.size() - a.size();
    const std::size_t from_b = result.size() - b.size();
    const Dim one{std::int64_t{1}};
    const Dim& x = i < from_a ? one : a[i - from_a];
    const Dim& y = i < from_b ? one : b[i - from_b];
    NNQ_REQUIRE(!x.known() || !y.known() || x.value == 1 || y.value == 1 || x.value == y.value, title(node),
                ": shapes ", to_string(a), " and ", to_string(b), " do not broadcast");
    if (x.value == 1)
      result[i] = y;
    else if (y.value == 1)
      result[i] = x;
    else if (x.known())
      result[i] = x;
    else if (y.known())
      result[i] = y;
    else if (x.symbol == y.symbol && !x.symbol.empty())
      result[i] = x;
  }
  out = std::move(result);
  return {};
}

Status unify(const Node& node, const char* what, const Dim& a, const Dim& b, Dim& out) {
  NNQ_REQUIRE(!a.known() || !b.known() || a.value == b.value, title(node), ": ", what, " do not agree: ", a.value,
              " and ", b.value);
  if (a.known())
    out = Dim(a);
  else if (b.known())
    out = Dim(b);
  else
    out = a.symbol.empty() ? Dim(b) : Dim(a);
  return {};
}

Status multiply(const Node& node, const Dim& a, const Dim& b, Dim& out) {
  Dim result;
  if (a.known() && b.known()) {
    NNQ_REQUIRE(!__builtin_mul_overflow(a.value, b.value, &result.value), title(node),
                ": the product of dimensions overflows");
  } else if (a.value == 1) {
    result = b;
  } else if (b.value == 1) {
    result = a;
  }
  out = std::move(result);
  return {};
}

Status add(const Node& node, const Dim& a, const Dim& b, Dim& out) {
  Dim result;
  if (a.known() && b.known()) {
    NNQ_REQUIRE(!__builtin_add_overflow(a.value, b.value, &result.value), title(node),
                ": the sum of dimensions overflows");
  } else if (a.value == 0) {
    result = b;
  } else if (b.value == 0) {
    result = a;
  }
  out = std::move(result);
  return {};
}

Status product(const Node& node, const SymbolicShape& shape, std::size_t from, std::size_t to, Dim& out) {
  Dim result{std::int64_t{1}};
  for (std::size_t i = from; i < to; ++i) NNQ_TRY(multiply(node, result, shape[i], result));
  out = std::move(result);
  return {};
}

std::string to_string(const SymbolicShape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ", ";
    if (shape[i].known())
      out += std::to_string(shape[i].value);
    else
      out += shape[i].symbol.empty() ? "?" : shape[i].symbol;
  }
  return out + "]";
}

Status infer_same(InferContext& ctx) {
  set_output(ctx, 0, ctx.input(0));
  return {};
}

}  // namespace nnq::ops
