// Rounding of many floats to codes: a loop that compilers turn into vectors, with the interpreter's exact results.
#pragma once

#include <algorithm>
#include <cstdint>

namespace nnq {

/// to[i] = clamp(rint(x[i] / scale), min, max) - base; NaN gives min. |min|, |max| <= 255.
inline void round_codes(const float* x, std::uint8_t* to, std::int64_t count, float scale, std::int32_t min,
                        std::int32_t max, std::int32_t base) {
  const float low = static_cast<float>(min), high = static_cast<float>(max);
  // Below 2^22 adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even: rint without a call.
  // Clamping first is the same, as the bounds are integers.
  constexpr float magic = 12582912.0f;
  for (std::int64_t i = 0; i < count; ++i) {
    float v = x[i] / scale;
    v = v > low ? v : low;  // also NaN
    v = v < high ? v : high;
    const float rounded = (v + magic) - magic;
    to[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(rounded) - base);
  }
}

}  // namespace nnq
