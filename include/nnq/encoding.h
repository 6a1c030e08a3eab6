// Encoding: what every quantization method ends in. Codes plus the levels they stand for, in one of three kinds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nnq/status.h"
#include "nnq/tensor.h"

namespace nnq {

enum class EncodingKind : std::uint8_t {
  uniform,     // value = scale[g] * (code - zero_point[g])
  bit_planes,  // value = offset[g] + sum_k plane_scale[g][k] * bit_k(code),  bit in {0, 1}
  codebook,    // value = table[g][code]; with buckets: low[g] * (1 - table[code]) + high[g] * table[code]
};

/// A tensor of codes 0 .. 2^bits - 1 with the levels they stand for. Groups g are slices along axis 0 (per channel:
/// groups == shape[0]) or the whole tensor (groups == 1).
///
/// Binary {-s,+s} is bit_planes with one plane: offset -s, plane_scale 2s. Bit 1 = +1 everywhere in nnq.
/// Ternary is uniform with 2 bits and codes {0,1,2}, zero_point 1. Uniform signed b-bit: code = q + 2^(b-1), so codes
/// are unsigned in every kind; zero_point is in code units (signed symmetric: 2^(b-1)).
///
/// A codebook may have buckets (Polino et al. 2018, arXiv:1802.05668): groups are then runs of `bucket` consecutive
/// weights in row-major order, the last may be shorter, and all share one table of points, fractions of the way from
/// each bucket's low to its high. Two floats a bucket are stored: bits + 64 / bucket a weight.
struct Encoding {
  EncodingKind kind = EncodingKind::uniform;
  int bits = 8;                     // 1..8
  Shape shape;                      // of the tensor
  std::int64_t groups = 1;          // 1 or shape[0]; with buckets bucket_groups(count, bucket)
  std::int64_t bucket = 0;          // codebook: weights a bucket; 0: no buckets
  std::vector<std::uint8_t> codes;  // one a weight, row-major, each < 2^bits

  std::vector<float> scale;              // uniform: [groups]
  std::vector<std::int32_t> zero_point;  // uniform: [groups], code units
  std::vector<float> offset;             // bit_planes: [groups]
  std::vector<float> plane_scale;        // bit_planes: [groups * bits], plane k of group g at g * bits + k
  std::vector<float> table;              // codebook: [groups * 2^bits]; with buckets the points, [2^bits]
  std::vector<float> low, high;          // codebook with buckets: [groups]

  /// Sizes agree, codes in range, levels finite, zero points small enough for code - zero_point to be exact (2^24).
  Status check() const;
  /// The level of `code` in group g, in float32 arithmetic exactly as decode() computes it.
  float level(std::int64_t group, std::uint8_t code) const;
  /// All values, float32, in `shape`. Equals the quantizer's eval-mode forward output exactly.
  Tensor decode() const;

  /// Integer form of the encoding when it has one: value = step[g] * integer, |integer| <= 255.
  /// Uniform: integer = code - zero_point, step = scale. Planes 2 step, 4 step, 8 step, ... with offset
  /// -(2^bits - 1) * step, symmetric about 0 (binary; DoReFa's weights): integer = 2 code - (2^bits - 1), odd; binary
  /// is
  /// +-1. Planes in general and codebooks: none (ok == false). step * integer and decode() may differ in the last bit
  /// for planes of more than one bit.
  struct IntegerForm {
    bool ok = false;
    std::vector<std::int16_t> values;  // one a weight
    std::vector<float> step;           // [groups]
    bool binary = false;               // every integer is -1 or +1
  };
  IntegerForm integer_form() const;
  /// Weights of a whole group; a last bucket may have fewer.
  std::int64_t group_size() const;
  /// Bytes of the packed codes alone: bits * ceil(count / 8) (bit-plane layout).
  std::size_t packed_bytes() const;
};

/// Codes <-> planes: plane k holds bit k of every code, eight codes a byte, code i at byte i/8, bit i%8 (LSB first),
/// each plane padded to a whole byte with zero bits. Layout of the ai.nnq operators BitPlanes and Codebook.
std::vector<std::uint8_t> pack_planes(std::span<const std::uint8_t> codes, int bits);
std::vector<std::uint8_t> unpack_planes(std::span<const std::uint8_t> planes, int bits, std::int64_t count);

/// Buckets of `bucket` consecutive weights among `count`; at least 1.
std::int64_t bucket_groups(std::int64_t count, std::int64_t bucket);
/// The value of a point in a bucket, three operations rounded once each: `low` and `high` are reached exactly.
float bucket_level(float low, float high, float point);

std::string to_string(EncodingKind kind);

}  // namespace nnq
