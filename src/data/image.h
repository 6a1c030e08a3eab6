// Decoding of single pictures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nnq::data {

/// One picture as planes; grey or colour, transparency dropped.
struct Pixels {
  int width = 0, height = 0, channels = 0;  // 1 or 3
  std::vector<std::uint8_t> chw;
};

/// A PNG or JPEG of at most 64 million pixels; throws nnq::Error naming `name`.
Pixels decode_image(std::span<const std::byte> bytes, const std::string& name);

}  // namespace nnq::data
