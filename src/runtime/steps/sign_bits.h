// Binary weights, a byte each, as bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace nnq {

/// Eight weights -1 or +1 as the bits of a byte, the first in the lowest: 1 = +1.
inline std::uint8_t eight_signs(const std::int8_t* values) {
  std::uint64_t lanes = 0;
  for (int j = 0; j < 8; ++j) lanes |= std::uint64_t{static_cast<std::uint8_t>(values[j])} << (8 * j);
  // Bit 7 is the sign. The lowest bit of byte j goes to bit j of the product's highest byte; the terms do not meet.
  return static_cast<std::uint8_t>((~lanes >> 7 & 0x0101010101010101U) * 0x0102040810204080U >> 56);
}

/// `count` weights, eight a byte; unused bits of the last byte are 0.
inline void sign_bits(const std::int8_t* values, std::int64_t count, std::uint8_t* to) {
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) to[i / 8] = eight_signs(values + i);
  if (i == count) return;
  std::int8_t tail[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
  std::copy(values + i, values + count, tail);
  to[i / 8] = eight_signs(tail);
}

}  // namespace nnq
