// place_quantizers: where simulated quantization goes in a float graph.
#include <algorithm>

#include "nnq/error.h"
#include "quantize/canonical.h"
#include "quantize/layers.h"
#include "quantize/ranges.h"
#include "quantize/rules.h"
#include "quantize/state.h"

namespace nnq {
namespace {

using namespace quantize;

class Placer {
 public:
  Placer(Graph graph, const PlacementOptions& options) : graph_(std::move(graph)), options_(options) {}

  Graph run() && {
    rules_ = resolve_rules(graph_, options_.rules);
    const std::map<std::string, LayerRule>& rules = rules_;
    types_ = infer_types(graph_);
    std::vector<std::string> names;
    for (const std::size_t layer : layers_of(graph_))
      if (rules.contains(graph_.nodes[layer].name)) names.push_back(graph_.nodes[layer].name);
    non_negative_ = non_negative_values(graph_);
    for (const std::string& name : names) {
      const LayerRule& rule = rules.at(name);
      if (!rule.weights.method.empty()) put_output_channels_first(graph_, node(name), types_);
      if (shift_batch_norm(rule)) use_shift_batch_norm(graph_, name);
    }
    for (const std::string& name : names) {
      const LayerRule& rule = rules.at(name);
      if (!rule.weights.method.empty()) place_weights(name, rule.weights);
      if (!rule.activations.method.empty()) place_activation(name, rule.activations);
    }
    for (const std::string& name : names)
      if (!rules.at(name).gradients.method.empty()) place_gradient(name, rules.at(name).gradients);
    if (options_.quantize_adds) place_adds();
    graph_.sort();
    prune(graph_);
    verify(graph_);
    return std::move(graph_);
  }

 private:
  Node& node(const std::string& name) { return graph_.nodes[static_cast<std::size_t>(find_node(graph_, name))]; }

  const Node* producer(const std::string& value) const {
    const std::int64_t index = graph_.producer(value);
    return index < 0 ? nullptr : &graph_.nodes[static_cast<std::size_t>(index)];
  }

  std::string fresh_node(const std::string& stem) const {
    std::string name = stem;
    for (int i = 1; find_node(graph_, name) >= 0; ++i) name = stem + "_" + std::to_string(i);
    return name;
  }

  /// Appends a Quantizer of `input` and returns its name; the output is `output` or made from the input's name.
  std::string add_quantizer(const std::string& stem, const std::string& input, const QuantizerSpec& spec,
                            const char* role, bool is_signed, std::string output = {}) {
    Node quantizer;
    quantizer.op = "Quantizer";
    quantizer.domain = kNnqDomain;
    quantizer.name = fresh_node(stem);
    quantizer.inputs = {input};
    quantizer.outputs = {output.empty() ? graph_.fresh(input + ".quantized") : std::move(output)};
    quantizer.attributes["signed"] = std::int64_t{is_signed ? 1 : 0};
    for (const auto& [key, value] : spec.parameters)
      if (!is_placement_parameter(key)) quantizer.attributes[key] = value;
    quantizer.attributes["method"] = spec.method;
    quantizer.attributes["role"] = std::string(role);
    quantizer.attributes["bits"] = std::int64_t{spec.bits};
    graph_.nodes.push_back(std::move(quantizer));
    return graph_.nodes.back().name;
  }

  void place_weights(const std::string& layer, const QuantizerSpec& spec) {
    const std::vector<std::size_t> inputs = weight_inputs(node(layer));
    for (const std::size_t input : inputs) {
      const std::string stem = inputs.size() == 1 ? layer : layer + (input == 1 ? ".W" : ".R");
      place_weight(layer, input, stem + ".weight_quantizer", spec);
    }
  }

  void place_weight(const std::string& layer, std::size_t input, const std::string& stem, const QuantizerSpec& spec) {
    const std::string weight = node(layer).inputs[input];
    if (graph_.initializer(weight) == nullptr) return;  // has its quantizer
    const auto [reader, slot] = keeps_columns(layer) ? std::pair{layer, input} : put_rows_first(graph_, layer, input);
    const std::string key = key_of(weight, spec);
    if (!made_.contains(key)) made_[key] = add_quantizer(stem, weight, spec, "weight", true);
    node(reader).inputs[slot] = node(made_[key]).outputs[0];
  }

