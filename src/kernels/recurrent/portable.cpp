#include <algorithm>
#include <bit>

#include "core/clones.h"
#include "kernels/recurrent/functions.h"
#include "kernels/recurrent/recurrent.h"

namespace nnq {
namespace {

/// t += scale * (products of signs), from counts of common bits.
NNQ_CLONES void add_plane(const std::int32_t* counts, const std::int32_t* set, std::int64_t count, std::int32_t times,
                          std::int32_t of_set, std::int32_t constant, float scale, float* t) {
  for (std::int64_t o = 0; o < count; ++o)
    t[o] += scale * static_cast<float>(times * counts[o] - of_set * set[o] + constant);
}

/// The sums of one weight plane with two planes of codes in one pass: y += weight_scale * (0 + .. + ..), as the loops
/// above and below it do in three.
NNQ_CLONES void add_two_planes(const std::int32_t* __restrict first, const std::int32_t* __restrict second,
                               const std::int32_t* __restrict set, std::int64_t count, std::int32_t times,
                               std::int32_t of_set, const std::int32_t* __restrict constant,
                               const float* __restrict scale, const float* __restrict weight_scale,
                               float* __restrict y) {
  const std::int32_t constant0 = constant[0], constant1 = constant[1];
  const float scale0 = scale[0], scale1 = scale[1];
  for (std::int64_t o = 0; o < count; ++o) {
    const float zeroth = 0.0F + scale0 * static_cast<float>(times * first[o] - of_set * set[o] + constant0);
    const float t = zeroth + scale1 * static_cast<float>(times * second[o] - of_set * set[o] + constant1);
    y[o] += weight_scale[o] * t;
  }
}

/// Not std::fill_n, which at -O2 becomes a string instruction that takes longer to start than 256 floats do.
NNQ_CLONES void zero(float* y, std::int64_t count) {
  for (std::int64_t o = 0; o < count; ++o) y[o] = 0.0F;
}

NNQ_CLONES void add_scaled(const float* scale, const float* t, std::int64_t count, float* y) {
  for (std::int64_t o = 0; o < count; ++o) y[o] += scale[o] * t[o];
}

NNQ_CLONES void add_offsets(const float* offset, float sum, std::int64_t count, float* y) {
  for (std::int64_t o = 0; o < count; ++o) y[o] += offset[o] * sum;
}

NNQ_CLONES void add_sums(const std::int32_t* __restrict sums, std::uint32_t unit, std::uint32_t constant,
                         const float* __restrict weight_scale, float scale, std::int64_t count, float* __restrict y) {
  for (std::int64_t o = 0; o < count; ++o) {
    const auto sum = static_cast<std::int32_t>(unit * static_cast<std::uint32_t>(sums[o]) + constant);
    const float both = weight_scale[o] * scale;
    y[o] += both * static_cast<float>(sum);
  }
}

NNQ_CLONES void add_constant(const float* __restrict weight_scale, float scale, float sum, std::int64_t count,
                             float* __restrict y) {
  for (std::int64_t o = 0; o < count; ++o) {
    const float both = weight_scale[o] * scale;
    y[o] += both * sum;
  }
}

NNQ_CLONES std::int32_t subtract_zero(const std::uint8_t* __restrict codes, std::int64_t count,
                                      std::int8_t* __restrict to) {
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto code = static_cast<std::int8_t>(codes[i] ^ 0x80U);
    to[i] = code;
    sum += code;
  }
  return sum;
}

}  // namespace

NNQ_CLONES void add_bias(const float* bias, std::int64_t count, float* y) noexcept {
  for (std::int64_t o = 0; o < count; ++o) y[o] += bias[o];
}

void add_integers(const IntegerSums& s, std::int64_t count, float* y) noexcept {
  if (s.sums == nullptr)
    add_constant(s.weight_scale, s.scale, static_cast<float>(s.constant), count, y);
  else
    add_sums(s.sums, static_cast<std::uint32_t>(s.unit), static_cast<std::uint32_t>(s.constant), s.weight_scale,
             s.scale, count, y);
}

std::int32_t signed_codes(const std::uint8_t* codes, std::int64_t count, std::int64_t padded,
                          std::int8_t* to) noexcept {
  const std::int32_t sum = subtract_zero(codes, count, to);
  std::fill(to + count, to + padded, std::int8_t{0});
  return sum;
}

