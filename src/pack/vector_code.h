// How a vector is quantized while the network runs, its scales found from its own numbers: a recurrent state at every
// time step, the input of such a layer. One function for training, interpreters and runtime (docs/program.md,
// "Multi-bit vectors").
#pragma once

#include <cstdint>

namespace nnq {

/// The only width of uniform vectors, and their largest code.
inline constexpr int uniform_vector_bits = 8;
inline constexpr float uniform_vector_most = 127;
/// Codes of uniform vectors are stored as bytes: code + 128.
inline constexpr int uniform_vector_zero = 128;

struct VectorCode {
  bool uniform = false;  // else a sum of scaled vectors of signs (multibit.h, alternating)
  int bits = 1;          // 1 to 8; uniform: 8
  int cycles = 2;        // of alternating minimisation
  int scales() const { return uniform ? 1 : bits; }
};

/// Quantizes x[n]: scales[code.scales()], the stored codes[n] and values[n], which must not be x.
///
/// Uniform: scale = round(m / 127) with m the largest magnitude, code = rint(round(x / scale)) within -127 .. 127,
/// value = round(scale * code). m = 0, or so small that scale is 0: codes 0. A NaN makes scale and all values NaN; an
/// infinity a scale of infinity, on which finite numbers have code 0 (the value is NaN) and infinities -127.
void quantize_vector(const VectorCode& code, const float* x, std::int64_t n, float* scales, std::uint8_t* codes,
                     float* values);

}  // namespace nnq