  /// A MatMul whose input may become codes keeps its [K, N] weight: integer layers take it as it is.
  bool keeps_columns(const std::string& layer) {
    if (!node(layer).is("MatMul")) return false;
    const Node* made = producer(origin(node(layer).inputs[0]));
    return !rules_.at(layer).activations.method.empty() && (made == nullptr || !is_recurrent(*made));
  }

  /// The state of a recurrent layer is quantized inside it, at every step (docs/quantized-graph.md).
  void place_state(const std::string& layer, const QuantizerSpec& spec) {
    Node& recurrent = node(layer);
    check_state(recurrent, spec);
    recurrent.domain = kNnqDomain;
    set_vector_code(recurrent, "state_", spec);
    place_vectors(layer, spec);
  }

  /// Whether a recurrent layer reads quantized vectors: rows of a quantized table, the sequence of such a layer.
  bool reads_vectors(const std::string& value, bool uniform) const {
    const std::string from = origin(value);
    const Node* made = producer(from);
    if (made == nullptr) return false;
    if (is_recurrent(*made) && made->domain == kNnqDomain)
      return from == made->outputs[0] && (made->get_int("state_uniform", 0) != 0) == uniform;
    const auto rule = rules_.find(made->name);
    return !uniform && made->is("Gather") && rule != rules_.end() && !rule->second.weights.method.empty();
  }

  /// The input of a recurrent layer with a quantized state is quantized on line as the state is, unless it is already.
  void place_vectors(const std::string& layer, const QuantizerSpec& spec) {
    const std::string value = node(layer).inputs[0];
    if (reads_vectors(value, spec.method == "uniform")) return;
    if (const Node* made = producer(value); made != nullptr && made->is("QuantizeVectors", kNnqDomain)) {
      set_vector_code(node(made->name), "", spec);  // placed before
      return;
    }
    const std::string key = "vectors\n" + key_of(value, spec);
    if (!made_.contains(key)) {
      Node quantize;
      quantize.op = "QuantizeVectors";
      quantize.domain = kNnqDomain;
      quantize.name = fresh_node(value + ".vectors");
      quantize.inputs = {value};
      quantize.outputs = {graph_.fresh(value + ".vectors")};
      set_vector_code(quantize, "", spec);
      made_[key] = quantize.name;
      graph_.nodes.push_back(std::move(quantize));
    }
    node(layer).inputs[0] = node(made_[key]).outputs[0];
  }

  void place_activation(const std::string& layer, const QuantizerSpec& spec) {
    if (is_recurrent(node(layer))) return place_state(layer, spec);
    std::string value = node(layer).inputs[0];
    if (!is_float(value) || is_quantized(value)) return;
    const bool image = is_graph_input(value);
    const QuantizerSpec chosen = image ? input_spec(value) : spec;
    const std::string key = key_of(value, chosen);
    if (!made_.contains(key)) {
      const std::string stem = value + ".quantizer";
      const bool is_signed = !non_negative_.contains(value);
      if (!image && replaces_activation(spec)) value = without_activation(value);
      made_[key] = add_quantizer(stem, value, chosen, "activation", is_signed);
    }
    node(layer).inputs[0] = node(made_[key]).outputs[0];
  }

  /// On the layer's output, which keeps its name behind the quantizer.
  void place_gradient(const std::string& layer, const QuantizerSpec& spec) {
    const std::string output = node(layer).outputs[0];
    const std::string raw = graph_.fresh(output + ".raw");
    node(layer).outputs[0] = raw;
    add_quantizer(layer + ".gradient_quantizer", raw, spec, "gradient", true, output);
  }

  /// Both inputs of a residual Add get one encoding of 8 bits, so that deployed they are added as integers.
  void place_adds() {
    std::vector<std::string> adds;
    for (const Node& candidate : graph_.nodes) {
      if (!candidate.is("Add") || candidate.inputs.size() != 2) continue;
      const bool two_activations = std::all_of(candidate.inputs.begin(), candidate.inputs.end(), [&](const auto& v) {
        return graph_.initializer(v) == nullptr && is_float(v);
      });
      if (two_activations && activation_rule(options_.rules, candidate.name) != nullptr) adds.push_back(candidate.name);
    }
    for (const std::string& name : adds) place_add(name);
  }

