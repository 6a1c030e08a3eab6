#include "cli/inspection.h"

#include <algorithm>
#include <set>

#include "cli/inspection_parts.h"
#include "nnq/quantize.h"

namespace nnq::cli {
namespace {

/// Operators that hand integer codes through unchanged in meaning.
bool moves_codes(const Node& node) {
  static const std::set<std::string> movers = {
      "MaxPool",   "Flatten", "Reshape",  "Transpose", "Concat",           "Squeeze", "Slice",
      "Unsqueeze", "Pad",     "Identity", "Gather",    "DequantizeLinear", "Split"};
  return (node.domain.empty() && movers.contains(node.op)) || node.is("Levels", kNnqDomain);
}

int bits_of(DType type) { return size_of(type) > 0 && type != DType::f32 ? static_cast<int>(8 * size_of(type)) : 32; }

class GraphInspector {
 public:
  GraphInspector(const Graph& graph, const std::map<std::string, Shape>& shapes)
      : graph_(graph), index_(graph), types_(infer_types(graph, fixed(graph, shapes))) {}

  Inspection run() {
    for (const Node& node : graph_.nodes) {
      const bool constant = std::all_of(node.inputs.begin(), node.inputs.end(),
                                        [&](const std::string& v) { return v.empty() || is_constant(v); });
      if (constant) {
        constants_.insert(node.outputs.begin(), node.outputs.end());
      } else {
        visit(node);
      }
    }
    set_entropy(result_);
    return std::move(result_);
  }

 private:
  static std::map<std::string, ValueType> fixed(const Graph& graph, const std::map<std::string, Shape>& shapes) {
    std::map<std::string, ValueType> types;
    for (const GraphInput& input : graph.inputs) types[input.name] = fixed_type(input.name, input.type, shapes);
    return types;
  }

  bool is_constant(const std::string& value) const {
    return graph_.initializers.contains(value) || constants_.contains(value);
  }

  void visit(const Node& node) {
    LayerRow row;
    row.name = node.name;
    row.op = (node.domain.empty() ? "" : node.domain + ".") + node.op;
    if (node.domain == kNnqDomain) row.op = node.op;
    if (!node.outputs.empty()) set_shape(row, type_of(node.outputs[0]));
    row.macs = macs(node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool statistics = node.is("BatchNormalization") && i >= 3;
      if (!node.inputs[i].empty() && is_constant(node.inputs[i])) take_constant(row, node.inputs[i], !statistics);
    }
    if (row.parameters > 0 && row.weight_bits == 0) {
      row.weight_bits = 32;
      row.encoding = "float32";
    }
    set_activation_bits(row, node);
    add_row(result_, std::move(row));
  }

  ValueType type_of(const std::string& value) const {
    const auto it = types_.find(value);
    return it == types_.end() ? ValueType{} : it->second;
  }

  std::int64_t macs(const Node& node) const {
    const Op* op = find_op(node.domain, node.op);
    if (op == nullptr || !op->macs) return 0;
    std::vector<ValueType> inputs, outputs;
    bool known = true;
    for (const std::string& input : node.inputs) {
      inputs.push_back(input.empty() ? ValueType{} : type_of(input));
      known = known && (input.empty() || inputs.back().fully_known());
    }
    for (const std::string& output : node.outputs) {
      outputs.push_back(output.empty() ? ValueType{} : type_of(output));
      known = known && (output.empty() || outputs.back().fully_known());
    }
    return known ? op->macs(node, inputs, outputs) : -1;
  }

  /// Adds a constant to its first reader, looking through the nodes that unpack it.
  void take_constant(LayerRow& row, const std::string& value, bool trains) {
    if (const Tensor* tensor = graph_.initializer(value); tensor != nullptr) {
      if (!counted_.insert(value).second) return;
      row.bytes += static_cast<std::int64_t>(tensor->bytes());
      if (tensor->rank() > 0 && tensor->dtype() == DType::f32 && trains) row.parameters += tensor->count();
      return;
    }
    const auto it = index_.producer.find(value);
    if (it == index_.producer.end() || it->second < 0) return;
    const Node& maker = graph_.nodes[static_cast<std::size_t>(it->second)];
    const std::int64_t before = row.parameters;
    const bool first = counted_.insert(value).second;
    for (const std::string& input : maker.inputs) {
      if (!input.empty()) take_constant(row, input, trains);
    }
    const ValueType type = type_of(value);
    const std::int64_t elements = type.fully_known() ? checked_count(type.static_shape()).value_or(0) : 0;
    if (unpacks_weight(maker) || maker.is("DequantizeLinear")) row.parameters = before + (first ? elements : 0);
    name_encoding(row, maker, first);
  }

