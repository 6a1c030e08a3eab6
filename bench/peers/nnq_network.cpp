#include <algorithm>
#include <cmath>

#include "nnq/encoding.h"
#include "nnq/error.h"
#include "nnq/quantize.h"
#include "quantized_network.h"

namespace nnq::peers {
namespace {

/// Signs, or two of them, greedily: w ~ s1 b1 + s2 b2 for each row.
Encoding encode_signs(const Tensor& w, int bits) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = bits;
  e.shape = w.shape();
  e.groups = w.shape()[0];
  e.codes.assign(static_cast<std::size_t>(w.count()), 0);
  const auto size = static_cast<std::size_t>(w.count() / e.groups);
  for (std::size_t g = 0; g < static_cast<std::size_t>(e.groups); ++g) {
    std::vector<float> rest(w.as<float>() + g * size, w.as<float>() + (g + 1) * size);
    float offset = 0;
    for (int k = 0; k < bits; ++k) {
      double sum = 0;
      for (const float v : rest) sum += std::abs(v);
      const float s = std::max(static_cast<float>(sum / static_cast<double>(size)), 1e-6F);
      for (std::size_t i = 0; i < size; ++i) {
        const bool positive = rest[i] >= 0;
        rest[i] -= positive ? s : -s;
        e.codes[g * size + i] = static_cast<std::uint8_t>(e.codes[g * size + i] | (positive ? 1U : 0U) << k);
      }
      offset -= s;
      e.plane_scale.push_back(2 * s);
    }
    e.offset.push_back(offset);
  }
  return e;
}

Encoding encode(const Node& quantizer, const Tensor& w) {
  const int bits = static_cast<int>(quantizer.get_int("bits", 8));
  if (bits == 1 || quantizer.get_string("method", "") == "alternating") return encode_signs(w, bits);
  Encoding e;
  e.bits = bits;
  e.shape = w.shape();
  e.groups = w.shape()[0];
  e.codes.resize(static_cast<std::size_t>(w.count()));
  const auto size = static_cast<std::size_t>(w.count() / e.groups);
  const float zero = static_cast<float>(1 << (bits - 1)), most = zero - 1;
  for (std::size_t g = 0; g < static_cast<std::size_t>(e.groups); ++g) {
    const float* from = w.as<float>() + g * size;
    float largest = 1e-6F;
    for (std::size_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(from[i]));
    e.scale.push_back(largest / most);
    e.zero_point.push_back(static_cast<std::int32_t>(zero));
    for (std::size_t i = 0; i < size; ++i)
      e.codes[g * size + i] =
          static_cast<std::uint8_t>(std::clamp(std::nearbyint(from[i] / e.scale[g]), -most, most) + zero);
  }
  return e;
}

ActivationCode activation(const Node& quantizer, const Ranges& ranges) {
  ActivationCode code;
  code.bits = static_cast<int>(quantizer.get_int("bits", 8));
  if (quantizer.get_string("method", "") == "bnn") {
    code.sign = true;
    code.bits = 1;
    return code;
  }
  const bool is_signed = quantizer.get_int("signed", 1) != 0;
  const int levels = 1 << code.bits;
  code.min = is_signed ? -levels / 2 : 0;
  code.max = code.min + levels - 1;
  const auto range = ranges.find(quantizer.inputs[0]);
  if (range == ranges.end()) throw Error("no range was observed of '" + quantizer.inputs[0] + "'", quantizer.name);
  const float largest = std::max({range->second.max, -range->second.min, 1e-6F});
  code.scale = code.step = largest / static_cast<float>(code.max);
  return code;
}

/// The largest sum of a channel's integers at these bits.
double largest_sum(const Tensor& w, int bits) {
  const float most = static_cast<float>((1 << (bits - 1)) - 1);
  const std::int64_t channels = w.shape()[0], size = w.count() / channels;
  double largest_channel = 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    const float* from = w.as<float>() + c * size;
    double sum = 0;
    float largest = 1e-6F;
    for (std::int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(from[i]));
    for (std::int64_t i = 0; i < size; ++i) sum += std::abs(std::nearbyint(from[i] / largest * most));
    largest_channel = std::max(largest_channel, sum);
  }
  return largest_channel;
}

