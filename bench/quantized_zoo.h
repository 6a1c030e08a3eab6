// Networks of the zoo quantized as they are, without data or training: for times, which depend on shapes and bits, not
// on what a network has learned.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "nnq/lower.h"
#include "nnq/program.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"

namespace nnq::bench {

/// Symmetric codes of one scale for all weights; one bit: signs times the mean magnitude.
inline Encoding encode_weights(const Node& node, const Tensor& w) {
  const int bits = static_cast<int>(node.get_int("bits", 8));
  const auto count = static_cast<std::size_t>(w.count());
  const float* v = w.as<float>();
  float largest = 1e-6F, mean = 0;
  for (std::size_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(v[i]));
    mean += std::abs(v[i]) / static_cast<float>(count);
  }
  Encoding e;
  e.shape = w.shape();
  e.codes.resize(count);
  e.bits = bits;
  e.groups = 1;
  if (bits == 1) {
    e.kind = EncodingKind::bit_planes;
    e.offset = {-mean};
    e.plane_scale = {2 * mean};
    for (std::size_t i = 0; i < count; ++i) e.codes[i] = v[i] >= 0 ? 1 : 0;
    return e;
  }
  const int zero = 1 << (bits - 1);
  const float step = largest / static_cast<float>(std::max(1, zero - 1));
  e.kind = EncodingKind::uniform;
  e.scale = {step};
  e.zero_point = {zero};
  for (std::size_t i = 0; i < count; ++i)
    e.codes[i] =
        static_cast<std::uint8_t>(std::clamp(static_cast<int>(std::nearbyint(v[i] / step)) + zero, 1, 2 * zero - 1));
  return e;
}

/// Steps that cover about -4 .. 4 (signed) or 0 .. 4: what normalised activations take.
inline ActivationCode activation_code(const Node& node) {
  ActivationCode code;
  code.bits = static_cast<int>(node.get_int("bits", 8));
  code.sign = code.bits == 1;
  if (code.sign) return code;
  const int levels = 1 << code.bits;
  const bool is_signed = node.get_int("signed", 1) != 0;
  code.min = is_signed ? -levels / 2 : 0;
  code.max = code.min + levels - 1;
  code.scale = code.step = (is_signed ? 8.0F : 4.0F) / static_cast<float>(levels);
  return code;
}

/// First and last layer with 8 bits, as is usual; 32 bits: the float network.
inline Program quantized_program(const std::string& network, int weights, int activations,
                                 const std::map<std::string, std::string>& parameters = {}) {
  Graph graph = build_zoo(network, parameters);
  if (weights == 32) return lower(graph);
  const QuantizerSpec w{"uniform", weights, {}}, a{activations == 1 ? "bnn" : "uniform", activations, {}},
      eight{"uniform", 8, {}};
  const PlacementOptions options{{{"*", w, a, {}}, {"first", eight, eight, {}}, {"last", eight, eight, {}}}, true};
  return lower(freeze(place_quantizers(std::move(graph), options), {encode_weights, activation_code}));
}

}  // namespace nnq::bench
