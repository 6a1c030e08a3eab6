#include <cstring>

#include "kernels/quantize/quantize.h"

namespace nnq::portable {
namespace {

constexpr std::int64_t block = 32;  // shorter loops are unrolled before they could become vectors

void round_block(const RoundCall& call, const float* x, std::uint8_t* codes) {
  const float low = static_cast<float>(call.min), high = static_cast<float>(call.max), scale = call.scale;
  const std::int32_t base = call.base;
  // Below 2^22 adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even: rint without a call.
  // Clamping first is the same, as the bounds are integers.
  constexpr float magic = 12582912.0F;
  float v[block];
  std::uint8_t code[block];
  for (std::int64_t k = 0; k < block; ++k) v[k] = x[k] / scale;
  for (std::int64_t k = 0; k < block; ++k) {
    v[k] = v[k] > low ? v[k] : low;  // also NaN
    v[k] = v[k] < high ? v[k] : high;
    const float rounded = (v[k] + magic) - magic;
    code[k] = static_cast<std::uint8_t>(static_cast<std::int32_t>(rounded) - base);
  }
  std::memcpy(codes, code, sizeof(code));
}

}  // namespace

void round_codes(const RoundCall& call) noexcept {
  std::int64_t i = 0;
  for (; i + block <= call.count; i += block) round_block(call, call.x + i, call.to + i);
  if (i == call.count) return;
  float rest[block] = {};
  std::uint8_t codes[block];
  std::memcpy(rest, call.x + i, static_cast<std::size_t>(call.count - i) * 4);
  round_block(call, rest, codes);
  std::memcpy(call.to + i, codes, static_cast<std::size_t>(call.count - i));
}

void weave_codes(const WeaveCall& call) noexcept {
  constexpr std::int64_t run = 64;
  std::uint8_t codes[run];
  RoundCall row = call.round;
  row.to = codes;
  for (std::int64_t from = 0; from < call.round.count; from += run) {
    row.count = call.round.count - from < run ? call.round.count - from : run;
    for (std::int64_t k = 0; k < call.planes; ++k) {
      row.x = call.round.x + k * call.plane + from;
      round_codes(row);
      const std::int64_t stride = call.stride, n = row.count;  // bytes stored might be these
      std::uint8_t* to = call.round.to + from * stride + k;
      for (std::int64_t i = 0; i < n; ++i) to[i * stride] = codes[i];
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
