// The outer form of a .nnq image: header, FlatBuffers table, data section. Tables stay small; weights lie aligned for
// the kernels.
#pragma once

#include <cstdint>

namespace nnq {

/// Bytes 0 .. 63 of a file, little-endian. The table follows at 64, the data section at data_offset, a multiple of 64.
struct ImageHeader {
  char magic[4];  // "NNQ1"
  std::uint32_t version;
  std::uint64_t table_bytes, data_offset, total_bytes;
  std::uint64_t content;  // checksum64 of all that follows byte 63; 0: of a version that did not write it
  std::uint8_t reserved[24];
};
static_assert(sizeof(ImageHeader) == 64);

inline constexpr char image_magic[4] = {'N', 'N', 'Q', '1'};
inline constexpr std::uint32_t image_version = 2;
inline constexpr std::uint64_t image_alignment = 64;

}  // namespace nnq