  void place_add(const std::string& name) {
    const std::vector<std::string> inputs = node(name).inputs;
    QuantizerSpec spec;
    spec.method = "uniform";
    bool is_signed = false;
    for (const std::string& value : inputs) is_signed = is_signed || !non_negative_.contains(value);
    const std::string owner = add_quantizer(name + ".quantizer", inputs[0], spec, "activation", is_signed);
    node(name).inputs[0] = node(owner).outputs[0];
    if (inputs[1] == inputs[0]) {
      node(name).inputs[1] = node(owner).outputs[0];
      return;
    }
    const std::string second = add_quantizer(name + ".quantizer", inputs[1], spec, "activation", is_signed);
    node(second).attributes["shared_with"] = owner;
    node(name).inputs[1] = node(second).outputs[0];
  }

  /// Two layers share a quantizer when method, bits and parameters are the same.
  static std::string key_of(const std::string& value, const QuantizerSpec& spec) {
    std::string key = value + '\n' + spec.method + '\n' + std::to_string(spec.bits);
    for (const auto& [name, parameter] : spec.parameters) {
      key += '\n' + name + '=';
      if (const auto* i = std::get_if<std::int64_t>(&parameter)) key += std::to_string(*i);
      if (const auto* f = std::get_if<float>(&parameter)) key += std::to_string(static_cast<double>(*f));
      if (const auto* s = std::get_if<std::string>(&parameter)) key += *s;
    }
    return key;
  }

  bool is_float(const std::string& value) const {
    if (value.empty() || graph_.initializer(value) != nullptr) return false;
    const auto type = types_.find(value);
    return type == types_.end() || type->second.dtype == DType::f32;
  }

  /// The value that pooling and reshapes made this one from.
  std::string origin(std::string value) const {
    for (const Node* made = producer(value); made != nullptr && commutes_with_quantizers(*made); made = producer(value))
      value = made->inputs[0];
    return value;
  }

  bool is_quantized(const std::string& value) const {
    const Node* made = producer(origin(value));
    if (made == nullptr) return false;
    static const std::set<std::string> quantizers{"Quantize", "Sign", "Bucketize",      "Levels",
                                                  "LSTM",     "GRU",  "QuantizeVectors"};
    return is_quantizer(*made, "activation") || (made->domain == kNnqDomain && quantizers.contains(made->op));
  }

  bool is_graph_input(const std::string& value) const {
    const std::string from = origin(value);
    return std::any_of(graph_.inputs.begin(), graph_.inputs.end(),
                       [&](const GraphInput& input) { return input.name == from; });
  }

  /// The network's input keeps 8 bits whatever the method: pixels have them. Pixels that are only divided by 255 get
  /// exactly that scale, so that the code is the pixel.
  QuantizerSpec input_spec(const std::string& value) const {
    QuantizerSpec spec;
    spec.method = "uniform";
    spec.bits = 8;
    if (non_negative_.contains(value) && has_plain_pixels(graph_)) spec.parameters["scale"] = 1.0F / 255.0F;
    return spec;
  }

  /// `value` computed without the Relu, Clip or HardTanh nearest above it (past pooling, padding and reshapes, which
  /// are repeated); `value` itself when there is none.
  std::string without_activation(const std::string& value) {
    std::vector<Node> path;  // from the value up
    std::string at = value;
    const Node* made = producer(at);
    while (made != nullptr && (commutes_with_quantizers(*made) || made->is("Pad"))) {
      path.push_back(*made);
      at = made->inputs[0];
      made = producer(at);
    }
    if (made == nullptr || !made->domain.empty() || (made->op != "Relu" && made->op != "Clip")) return value;
    at = made->inputs[0];
    for (auto step = path.rbegin(); step != path.rend(); ++step) {
      Node copy = *step;
      copy.inputs[0] = at;
      copy.name = fresh_node(step->name + ".before_sign");
      copy.outputs = {graph_.fresh(step->outputs[0] + ".before_sign")};
      at = copy.outputs[0];
      graph_.nodes.push_back(std::move(copy));
    }
    return at;
  }

  Graph graph_;
  const PlacementOptions& options_;
  std::map<std::string, ValueType> types_;
  std::map<std::string, LayerRule> rules_;  // by layer
  std::set<std::string> non_negative_;
  std::map<std::string, std::string> made_;  // key_of -> quantizer node
};

}  // namespace

Graph place_quantizers(Graph graph, const PlacementOptions& options) {
  if (options.rules.empty()) return graph;
  return Placer(std::move(graph), options).run();
}

}  // namespace nnq
