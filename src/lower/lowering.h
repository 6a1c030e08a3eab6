// The state of one lowering: which program values stand for which graph value, and the helpers the passes share.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nnq/graph.h"
#include "nnq/lower.h"
#include "nnq/program.h"

namespace nnq::lower_room {

/// The graph and training compute sums and adds in float32: exact below this.
constexpr std::int64_t exact_limit = std::int64_t{1} << 24;

inline bool is_dense(const Node& node) { return node.is("Gemm") || node.is("MatMul"); }

/// A graph value that is an affine image of integer program values: x = round(round(v * a) + b), per tensor or per
/// channel; or, for codes with levels of their own, x = levels[v].
struct Integers {
  std::int32_t value = -1;  // program value of kind codes or accumulator
  std::vector<float> a = {1}, b = {0};
  std::vector<float> levels = {};  // ascending, of codes 0, 1, ...; empty: a and b hold
  bool flattened = false;          // the graph value is [N, C*H*W]; `value` is the [N, C, H, W] it came from

  bool plain() const { return levels.empty() && a.size() == 1 && a[0] == 1 && b.size() == 1 && b[0] == 0; }
  bool zero_stays() const { return levels.empty() && b.size() == 1 && b[0] == 0; }
};

class Lowering {
 public:
  explicit Lowering(const Graph& graph);

  const Graph& graph;
  GraphIndex index;
  std::map<std::string, ValueType> types;
  Program program;
  std::vector<bool> taken;  // nodes a pass has consumed

  /// A Pad of codes that its convolution will do itself: by the Pad's output value.
  struct Border {
    Integers from;
    Window pads;  // only the pads
    std::int32_t value = 0;
  };
  std::map<std::string, Border> borders;
  /// Values of packed weights by graph value. They are stored packed: an integer layer takes them into its step, for a
  /// float layer the unpacking stays a step, which the runtime does once at load.
  struct Unpacked {
    const Node* node = nullptr;
    Tensor values;
  };
  std::map<std::string, Unpacked> unpacked;

  /// Graph values that are multi-bit vectors: codes and, beside them, scales.
  struct Vectors {
    std::int32_t codes = -1, scales = -1;  // program values
    bool uniform = false;                  // docs/program.md, "Uniform vectors"
    bool sequence = false;                 // the graph value is [time, 1, batch, n], the vectors [time, batch, n]
  };
  std::map<std::string, Vectors> vectors;

  /// Why a layer found no other form than float, by its output; for `inspect`.
  std::map<std::string, std::string> why_float;
  /// Smallest and largest value of integer program values; codes have theirs by their type.
  struct Range {
    std::int64_t low = 0, high = 0;
  };
  std::map<std::int32_t, Range> accumulator_ranges;
  std::optional<Range> range(std::int32_t value) const;

  /// The integers behind a graph value, if it has them.
  const Integers* integers(const std::string& value) const;
  void set_integers(const std::string& value, Integers integers) { integers_[value] = std::move(integers); }
  /// The program value holding a graph value as an ONNX tensor; dequantizes integers and makes constants on demand.
  std::int32_t tensor(const std::string& value);
  /// Whether tensor(value) can be had now.
  bool made(const std::string& value) const {
    return tensors_.contains(value) || vectors.contains(value) || integers_.contains(value) ||
           graph.initializer(value) != nullptr;
  }
  void set_tensor(const std::string& value, std::int32_t number) { tensors_[value] = number; }

  /// New program values for a graph value's type.
  std::int32_t new_value(const std::string& value, ValueKind kind, const CodeType& code = {});
  const ValueType* type(const std::string& value) const;
  const CodeType& code(std::int32_t value) const { return program.values[static_cast<std::size_t>(value)].code; }
  bool is_codes(std::int32_t value) const {
    return program.values[static_cast<std::size_t>(value)].kind == ValueKind::codes;
  }
  Step& add(StepKind kind, const std::string& name, std::vector<std::int32_t> inputs,
            std::vector<std::int32_t> outputs);

  /// The only reader of `value` when it has exactly one and is no graph output; nullptr otherwise.
  const Node* only_reader(const std::string& value) const;
  std::size_t number_of(const Node& node) const { return static_cast<std::size_t>(&node - graph.nodes.data()); }
  void take(const Node& node) { taken[number_of(node)] = true; }
  const Tensor* constant(const Node& node, std::size_t input) const;

