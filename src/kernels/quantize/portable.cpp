#include <cstring>

#include "kernels/quantize/quantize.h"

namespace nnq::portable {

void round_codes(const RoundCall& call) noexcept {
  const float low = static_cast<float>(call.min), high = static_cast<float>(call.max), scale = call.scale;
  const float* x = call.x;
  std::uint8_t* to = call.to;
  const std::int32_t base = call.base;
  // Below 2^22 adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even: rint without a call.
  // Clamping first is the same, as the bounds are integers.
  constexpr float magic = 12582912.0F;
  for (std::int64_t i = 0; i < call.count; ++i) {
    float v = x[i] / scale;
    v = v > low ? v : low;  // also NaN
    v = v < high ? v : high;
    const float rounded = (v + magic) - magic;
    to[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(rounded) - base);
  }
}

void weave_codes(const WeaveCall& call) noexcept {
  constexpr std::int64_t run = 64;
  std::uint8_t codes[4][run] = {};
  RoundCall row = call.round;
  for (std::int64_t from = 0; from < call.round.count; from += run) {
    const std::int64_t n = call.round.count - from < run ? call.round.count - from : run;
    row.count = n;
    for (std::int64_t k = 0; k < call.planes; ++k) {
      row.x = call.round.x + k * call.plane + from;
      row.to = codes[k];
      round_codes(row);
    }
    std::uint8_t* to = call.round.to + from * call.stride;
    for (std::int64_t i = 0; i < n; ++i, to += call.stride) {
      const std::uint8_t four[] = {codes[0][i], codes[1][i], codes[2][i], codes[3][i]};
      std::memcpy(to, four, 4);
    }
  }
}

void sign_bits(const SignCall& call) noexcept {
  float* x = call.x;
  std::uint32_t* to = call.to;
  for (std::int64_t i = 0; i < call.count; ++i, x += call.channels) {
    for (std::int64_t c = 0; c < call.channels; c += 32) {
      std::uint32_t word = 0;
      for (std::int64_t k = 0; k < 32 && c + k < call.channels; ++k) word |= (x[c + k] >= 0 ? 1U : 0U) << k;
      *to++ = word;
    }
    for (std::int64_t c = 0; call.relu && c < call.channels; ++c) x[c] = x[c] < 0 ? 0.0F : x[c];
  }
}

}  // namespace nnq::portable
