// One layer with random integer weights and codes, as every library gets it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nnq/program.h"

namespace nnq::peers {

/// A square convolution of stride 1 that keeps the image's size, or a fully connected layer on `batch` rows.
struct LayerShape {
  std::int64_t batch = 1, size = 1, in = 1, out = 1, kernel = 1;

  std::int64_t pad() const { return kernel / 2; }
  bool dense() const { return size == 1 && kernel == 1; }
  std::int64_t taps() const { return kernel * kernel * in; }
  std::int64_t inputs() const { return batch * size * size * in; }
  std::int64_t outputs() const { return batch * size * size * out; }
  double operations() const { return 2.0 * static_cast<double>(outputs() * taps()); }
};

/// Weight levels as planes, and the codes of the activations.
struct Precision {
  std::string name;  // "W2A2"
  int weight_bits = 8;
  std::int32_t offset = -128;
  std::vector<std::int32_t> scales;
  CodeType code;
};

/// Weights of `weight_bits` (1: -1 and +1; two's complement otherwise) with unsigned codes of `activation_bits` (1:
/// sign).
Precision uniform(int weight_bits, int activation_bits, bool signed_codes = false);
/// Weights -1, 0, +1.
Precision ternary(int activation_bits);

struct Layer {
  LayerShape shape;
  Precision precision;
  PackedWeights weights;
  std::vector<std::int8_t> integers;  // the weights, [out][kernel][kernel][in]
  std::vector<std::int16_t> codes;    // one input, NHWC

  Layer(const LayerShape& shape, const Precision& precision, std::uint64_t seed);
  /// Sums times 2^-shift() fill the codes of the next layer.
  int shift() const { return shift_; }
  /// The input as another type, NHWC.
  template <class T>
  std::vector<T> input() const {
    return std::vector<T>(codes.begin(), codes.end());
  }
  /// Weights and input in the order of ONNX: [out, in, kernel, kernel] and NCHW.
  std::vector<std::int8_t> onnx_weights() const;
  std::vector<std::int16_t> onnx_input() const;

 private:
  int shift_ = 0;
};

/// NHWC to NCHW.
template <class T>
std::vector<T> channels_first(const std::vector<T>& from, std::int64_t batch, std::int64_t positions,
                              std::int64_t channels) {
  std::vector<T> to(from.size());
  for (std::int64_t n = 0; n < batch; ++n)
    for (std::int64_t p = 0; p < positions; ++p)
      for (std::int64_t c = 0; c < channels; ++c)
        to[static_cast<std::size_t>((n * channels + c) * positions + p)] =
            from[static_cast<std::size_t>((n * positions + p) * channels + c)];
  return to;
}

}  // namespace nnq::peers
