#include "quantize/freezer.h"

#include <algorithm>
#include <cmath>

#include "nnq/error.h"
#include "quantize/activation_code.h"
#include "quantize/hoist.h"
#include "quantize/layers.h"

namespace nnq::quantize {

Freezer::Freezer(Graph graph, const FreezeCallbacks& callbacks) : old_(std::move(graph)), callbacks_(callbacks) {
  for (const Node& node : old_.nodes)
    if (is_quantizer(node, "activation")) owners_[node.name] = node;
  hoist_quantizers(old_, [this](const Node& node, float x) { return quantized_value(code_of(node), x); });
  types_ = infer_types(old_);
  new_.name = old_.name;
  new_.opset = old_.opset;
  new_.inputs = old_.inputs;
  new_.outputs = old_.outputs;
  new_.metadata = old_.metadata;
  new_.initializers = old_.initializers;
  for (const GraphInput& input : old_.inputs) names_.insert(input.name);
  for (const auto& [name, value] : old_.initializers) names_.insert(name);
  for (const Node& node : old_.nodes) {
    names_.insert(node.name);
    names_.insert(node.outputs.begin(), node.outputs.end());
  }
}

Graph Freezer::run() && {
  const auto leaf = [this](const std::string& name) {
    auto made = std::make_shared<Form>();
    made->value = made->real = name;
    forms_[name] = std::move(made);
  };
  for (const GraphInput& input : old_.inputs) leaf(input.name);
  for (const auto& [name, value] : old_.initializers) leaf(name);
  for (const Node& node : old_.nodes) read(node);
  finish_outputs();
  prune(new_);
  verify(new_);
  return std::move(new_);
}

const std::map<std::string, Freezer::Handler>& Freezer::handlers() {
  static const std::map<std::string, Handler> table{
      {"Conv", &Freezer::layer},
      {"ConvTranspose", &Freezer::layer},
      {"Gemm", &Freezer::layer},
      {"MatMul", &Freezer::layer},
      {"BatchNormalization", &Freezer::normalization},
      {"ai.nnq.ShiftBatchNormalization", &Freezer::normalization},
      {"ai.nnq.Quantizer", &Freezer::quantizer},
      {"Add", &Freezer::arithmetic},
      {"Sub", &Freezer::arithmetic},
      {"Mul", &Freezer::arithmetic},
      {"Div", &Freezer::arithmetic},
      {"Identity", &Freezer::identity},
      {"Dropout", &Freezer::identity},
      {"Flatten", &Freezer::move},
      {"Reshape", &Freezer::move},
      {"Transpose", &Freezer::move},
      {"Squeeze", &Freezer::move},
      {"Unsqueeze", &Freezer::move},
      {"MaxPool", &Freezer::max_pool},
      {"AveragePool", &Freezer::average_pool},
      {"GlobalAveragePool", &Freezer::average_pool},
      {"Relu", &Freezer::relu},
      {"Pad", &Freezer::pad},
      {"Concat", &Freezer::concat},
  };
  return table;
}

void Freezer::read(const Node& node) {
  const std::string key = node.domain.empty() ? node.op : node.domain + "." + node.op;
  const auto handler = handlers().find(key);
  if (handler == handlers().end() || node.outputs.empty() || node.inputs.empty()) {
    copy(node);
  } else {
    (this->*handler->second)(node);
  }
}

std::string Freezer::unique(const std::string& stem) {
  std::string name = stem;
  for (int i = 1; !names_.insert(name).second; ++i) name = stem + "_" + std::to_string(i);
  return name;
}

std::string Freezer::add(Node node, const std::string& output) {
  node.outputs = {output};
  if (node.name.empty()) node.name = output;
  new_.nodes.push_back(std::move(node));
  return output;
}

std::string Freezer::add_vector(const std::string& stem, const std::vector<double>& values) {
  std::vector<float> rounded;
  for (const double v : values) rounded.push_back(static_cast<float>(v));
  std::string name = unique(stem);
  new_.initializers[name] = Tensor::of<float>({static_cast<std::int64_t>(rounded.size())}, rounded);
  return name;
}

std::string Freezer::real(const std::string& value) {
  if (value.empty()) return value;
  if (const auto weight = weights_.find(value); weight != weights_.end()) {
    const std::string levels = real_weight(new_, weight->second);
    names_.insert(levels);
    return levels;
  }
  Form& form = *forms_.at(value);
  if (!form.real.empty()) return form.real;
  const bool taken = new_.producer(value) >= 0 || new_.initializers.contains(value);
  if (!form.levels.empty()) return form.real = add_levels(form, taken ? unique(value) : value);
  const auto rounds_to = [](const std::vector<double>& values, float to) {
    return std::all_of(values.begin(), values.end(), [&](double v) { return static_cast<float>(v) == to; });
  };
  if (rounds_to(form.a, 1) && rounds_to(form.b, 0)) return form.real = form.value;
  Node affine;
  affine.op = "Affine";
  affine.domain = kNnqDomain;
  affine.name = unique(value + ".affine");
  affine.inputs = {form.value, add_vector(value + ".a", form.a), add_vector(value + ".b", form.b)};
  affine.attributes["axis"] = form.axis;
  return form.real = add(std::move(affine), taken ? unique(value) : value);
}

const Tensor* Freezer::constant(const std::string& value) const {
  const Tensor* tensor = value.empty() ? nullptr : old_.initializer(value);
  return tensor != nullptr && tensor->dtype() == DType::f32 ? tensor : nullptr;
}

std::int64_t Freezer::rank_of(const std::string& value) const {
  const auto type = types_.find(value);
  return type == types_.end() || !type->second.ranked ? -1 : static_cast<std::int64_t>(type->second.shape.size());
}

void Freezer::copy(const Node& node) {
  Node same = node;
  for (std::string& input : same.inputs) input = real(input);
  for (const std::string& output : node.outputs) {
    if (output.empty()) continue;
    auto made = std::make_shared<Form>();
    made->value = made->real = output;
    forms_[output] = std::move(made);
  }
  new_.nodes.push_back(std::move(same));
}

FormPtr Freezer::apply_to_codes(const Node& node) {
  const FormPtr from = form(node.inputs[0]);
  Node on_codes = node;
  on_codes.inputs[0] = from->value;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) on_codes.inputs[i] = real(node.inputs[i]);
  auto made = std::make_shared<Form>(*from);
  made->real.clear();
  const bool plain = from->identity();
  made->value = add(std::move(on_codes), plain ? node.outputs[0] : unique(node.outputs[0] + ".codes"));
  if (plain) made->real = made->value;
  return made;
}

void Freezer::finish_outputs() {
  std::set<std::string> done;
  for (const std::string& output : new_.outputs) {
    if (!done.insert(output).second) continue;
    const std::string value = real(output);
    if (value == output) continue;
    Node same;
    same.op = "Identity";
    same.inputs = {value};
    same.name = unique(output + ".identity");
    add(std::move(same), output);
  }
}

ActivationCode Freezer::code_of(const Node& quantizer) const {
  const std::string owner = quantizer.get_string("shared_with", quantizer.name.c_str());
  const auto it = owners_.find(owner);
  const std::string where = "node '" + quantizer.name + "' (Quantizer)";
  NNQ_CHECK(it != owners_.end(), "shares the encoding of '" + owner + "', which does not exist", where);
  ActivationCode code = callbacks_.activation(it->second);
  check_code(code, where);
  return simplest(std::move(code));
}

}  // namespace nnq::quantize

namespace nnq {

Graph freeze(Graph graph, const FreezeCallbacks& callbacks) {
  return quantize::Freezer(std::move(graph), callbacks).run();
}

}  // namespace nnq