  void name_encoding(LayerRow& row, const Node& maker, bool first) const {
    const auto constant = [&](std::size_t i) {
      return i < maker.inputs.size() ? graph_.initializer(maker.inputs[i]) : nullptr;
    };
    if (unpacks_weight(maker)) {
      name_packed(row, maker, constant, first);
    } else if (maker.is("Quantizer", kNnqDomain)) {
      row.weight_bits = static_cast<int>(maker.get_int("bits", 32));
      row.encoding = maker.get_string("method", "") + " (training)";
    } else if (maker.is("DequantizeLinear") && constant(0) != nullptr && row.weight_bits == 0) {
      row.weight_bits = bits_of(constant(0)->dtype());
      row.encoding = "uniform";
    }
  }

  void set_activation_bits(LayerRow& row, const Node& node) {
    const auto incoming = [&] {
      const auto it = node.inputs.empty() ? code_bits_.end() : code_bits_.find(node.inputs[0]);
      return it == code_bits_.end() ? 32 : it->second;
    };
    row.activation_bits = incoming();
    if (node.is("Quantize", kNnqDomain)) row.activation_bits = static_cast<int>(node.get_int("bits", 8));
    if (node.is("Bucketize", kNnqDomain)) row.activation_bits = static_cast<int>(node.get_int("bits", 8));
    if (node.is("Sign", kNnqDomain)) row.activation_bits = 1;
    if (node.is("Quantizer", kNnqDomain)) row.activation_bits = static_cast<int>(node.get_int("bits", 32));
    if (node.is("QuantizeLinear")) row.activation_bits = bits_of(type_of(node.outputs[0]).dtype);
    const bool quantized_state = node.domain == kNnqDomain && node.has("state_bits");  // LSTM and GRU
    if (quantized_state) row.activation_bits = static_cast<int>(node.get_int("state_bits", 32));
    const bool makes_codes = quantized_state || node.is("Quantize", kNnqDomain) || node.is("Bucketize", kNnqDomain) ||
                             node.is("Sign", kNnqDomain) || node.is("Quantizer", kNnqDomain) ||
                             node.is("QuantizeLinear");
    if (row.activation_bits == 32 || !(makes_codes || moves_codes(node))) return;
    for (const std::string& output : node.outputs) code_bits_[output] = row.activation_bits;
  }

  const Graph& graph_;
  GraphIndex index_;
  std::map<std::string, ValueType> types_;
  std::set<std::string> constants_, counted_;
  std::map<std::string, int> code_bits_;
  Inspection result_;
};

}  // namespace

ValueType fixed_type(const std::string& name, ValueType type, const std::map<std::string, Shape>& shapes) {
  if (const auto it = shapes.find(name); it != shapes.end()) return ValueType::of(type.dtype, it->second);
  if (type.ranked && !type.shape.empty() && !type.shape[0].known()) type.shape[0] = Dim(1);
  return type;
}

void set_shape(LayerRow& row, const ValueType& type) {
  row.ranked = type.ranked;
  row.output_shape = type.shape;
  if (!row.output_shape.empty() && !row.output_shape[0].known()) row.output_shape[0] = Dim(1);
}

void add_row(Inspection& result, LayerRow row) {
  result.parameters += row.parameters;
  result.bytes += row.bytes;
  result.macs += std::max<std::int64_t>(row.macs, 0);
  result.macs_complete = result.macs_complete && row.macs >= 0;
  result.layers.push_back(std::move(row));
}

std::string plane_encoding(const std::vector<float>& scale, const std::vector<float>& offset, int bits) {
  const auto k = static_cast<std::size_t>(std::max(bits, 1));
  bool binary = bits == 1, doubling = true;
  for (std::size_t g = 0; g * k < scale.size(); ++g) {
    const float low = g < offset.size() ? offset[g] : 0;
    binary = binary && low * -2 == scale[g * k];
    for (std::size_t p = 1; p < k; ++p) doubling = doubling && scale[g * k + p] == 2 * scale[g * k + p - 1];
  }
  return binary ? "binary" : doubling ? "uniform" : "bit planes";
}

Inspection inspect_graph(const Graph& graph, const std::map<std::string, Shape>& shapes) {
  return GraphInspector(graph, shapes).run();
}

std::string Inspection::bits_label() const {
  std::map<std::pair<int, int>, std::int64_t> weights;
  for (const LayerRow& row : layers) {
    if (row.weight_bits > 0 && row.weight_bits < 32) weights[{row.weight_bits, row.activation_bits}] += row.parameters;
  }
  const auto most = std::max_element(weights.begin(), weights.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == weights.end()) return "float";
  return "W" + std::to_string(most->first.first) +
         (most->first.second < 32 ? "A" + std::to_string(most->first.second) : std::string(" A float"));
}

std::string shape_text(const LayerRow& row) {
  if (!row.ranked) return "?";
  std::string text = "[";
  for (std::size_t i = 0; i < row.output_shape.size(); ++i) {
    const Dim& dim = row.output_shape[i];
    text += (i == 0 ? "" : ", ") + (dim.known() ? std::to_string(dim.value) : std::string("?"));
  }
  return text + "]";
}

}  // namespace nnq::cli
