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

Graph nnq_network(const Graph& graph, const Ranges& ranges, const NetworkBits& bits) {
  QuantizerSpec weights{"uniform", bits.weights, {{"per_channel", std::int64_t{1}}}},
      activations{"uniform", bits.activations, {}}, eight{"uniform", 8, {{"per_channel", std::int64_t{1}}}};
  if (bits.weights == 1) weights = {"bnn", 1, {}};
  if (bits.activations == 1) activations = {"bnn", 1, {}};
  PlacementOptions options;
  options.rules = {{"*", weights, activations, {}}};
  if (bits.ends_and_shortcuts_8)
    for (const char* glob : {"first", "last", "*shortcut*"})
      options.rules.push_back({glob, eight, {"uniform", 8, {}}, {}});
  options.quantize_adds = bits.activations > 1;
  return freeze(place_quantizers(graph, options),
                {encode, [&](const Node& quantizer) { return activation(quantizer, ranges); }});
}

Graph nnq_recurrent(const Graph& graph, int weight_bits, int state_bits) {
  PlacementOptions options;
  QuantizerSpec states;
  if (state_bits != 0) states = {"alternating", state_bits, {}};
  options.rules = {{"*", {state_bits != 0 ? "alternating" : "uniform", weight_bits, {}}, states, {}}};
  return freeze(place_quantizers(graph, options), {encode, [](const Node&) { return ActivationCode{}; }});
}

}  // namespace nnq::peers
