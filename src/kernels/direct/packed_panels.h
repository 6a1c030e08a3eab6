// Panels of int8 weights of 2, 3 or 4 bits at their width in memory, and back to bytes, a panel at a time, in front of
// a direct kernel: the copy of one panel lies in the nearest cache while all rows use it.
//
// Weight e of a panel (as the int8 kernels index it) is byte e % 32 of group e / 32. 2 and 4 bits: a word of 32 bytes
// holds 8 / bits groups, group g in bits g * bits. 3 bits: three words hold 8 groups: groups 2w, 2w + 1 in bits 0 .. 2,
// 3 .. 5 of word w; groups 6, 7 have their low two bits in bits 6, 7 of words 0, 1, their high bits in bits 6, 7 of
// word 2.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

/// Bytes of a packed panel, and of the room that unpacking it takes.
struct PackedPanel {
  int bits;
  std::int64_t weights;  // of a panel
  std::int64_t blocks() const { return (weights + block() - 1) / block(); }
  std::int64_t block() const { return bits == 3 ? 256 : 256 / bits; }  // weights
  std::int64_t block_bytes() const { return bits == 3 ? 96 : 32; }
  std::int64_t bytes() const { return blocks() * block_bytes(); }
  std::int64_t room() const { return blocks() * block(); }
};

/// panel[e] = code of weight e minus zero.
using UnpackPanel = void (*)(const PackedPanel& form, const std::uint8_t* packed, int zero,
                             std::int8_t* panel) noexcept;
/// The first that `isa` can run.
UnpackPanel unpack_panel(Isa isa);

/// Packs codes [weights] of one panel; `packed` is zero.
void pack_panel(const PackedPanel& form, const std::uint8_t* codes, std::uint8_t* packed);

namespace portable {
void unpack_panel(const PackedPanel& form, const std::uint8_t* packed, int zero, std::int8_t* panel) noexcept;
}
#if defined(__x86_64__)
namespace avx2 {
void unpack_panel(const PackedPanel& form, const std::uint8_t* packed, int zero, std::int8_t* panel) noexcept;
}
#endif

}  // namespace nnq