 private:
  /// A step making the real values of integers.
  void add_real(const std::string& name, const Integers& from, std::int32_t output);

  std::map<std::string, Integers> integers_;
  std::map<std::string, std::int32_t> tensors_;
};

/// One lowering pass: looks at a node that no pass has taken, and lowers it (and nodes behind it) or leaves it (false).
using NodePass = bool (*)(Lowering&, const Node&);

bool lower_quantizer(Lowering& l, const Node& node);  // Quantize, Sign on float values
bool lower_affine(Lowering& l, const Node& node);     // Affine on integers: remembered, not computed
bool lower_layer(Lowering& l,
                 const Node& node);  // Conv, Gemm, MatMul of codes with integer weights, with what stands behind
bool lower_levels(Lowering& l, const Node& node);    // Bucketize; Levels of codes: remembered, not computed
bool lower_planes(Lowering& l, const Node& node);    // Conv, Gemm, MatMul of codes with real-valued levels
bool lower_vectors(Lowering& l, const Node& node);   // Gather, LSTM, GRU, MatMul of multi-bit vectors
bool lower_add(Lowering& l, const Node& node);       // Add of integers of one scale
bool lower_relu(Lowering& l, const Node& node);      // Relu of integers that are codes behind it
bool lower_concat(Lowering& l, const Node& node);    // Concat of codes of one scale along the channels
bool lower_pool(Lowering& l, const Node& node);      // MaxPool, AveragePool, GlobalAveragePool of codes
bool lower_movement(Lowering& l, const Node& node);  // Flatten, Slice, Pad, Identity of codes
bool lower_float(Lowering& l, const Node& node);     // everything else

/// The real values of multi-bit vectors as a program value.
std::int32_t vector_tensor(Lowering& l, const std::string& value, const Lowering::Vectors& from);

/// What stands behind a layer's sums, up to the next codes.
struct Tail {
  Epilogue epilogue;
  std::string end;                 // graph value the epilogue makes
  std::optional<CodeType> code;    // of `end` when it is codes
  std::int32_t residual = -1;      // program value of the residual
  const Node* pool = nullptr;      // MaxPool between the sums and the thresholds
  std::vector<const Node*> nodes;  // consumed
  std::string note;
};
/// What a tail is read for: the proven range of the sums; layers have numbers for each channel and may take a residual,
/// steps without weights have one number for all channels where all agree.
struct TailOf {
  std::int64_t channels = 0;
  std::int32_t low = 0, high = 0;
  bool layer = true;
};
/// Reads the chain behind graph value `sums`.
Tail read_tail(Lowering& l, const std::string& sums, const TailOf& of);
/// The chain from plain integers up to the quantizer `node`, read upwards: where sums or codes have several readers.
/// `from` is the graph value with the integers; no code in the result when there are none.
Tail read_chain_above(Lowering& l, const Node& node, std::string& from);

/// Relu of integers in low .. high as a requantization to the codes 0 .. high, which must be at most 255.
Epilogue relu_of_integers(std::int64_t high, CodeType& code);
/// Channels of an image or a matrix; -1 when they are not known.
std::int64_t channels_of(const Lowering& l, const std::string& value);

/// Quantizers behind a Concat along the channels move in front of it, where the layers' epilogues take them: exact, as
/// they work on each element alone.
Graph quantize_before_concat(Graph graph);

/// A MaxPool behind an integer layer pools codes or sums instead of floats: exact, as what stands between is a
/// non-decreasing function of one value.
Graph pool_integers(Graph graph);

/// A Quantize or Sign: its codes and scale; false for other nodes.
bool read_quantizer(const Lowering& l, const Node& node, CodeType& code, float& scale);
/// A Bucketize with constant ascending thresholds: its codes 0 .. n; false for other nodes.
bool read_bucketize(const Lowering& l, const Node& node, CodeType& code, std::vector<float>& thresholds);

/// [C, H, W] of the image behind flattened integers, empty when they are not flattened; false: its size is not known.
bool image_behind(const Lowering& l, const Integers& x, Shape& image);

/// The integer weight of a layer, float32 but whole numbers in [-128, 127]; nullptr when the layer's form or weight is
/// not integer.
const Tensor* integer_weight(Lowering& l, const Node& node);

/// Window attributes of a Conv or pool node of two spatial dimensions; false for forms that stay float.
bool read_window(const Lowering& l, const Node& node, bool conv, Window& window);

}  // namespace nnq::lower_room
