// What an operator means: shape inference and reference evaluation, one registration per operator.
//
// Torch-free and exception-free: graph tools, the reference interpreter and the packed runtime (for operators that stay
// float) all use the same functions. Semantics are ONNX's, NCHW, float32 unless the operator says otherwise.
//
// An operator family is one file in src/ops/, ending in NNQ_OPS(family) { add({...}); ... }; the build generates the
// list of families from the folder, so a file without that line is a link error, never a silent absence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nnq/node.h"
#include "nnq/status.h"
#include "nnq/tensor.h"

namespace nnq {

/// A dimension: known (value >= 0) or free (value == -1) with an optional symbol such as "N".
struct Dim {
  std::int64_t value = -1;
  std::string symbol;

  Dim() = default;
  Dim(std::int64_t v) : value(v) {}  // NOLINT(google-explicit-constructor): dims read as numbers
  explicit Dim(std::string s) : symbol(std::move(s)) {}
  bool known() const { return value >= 0; }
  bool operator==(const Dim&) const = default;
};
using SymbolicShape = std::vector<Dim>;

/// Type of a value: element type and, when inferable, rank and dimensions.
struct ValueType {
  DType dtype = DType::f32;
  bool ranked = false;  // false: even the rank is unknown
  SymbolicShape shape;

  static ValueType of(DType t, const Shape& s);
  bool fully_known() const;       // ranked and every dimension known
  Shape static_shape() const;     // requires fully_known()
  std::string to_string() const;  // "float32[N, 3, 32, 32]"
  bool operator==(const ValueType&) const = default;
};

/// What shape inference sees and fills. Inputs left out have no type.
struct InferContext {
  const Node& node;
  std::int64_t opset;                    // of the node's domain
  std::vector<const ValueType*> inputs;  // nullptr: left out
  std::vector<const Tensor*> constants;  // nullptr: value not known while inferring
  std::vector<ValueType> outputs;        // one for each of node.outputs; filled by infer

  bool has(std::size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  const ValueType& input(std::size_t i) const { return *inputs[i]; }
  const Tensor* constant(std::size_t i) const { return i < constants.size() ? constants[i] : nullptr; }
};

/// What evaluation sees: dense inputs of known shape, outputs already allocated with the inferred shapes.
struct EvalContext {
  const Node& node;
  std::int64_t opset;
  std::vector<const TensorView*> inputs;  // nullptr: left out
  std::vector<TensorView*> outputs;       // nullptr: not wanted
  std::span<std::byte> scratch;           // at least Op::scratch bytes, 64-byte aligned

  bool has(std::size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  const TensorView& input(std::size_t i) const { return *inputs[i]; }
  TensorView& output(std::size_t i) const { return *outputs[i]; }
};

struct Op {
  std::string name;
  std::string domain;      // "" or "ai.nnq"
  std::int64_t since = 1;  // lowest opset whose meaning `infer`/`evaluate` cover (they branch on ctx.opset)
  std::function<Status(InferContext&)> infer;
  std::function<Status(EvalContext&)> evaluate;
  /// Multiply-accumulates of one application, for `inspect`; absent = 0. Shapes are the known input/output types.
  std::function<std::int64_t(const Node&, std::span<const ValueType> inputs, std::span<const ValueType> outputs)> macs;
  /// Scratch bytes evaluate needs for these (known) types; absent = 0.
  std::function<std::size_t(const Node&, std::span<const ValueType> inputs)> scratch;
};

/// nullptr when the operator is not registered.
const Op* find_op(std::string_view domain, std::string_view name);
/// Every registered operator, sorted by domain then name.
std::vector<const Op*> all_ops();

namespace detail {
void add_op(Op op);
}

/// Newest ONNX opset whose semantics the operators cover; graphs are converted to it on import where versions differ.
inline constexpr std::int64_t kOnnxOpset = 21;
inline constexpr std::int64_t kNnqOpset = 1;

/// Runs one node on owned tensors: infers output shapes from the actual inputs, allocates, evaluates. Undefined
/// tensors stand for inputs left out. The reference interpreter and constant folding are loops over this.
Status evaluate_node(const Node& node, std::int64_t opset, std::span<const Tensor> inputs,
                     std::vector<Tensor>& outputs);

}  // namespace nnq

/// Registration of a family: NNQ_OPS(elementwise) { add({.name = "Relu", ...}); }
#define NNQ_OPS(family)                                              \
  namespace nnq::ops {                                               \
  void register_##family(const std::function<void(::nnq::Op)>& add); \
  }                                                                  \
  void nnq::ops::register_##family(const std::function<void(::nnq::Op)>& add)
