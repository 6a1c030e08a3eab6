// The network, everywhere in nnq: typed SSA values, nodes in topological order, initializers. NCHW, as ONNX has it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "nnq/node.h"
#include "nnq/op.h"
#include "nnq/tensor.h"

namespace nnq {

/// A graph input: its name and declared type (dimensions may be symbolic: batch, height, width).
struct GraphInput {
  std::string name;
  ValueType type;
};

/// Value type: copy it, edit it, pass it on. Invariants (checked by verify()): every value has one producer (input,
/// initializer or node output), nodes are topologically sorted, names are unique, every operator is registered.
struct Graph {
  std::string name = "nnq";
  std::int64_t opset = kOnnxOpset;  // of the standard domain
  std::vector<GraphInput> inputs;
  std::vector<std::string> outputs;
  std::vector<Node> nodes;
  std::map<std::string, Tensor> initializers;
  std::map<std::string, std::string> metadata;  // ONNX metadata_props; keys of nnq's own begin with "nnq."

  /// A name not used by any value or node yet, beginning with `stem`.
  std::string fresh(const std::string& stem) const;

  /// Appends a node and returns its first output's name. Name and output are made from `stem` when empty.
  std::string add(Node node, const std::string& stem = {});
  /// Shorthand: add("Conv", {"x", "w"}, {{"strides", std::vector<int64_t>{1, 1}}}, "conv1") -> output value name.
  std::string add(const std::string& op, std::vector<std::string> inputs,
                  std::map<std::string, Attribute> attributes = {}, const std::string& stem = {},
                  const std::string& domain = {});
  std::string add_initializer(const std::string& stem, Tensor value);

  const Tensor* initializer(const std::string& value) const;  // nullptr when not an initializer
  /// Index into nodes of the producer of `value`, -1 for inputs and initializers.
  std::int64_t producer(const std::string& value) const;
  /// Indices of nodes that read `value`, in order.
  std::vector<std::size_t> consumers(const std::string& value) const;
  bool is_output(const std::string& value) const;

  /// Makes every reader of `from` (and graph outputs) read `to`.
  void replace_uses(const std::string& from, const std::string& to);
  /// Restores topological order after edits; throws nnq::Error naming a node of the cycle if there is none.
  void sort();
};

/// Producer and consumer look-ups in O(1) for passes; a snapshot, rebuilt after edits.
struct GraphIndex {
  explicit GraphIndex(const Graph& graph);
  std::map<std::string, std::int64_t> producer;               // value -> node index (absent: input or initializer)
  std::map<std::string, std::vector<std::size_t>> consumers;  // value -> node indices
};

/// Types of all values. Values whose type cannot be inferred are absent. Throws nnq::Error naming the node on a
/// contradiction (wrong rank, channels that do not match, ...). `inputs` overrides declared input types (e.g. batch 1).
std::map<std::string, ValueType> infer_types(const Graph& graph, const std::map<std::string, ValueType>& inputs = {});

/// Throws nnq::Error (node, value, what is wrong) unless all invariants hold and types infer without contradiction.
void verify(const Graph& graph);

/// Readable text: one line a node, "%conv1 : float32[N, 16, 28, 28] = Conv(%x, @w) {strides=[1, 1]}".
std::string to_text(const Graph& graph);

/// The reference interpreter: runs any graph whose operators are registered, on plain loops. `inputs` by name.
/// Returns the outputs in graph order; `observe` (optional) sees every value as it is made.
std::vector<Tensor> interpret(const Graph& graph, const std::map<std::string, Tensor>& inputs,
                              const std::function<void(const std::string&, const Tensor&)>& observe = {});

}  // namespace nnq