/// Lowering refuses layers whose sums could pass 2^24 (docs/quantized-graph.md): thousands of 8-bit codes times 8-bit
/// weights do. Such layers get as many bits of weights as fit.
void reduce_wide_layers(const Graph& graph, PlacementOptions& options, const NetworkBits& bits, std::string* reduced) {
  std::vector<std::string> layers;
  for (const Node& node : graph.nodes)
    if (node.is("Conv") || node.is("Gemm")) layers.push_back(node.name);
  for (const Node& node : graph.nodes) {
    if (!node.is("Conv") && !node.is("Gemm")) continue;
    const bool eight = bits.ends_and_shortcuts_8 && (node.name == layers.front() || node.name == layers.back() ||
                                                     node.name.find("shortcut") != std::string::npos);
    const int wanted = eight ? 8 : bits.weights, codes = eight ? 8 : bits.activations;
    int fitting = wanted;
    while (fitting > 2 && largest_sum(*graph.initializer(node.inputs[1]), fitting) * ((1 << codes) - 1) > 16000000)
      --fitting;
    if (fitting == wanted) continue;
    options.rules.push_back(
        {node.name, {"uniform", fitting, {{"per_channel", std::int64_t{1}}}}, {"uniform", codes, {}}, {}});
    if (reduced != nullptr) *reduced += (reduced->empty() ? "" : ", ") + node.name + " " + std::to_string(fitting);
  }
}

}  // namespace

Ranges observed_ranges(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  Ranges ranges;
  const auto look = [&](const std::string& name, const Tensor& value) {
    if (value.dtype() != DType::f32) return;
    Range& range = ranges[name];
    for (const float v : value.values<float>()) {
      range.min = std::min(range.min, v);
      range.max = std::max(range.max, v);
    }
  };
  for (const auto& [name, value] : inputs) look(name, value);
  interpret(graph, inputs, look);
  return ranges;
}

Graph nnq_network(const Graph& graph, const Ranges& ranges, const NetworkBits& bits, std::string* reduced) {
  QuantizerSpec weights{"uniform", bits.weights, {{"per_channel", std::int64_t{1}}}},
      activations{"uniform", bits.activations, {}}, eight{"uniform", 8, {{"per_channel", std::int64_t{1}}}};
  if (bits.weights == 1) weights = {"bnn", 1, {}};
  if (bits.activations == 1) activations = {"bnn", 1, {}};
  PlacementOptions options;
  options.rules = {{"*", weights, activations, {}}};
  const auto add = [&](const char* glob) { options.rules.push_back({glob, eight, {"uniform", 8, {}}, {}}); };
  if (bits.ends_and_shortcuts_8) {
    add("first");
    add("last");
    for (const Node& node : graph.nodes)
      if (node.is("Conv") && node.name.find("shortcut") != std::string::npos) add(node.name.c_str());
  }
  reduce_wide_layers(graph, options, bits, reduced);
  options.quantize_adds = bits.activations > 1;
  return freeze(place_quantizers(graph, options),
                {encode, [&](const Node& quantizer) { return activation(quantizer, ranges); }});
}

Graph nnq_recurrent(const Graph& graph, int weight_bits, States states) {
  PlacementOptions options;
  const bool alternating = states == States::alternating;
  QuantizerSpec activations;
  if (alternating) activations = {"alternating", weight_bits, {}};
  if (states == States::uniform) activations = {"uniform", 8, {}};
  options.rules = {{"*", {alternating ? "alternating" : "uniform", weight_bits, {}}, activations, {}}};
  return freeze(place_quantizers(graph, options), {encode, [](const Node&) { return ActivationCode{}; }});
}

}  // namespace nnq::peers
