#include "layer.h"

#include <cmath>

#include "core/random.h"

namespace nnq::peers {

Precision uniform(int weight_bits, int activation_bits, bool signed_codes) {
  Precision p;
  p.name = "W" + std::to_string(weight_bits) + "A" + std::to_string(activation_bits);
  p.weight_bits = weight_bits;
  p.offset = weight_bits == 1 ? -1 : -(1 << (weight_bits - 1));
  for (int k = 0; k < weight_bits; ++k) p.scales.push_back(weight_bits == 1 ? 2 : 1 << k);
  if (activation_bits == 1) {
    p.code = {.sign = true, .min = -1, .max = 1, .bits = 1};
  } else {
    const std::int32_t levels = 1 << activation_bits, min = signed_codes ? -levels / 2 : 0;
    p.code = {.min = min, .max = min + levels - 1, .bits = activation_bits};
  }
  return p;
}

Precision ternary(int activation_bits) {
  Precision p = uniform(1, activation_bits);
  p.name = "ternary, A" + std::to_string(activation_bits);
  p.weight_bits = 2;
  p.offset = -1;
  p.scales = {1, 1};
  return p;
}

Layer::Layer(const LayerShape& s, const Precision& p, std::uint64_t seed) : shape(s), precision(p) {
  Random random(seed, p.name);
  const std::int64_t count = s.out * s.taps();
  auto planes = std::make_shared<std::vector<std::uint8_t>>(static_cast<std::size_t>((count + 7) / 8 * p.weight_bits));
  for (std::uint8_t& byte : *planes) byte = static_cast<std::uint8_t>(random.next());
  weights.bits = p.weight_bits;
  weights.offset = p.offset;
  weights.plane_scale = p.scales;
  weights.owned = planes;
  weights.data = planes->data();
  weights.count = count;
  integers = weights.unpack();
  codes.resize(static_cast<std::size_t>(s.inputs()));
  const auto levels = static_cast<std::uint64_t>(p.code.max - p.code.min + 1);
  for (std::int16_t& code : codes) {
    code = static_cast<std::int16_t>(p.code.min + static_cast<std::int32_t>(random.below(levels)));
    if (p.code.sign) code = random.below(2) == 0 ? -1 : 1;
  }
  double weight = 0, code = 0;
  for (const std::int8_t w : integers) weight += static_cast<double>(w) * w;
  for (const std::int16_t c : codes) code += static_cast<double>(c) * c;
  const double deviation = std::sqrt(weight / static_cast<double>(integers.size()) * code /
                                     static_cast<double>(codes.size()) * static_cast<double>(shape.taps()));
  shift_ = static_cast<int>(std::lround(std::log2(2 * deviation / precision.code.max)));
}

std::vector<std::int8_t> Layer::onnx_weights() const {
  return channels_first(integers, shape.out, shape.kernel * shape.kernel, shape.in);
}

std::vector<std::int16_t> Layer::onnx_input() const {
  return channels_first(codes, shape.batch, shape.size * shape.size, shape.in);
}

}  // namespace nnq::peers
