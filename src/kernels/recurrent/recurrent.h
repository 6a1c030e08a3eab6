// What an LSTM or GRU with multi-bit vectors (docs/program.md) does at every step besides counting common bits: the
// weighted sum of the counts, the gates, the state. Plain loops compiled for several instruction sets; lanes do not
// change results.
#pragma once

#include <cstdint>

namespace nnq {

/// From counts of common bits to sums of products.
struct VectorSums {
  std::int32_t weight_planes, code_planes;
  bool weight_signs;
  const std::int32_t* counts;  // [weight plane][code plane][stride]: bits common to weights and codes
  std::int64_t stride;
  const std::int32_t* set;  // [weight plane][set_stride]: set bits of the weights
  std::int64_t set_stride;
  const std::int32_t* code_set;  // [code plane]: set bits of the codes
  std::int32_t inputs;
  const float* weight_scale;   // [weight plane][set_stride]
  const float* weight_offset;  // [outputs] or nullptr
  const float* code_scale;     // [code plane]
};
/// y[o] = what docs/program.md says of `count` outputs; with `bias`, round(y + bias[o]).
void vector_sums(const VectorSums& s, std::int64_t count, const float* bias, float* y) noexcept;

/// y[o] = round(y[o] + bias[o])
void add_bias(const float* bias, std::int64_t count, float* y) noexcept;

/// Sums of products of codes, weight = low + unit * code: constant = low times the sum of the vector's codes.
struct IntegerSums {
  const std::int32_t* sums;  // nullptr: zeros
  std::int32_t unit, constant;
  const float* weight_scale;
  float scale;  // of the vector
};
/// y[o] = round(y[o] + round(round(weight_scale[o] * scale) * float(unit * sums[o] + constant)))
void add_integers(const IntegerSums& s, std::int64_t count, float* y) noexcept;

/// to[i] = stored code - 128, zeros up to `padded`; returns the sum.
std::int32_t signed_codes(const std::uint8_t* codes, std::int64_t count, std::int64_t padded, std::int8_t* to) noexcept;

/// Gates i, o, f, c of `input` + `state` [4 n]; updates c and h [n].
void lstm_cell(const float* input, const float* state, float* c, float* h, std::int64_t n) noexcept;
/// Gates z, r, n: `input` and `state` [3 n], both with their biases; updates h [n].
void gru_cell(const float* input, const float* state, float* h, std::int64_t n) noexcept;

/// Bit q of each code to plane q: planes[q][words], bits beyond `count` 0. Returns nothing in `set` when it is nullptr,
/// else the set bits of each plane.
void pack_vector(const std::uint8_t* codes, std::int64_t count, int code_planes, std::int64_t words,
                 std::uint64_t* planes, std::int32_t* set) noexcept;

}  // namespace nnq
