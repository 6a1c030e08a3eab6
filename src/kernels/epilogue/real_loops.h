// The float epilogue as plain loops over blocks of channels. Every instruction set's file includes this and compiles it
// for itself (hence the unnamed namespace): the loops become its vectors, and what they compute is written once.
#pragma once

#include <cstring>

#include "kernels/epilogue/epilogue.h"

namespace nnq {
namespace {

constexpr std::int64_t real_block = 32;  // channels: a word of sign bits

template <bool Full>
inline void add_residual(const RealCall& call, float* y, std::int64_t position, std::int64_t c0, std::int64_t tail) {
  const std::int64_t n = Full ? real_block : tail, from = position * call.channels + c0;
  if (call.residual == RealCall::Residual::floats) {
    const float* v = static_cast<const float*>(call.residual_data) + from;
    for (std::int64_t c = 0; c < n; ++c) y[c] += v[c];
    return;
  }
  const float *a = call.residual_a + c0, *b = call.residual_b + c0;
  float r[real_block];
  if (call.residual == RealCall::Residual::sums) {
    const auto* v = static_cast<const std::int32_t*>(call.residual_data) + from;
    for (std::int64_t c = 0; c < n; ++c) r[c] = static_cast<float>(v[c]);
  } else if (call.residual == RealCall::Residual::bytes) {
    const auto* v = static_cast<const std::uint8_t*>(call.residual_data) + from;
    for (std::int64_t c = 0; c < n; ++c) r[c] = static_cast<float>(v[c] + call.residual_min);
  } else {
    const std::uint32_t word =
        static_cast<const std::uint32_t*>(call.residual_data)[position * ((call.channels + 31) / 32) + c0 / 32];
    for (std::int64_t c = 0; c < n; ++c) r[c] = (word >> c & 1u) != 0 ? 1.0f : -1.0f;
  }
  for (std::int64_t c = 0; c < n; ++c) {
    const float product = r[c] * a[c];
    y[c] += product + b[c];
  }
}

/// clamp(rint(y / scale), min, max) - base; NaN gives min.
template <bool Full>
inline void round_block(const RealCall& call, const float* y, std::uint8_t* to, std::int64_t tail) {
  const std::int64_t n = Full ? real_block : tail;
  const float low = static_cast<float>(call.min), high = static_cast<float>(call.max), scale = call.scale;
  const std::int32_t base = call.base;
  // Below 2^22 adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even: rint without a call.
  // Clamping first is the same, as the bounds are integers.
  constexpr float magic = 12582912.0f;
  for (std::int64_t c = 0; c < n; ++c) {
    float v = y[c] / scale;
    v = v > low ? v : low;  // also NaN
    v = v < high ? v : high;
    const float rounded = (v + magic) - magic;
    to[c] = static_cast<std::uint8_t>(static_cast<std::int32_t>(rounded) - base);
  }
}

template <bool Full>
inline void real_part(const RealCall& call, std::int64_t position, std::int64_t c0, std::int64_t tail) {
  const std::int64_t n = Full ? real_block : tail;
  const std::int32_t* sums = call.sums + position * call.stride + c0;
  const float *a = call.a + c0, *b = call.b + c0;
  float y[real_block];
  for (std::int64_t c = 0; c < n; ++c) {
    const float product = static_cast<float>(sums[c]) * a[c];
    y[c] = product + b[c];
  }
  if (call.residual != RealCall::Residual::none) add_residual<Full>(call, y, position, c0, tail);
  if (call.relu && call.float_relu) {
    for (std::int64_t c = 0; c < n; ++c) y[c] = y[c] < 0 ? 0.0f : y[c];
  } else if (call.relu) {
    for (std::int64_t c = 0; c < n; ++c) y[c] = y[c] > 0 ? y[c] : 0.0f;
  }
  if (call.output == RealCall::Output::floats) {
    float* out = static_cast<float*>(call.out) + position * call.position_stride + c0 * call.channel_stride;
    if (call.channel_stride == 1) {
      for (std::int64_t c = 0; c < n; ++c) out[c] = y[c];
    } else {
      for (std::int64_t c = 0; c < n; ++c) out[c * call.channel_stride] = y[c];
    }
  } else if (call.output == RealCall::Output::bits) {
    std::uint32_t word = 0;
    for (std::int64_t c = 0; c < n; ++c) word |= (y[c] >= 0 ? 1u : 0u) << c;
    static_cast<std::uint32_t*>(call.out)[position * ((call.channels + 31) / 32) + c0 / 32] = word;
  } else {
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + position * call.channels + c0;
    if (call.output == RealCall::Output::codes) {
      round_block<Full>(call, y, out, tail);
    } else {
      for (std::int64_t c = 0; c < n; ++c) out[c] = y[c] >= 0 ? 2 : 0;
    }
  }
}

inline void real_loops(const RealCall& call) {
  for (std::int64_t i = 0; i < call.count; ++i) {
    std::int64_t c = 0;
    for (; c + real_block <= call.channels; c += real_block) real_part<true>(call, i, c, 0);
    if (c < call.channels) real_part<false>(call, i, c, call.channels - c);
  }
}

}  // namespace
}  // namespace nnq
