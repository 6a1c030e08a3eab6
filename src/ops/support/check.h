// What an operator accepts, stated once and checked before its own shape inference runs: number of inputs and outputs,
// element types, ranks, attribute types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "nnq/op.h"
#include "ops/support/dims.h"

namespace nnq::ops {

/// Sets of element types.
using Types = std::uint32_t;
constexpr Types only(DType t) { return Types{1} << static_cast<unsigned>(t); }
inline constexpr Types kF32 = only(DType::f32);
inline constexpr Types kFloat = kF32 | only(DType::f64) | only(DType::f16) | only(DType::bf16);
inline constexpr Types kSigned = only(DType::i8) | only(DType::i16) | only(DType::i32) | only(DType::i64);
inline constexpr Types kUnsigned = only(DType::u8) | only(DType::u16) | only(DType::u32) | only(DType::u64);
inline constexpr Types kNumber = kFloat | kSigned | kUnsigned;
inline constexpr Types kBool = only(DType::boolean);
inline constexpr Types kAny = kNumber | kBool;  // everything but strings, which no operator of nnq computes on
inline constexpr Types kIndex = only(DType::i32) | only(DType::i64);
inline constexpr Types kI64 = only(DType::i64);
inline constexpr Types kByte = only(DType::i8) | only(DType::u8);

/// One formal input: its types, whether it may be left out, and the input whose type it must share (-1: none).
struct Formal {
  Types types = kAny;
  bool optional = false;
  int same_as = -1;
};

struct Signature {
  std::vector<Formal> inputs;
  bool variadic = false;        // the last formal stands for one or more inputs
  std::size_t max_outputs = 1;  // 0: any number
  /// Attribute types, "axis:i alpha:f pads:I scales:F mode:s value:t"; an attribute of another type is refused,
  /// unknown attributes are ignored.
  const char* attributes = "";
};

/// `infer` behind the checks of `signature`; afterwards checks that the outputs' sizes do not overflow.
std::function<Status(InferContext&)> checked(Signature signature, Status (*infer)(InferContext&));

/// An operator of the standard domain from its name, checked inference and evaluation.
Op define(std::string name, Signature signature, Status (*infer)(InferContext&),
          std::function<Status(EvalContext&)> evaluate);

/// "Conv 'conv1'": how messages name a node.
std::string title(const Node& node);

/// Axis in [-rank, rank) made non-negative; `limit` is the rank (or rank + 1 where the operator counts ends).
Status normalize_axis(const Node& node, std::int64_t axis, std::int64_t limit, std::int64_t& out);
/// Distinct axes, each normalized; sorted.
Status normalize_axes(const Node& node, const std::vector<std::int64_t>& axes, std::int64_t rank,
                      std::vector<std::int64_t>& out);

/// The integers of a 1-D (or scalar) int32/int64 tensor, at most `limit` of them.
Status read_integers(const Node& node, const char* what, const TensorView& t, std::size_t limit,
                     std::vector<std::int64_t>& out);
/// Input i as integers: from its constant while inferring. `known` tells whether the value was there.
Status constant_integers(const InferContext& ctx, std::size_t i, const char* what, bool& known,
                         std::vector<std::int64_t>& out);

/// Output i (when the node has one) becomes `type`.
void set_output(InferContext& ctx, std::size_t i, ValueType type);
ValueType unranked(DType t);
ValueType ranked(DType t, SymbolicShape shape);
/// Rank given, every dimension free.
ValueType of_rank(DType t, std::size_t rank);

/// NumPy broadcasting of symbolic shapes; a known contradiction is refused.
Status broadcast(const Node& node, const SymbolicShape& a, const SymbolicShape& b, SymbolicShape& out);
/// Two dims that must agree: the better known of the two; refused when both are known and differ.
Status unify(const Node& node, const char* what, const Dim& a, const Dim& b, Dim& out);
/// Dim arithmetic: known operands give a number, otherwise free (x * 1 and x + 0 keep the symbol). Overflow is refused.
Status multiply(const Node& node, const Dim& a, const Dim& b, Dim& out);
Status add(const Node& node, const Dim& a, const Dim& b, Dim& out);
/// Product of dims [from, to).
Status product(const Node& node, const SymbolicShape& shape, std::size_t from, std::size_t to, Dim& out);

std::string to_string(const SymbolicShape& shape);

/// Inference of operators whose output has the type and shape of input 0.
Status infer_same(InferContext& ctx);

}  // namespace nnq::ops
