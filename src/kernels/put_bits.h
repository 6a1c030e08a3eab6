// Codes into bits of bytes: how weights are packed at their width.
#pragma once

#include <cstdint>
#include <cstring>

namespace nnq {

/// to[i] |= ((codes[i] >> down) & mask) << up, eight bytes at a time. Shifted bits must not leave their byte: mask is
/// at most 255 >> down, and what it lets through stays below 256 >> up.
inline void put_bits(std::uint8_t* to, const std::uint8_t* codes, std::int64_t count, unsigned mask, int down, int up) {
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    std::uint64_t from, made;
    std::memcpy(&from, codes + i, 8);
    std::memcpy(&made, to + i, 8);
    made |= (from >> down & mask * 0x0101010101010101U) << up;
    std::memcpy(to + i, &made, 8);
  }
  for (; i < count; ++i) to[i] = static_cast<std::uint8_t>(to[i] | (codes[i] >> down & mask) << up);
}

}  // namespace nnq
