#include <algorithm>
#include <cmath>
#include <set>

#include "nnq/error.h"
#include "nnq/passes.h"
#include "quantized_network.h"

namespace nnq::peers {
namespace {

bool has_weights(const Node& node) { return node.is("Conv") || node.is("Gemm"); }
/// What comes out lies in what went in: the same scale.
bool keeps_scale(const Node& node) { return node.is("MaxPool") || node.is("Flatten") || node.is("Reshape"); }
bool quantized(const Node& node) {
  return has_weights(node) || keeps_scale(node) || node.is("Add") || node.is("GlobalAveragePool") ||
         node.is("AveragePool");
}

class Writer {
 public:
  Writer(const Graph& from, const Ranges& ranges, int weight_bits)
      : from_(from), ranges_(ranges), most_(static_cast<float>((1 << (weight_bits - 1)) - 1)) {
    to_.name = from.name;
    to_.opset = std::max<std::int64_t>(from.opset, 13);
    to_.inputs = from.inputs;
  }

  Graph run() {
    for (Node node : from_.nodes) {
      if (node.is("Relu") && from_.consumers(node.inputs[0]).size() == 1 && !behind_.contains(node.inputs[0])) {
        // Codes from 0 up are what Relu leaves: as ONNX Runtime's own quantizer does, it is dropped.
        scale_[node.inputs[0]] = code_of(node.outputs[0]);
        behind_[node.outputs[0]] = codes(node.inputs[0]);
        continue;
      }
      if (!quantized(node)) {
        for (std::string& input : node.inputs) input = as_made(input);
        to_.nodes.push_back(node);
        continue;
      }
      const std::string source = node.inputs[0];
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (from_.initializer(node.inputs[i]) == nullptr)
          node.inputs[i] = codes(node.inputs[i]);
        else if (!has_weights(node))
          node.inputs[i] = as_made(node.inputs[i]);
      }
      if (has_weights(node)) weights(node, source);
      if (keeps_scale(node)) scale_[node.outputs[0]] = scale_.at(source);
      to_.nodes.push_back(node);
      if (from_.is_output(node.outputs[0])) output(node.outputs[0]);
    }
    for (const std::string& name : from_.outputs)
      to_.outputs.push_back(renamed_.contains(name) ? renamed_[name] : name);
    return std::move(to_);
  }

 private:
  struct Code {
    std::string scale, zero;
    float step = 1;
  };

  std::string as_made(const std::string& value) {
    if (const Tensor* tensor = from_.initializer(value)) to_.initializers[value] = *tensor;
    return value;
  }

  const Code& code_of(const std::string& value) {
    const auto [it, added] = scale_.try_emplace(value);
    if (!added) return it->second;
    const auto range = ranges_.find(value);
    if (range == ranges_.end()) throw Error("no range was observed", value);
    const float step = std::max(range->second.max - range->second.min, 1e-6F) / 255;
    const auto zero = static_cast<std::uint8_t>(std::clamp(std::nearbyint(-range->second.min / step), 0.0F, 255.0F));
    it->second = {to_.add_initializer(value + ".scale", Tensor::scalar(step)),
                  to_.add_initializer(value + ".zero", Tensor::scalar(zero)), step};
    return it->second;
  }

  /// The value behind its QuantizeLinear and DequantizeLinear.
  std::string codes(const std::string& value) {
    const auto [it, added] = behind_.try_emplace(value);
    if (!added) return it->second;
    const Code& code = code_of(value);
    const std::string q = to_.add("QuantizeLinear", {value, code.scale, code.zero}, {}, value + ".q");
    return it->second = to_.add("DequantizeLinear", {q, code.scale, code.zero}, {}, value + ".dq");
  }

  void output(const std::string& value) { renamed_[value] = codes(value); }

  void weights(Node& node, const std::string& source) {
    const Tensor& w = *from_.initializer(node.inputs[1]);
    const std::int64_t channels = w.shape()[0];
    if (node.is("Gemm") && node.get_int("transB", 0) == 0) throw Error("Gemm without transB", node.name);
    Tensor integers(DType::i8, w.shape()), scale(DType::f32, {channels}), zero(DType::i8, {channels});
    const std::int64_t size = w.count() / channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      float largest = 1e-6F;
      for (std::int64_t i = c * size; i < (c + 1) * size; ++i) largest = std::max(largest, std::abs(w.as<float>()[i]));
      scale.mutable_as<float>()[c] = largest / most_;
      for (std::int64_t i = c * size; i < (c + 1) * size; ++i)
        integers.mutable_as<std::int8_t>()[i] =
            static_cast<std::int8_t>(std::nearbyint(w.as<float>()[i] / (largest / most_)));
    }
    const std::string s = to_.add_initializer(node.name + ".w_scale", scale),
                      z = to_.add_initializer(node.name + ".w_zero", zero);
    node.inputs[1] = to_.add("DequantizeLinear", {to_.add_initializer(node.name + ".w", integers), s, z},
                             {{"axis", std::int64_t{0}}}, node.name + ".w_dq");
    if (node.inputs.size() < 3 || node.inputs[2].empty()) return;
    const Tensor& b = *from_.initializer(node.inputs[2]);
    Tensor bias(DType::i32, {channels}), bias_scale(DType::f32, {channels}), bias_zero(DType::i32, {channels});
    for (std::int64_t c = 0; c < channels; ++c) {
      const float step = scale.as<float>()[c] * code_of(source).step;
      bias_scale.mutable_as<float>()[c] = step;
      bias.mutable_as<std::int32_t>()[c] = static_cast<std::int32_t>(std::nearbyint(b.as<float>()[c] / step));
    }
    node.inputs[2] =
        to_.add("DequantizeLinear",
                {to_.add_initializer(node.name + ".b", bias), to_.add_initializer(node.name + ".b_scale", bias_scale),
                 to_.add_initializer(node.name + ".b_zero", bias_zero)},
                {{"axis", std::int64_t{0}}}, node.name + ".b_dq");
  }

  const Graph& from_;
  const Ranges& ranges_;
  float most_;
  Graph to_;
  std::map<std::string, Code> scale_;
  std::map<std::string, std::string> behind_, renamed_;
};

}  // namespace

Graph qdq_network(const Graph& graph, const Ranges& ranges, int weight_bits) {
  return Writer(graph, ranges, weight_bits).run();
}

}  // namespace nnq::peers