void vector_sums(const VectorSums& s, std::int64_t count, const float* bias, float* y) noexcept {
  constexpr std::int64_t block = 256;
  float t[block];
  // X = 2x - 1; W = w, or 2w - 1: sums of products from counts of common bits and of bits set in each.
  const std::int32_t times = s.weight_signs ? 4 : 2, of_set = s.weight_signs ? 2 : 1;
  std::int32_t constant[8];
  for (int q = 0; q < s.code_planes; ++q) constant[q] = s.weight_signs ? s.inputs - 2 * s.code_set[q] : 0;
  for (std::int64_t first = 0; first < count; first += block) {
    const std::int64_t n = std::min(block, count - first);
    zero(y + first, n);
    for (int p = 0; p < s.weight_planes; ++p) {
      const std::int32_t* const counts = s.counts + p * s.code_planes * s.stride + first;
      const std::int32_t* const set = s.set + p * s.set_stride + first;
      if (s.code_planes == 2) {
        add_two_planes(counts, counts + s.stride, set, n, times, of_set, constant, s.code_scale,
                       s.weight_scale + p * s.set_stride + first, y + first);
        continue;
      }
      zero(t, n);
      for (int q = 0; q < s.code_planes; ++q)
        add_plane(counts + q * s.stride, set, n, times, of_set, constant[q], s.code_scale[q], t);
      add_scaled(s.weight_scale + p * s.set_stride + first, t, n, y + first);
    }
    if (s.weight_offset != nullptr) {
      float sum = 0;
      for (int q = 0; q < s.code_planes; ++q) {
        const float product = s.code_scale[q] * static_cast<float>(2 * s.code_set[q] - s.inputs);
        sum += product;
      }
      add_offsets(s.weight_offset + first, sum, n, y + first);
    }
    if (bias != nullptr) add_bias(bias + first, n, y + first);
  }
}

NNQ_CLONES void lstm_cell(const float* __restrict input, const float* __restrict state, float* __restrict c,
                          float* __restrict h, std::int64_t n) noexcept {
  for (std::int64_t j = 0; j < n; ++j) {
    const float i = sigmoid_rounded(input[j] + state[j]), o = sigmoid_rounded(input[n + j] + state[n + j]),
                f = sigmoid_rounded(input[2 * n + j] + state[2 * n + j]),
                g = tanh_rounded(input[3 * n + j] + state[3 * n + j]);
    const float kept = f * c[j], added = i * g;
    c[j] = kept + added;
    h[j] = o * tanh_rounded(c[j]);
  }
}

NNQ_CLONES void gru_cell(const float* __restrict input, const float* __restrict state, float* __restrict h,
                         std::int64_t n) noexcept {
  for (std::int64_t j = 0; j < n; ++j) {
    const float z = sigmoid_rounded(input[j] + state[j]), r = sigmoid_rounded(input[n + j] + state[n + j]);
    const float reset = r * state[2 * n + j];
    const float candidate = tanh_rounded(input[2 * n + j] + reset);
    const float fresh = (1.0F - z) * candidate, kept = z * h[j];
    h[j] = fresh + kept;
  }
}

void pack_vector(const std::uint8_t* codes, std::int64_t count, int code_planes, std::int64_t words,
                 std::uint64_t* planes, std::int32_t* set) noexcept {
  std::fill_n(planes, words * code_planes, std::uint64_t{0});
  for (std::int64_t i = 0; i < count; i += 8) {
    std::uint64_t lanes = 0;
    __builtin_memcpy(&lanes, codes + i, static_cast<std::size_t>(std::min<std::int64_t>(8, count - i)));
    for (int q = 0; q < code_planes; ++q) {
      // The lowest bit of byte j goes to bit j of the product's highest byte; the eight terms do not meet.
      const std::uint64_t bits = (lanes >> q & 0x0101010101010101U) * 0x0102040810204080U >> 56;
      planes[q * words + i / 64] |= bits << (i % 64);
    }
  }
  for (int q = 0; q < code_planes && set != nullptr; ++q) {
    set[q] = 0;
    for (std::int64_t k = 0; k < words; ++k) set[q] += std::popcount(planes[q * words + k]);
  }
}

}  // namespace nnq
