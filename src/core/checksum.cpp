#include "core/checksum.h"

#include <bit>
#include <cstring>

namespace nnq {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie");

constexpr std::uint64_t p1 = 0x9E3779B185EBCA87U, p2 = 0xC2B2AE3D27D4EB4FU, p3 = 0x165667B19E3779F9U,
                        p4 = 0x85EBCA77C2B2AE63U, p5 = 0x27D4EB2F165667C5U;

template <class T>
std::uint64_t word(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

std::uint64_t round(std::uint64_t lane, std::uint64_t value) { return std::rotl(lane + value * p2, 31) * p1; }

/// The last bytes, fewer than 32, and the mixing of all bits.
std::uint64_t finish(std::uint64_t h, const std::byte* at, std::size_t left) {
  for (; left >= 8; at += 8, left -= 8) h = std::rotl(h ^ round(0, word<std::uint64_t>(at)), 27) * p1 + p4;
  if (left >= 4) {
    h = std::rotl(h ^ word<std::uint32_t>(at) * p1, 23) * p2 + p3;
    at += 4, left -= 4;
  }
  for (; left > 0; ++at, --left) h = std::rotl(h ^ word<std::uint8_t>(at) * p5, 11) * p1;
  h = (h ^ h >> 33) * p2;
  h = (h ^ h >> 29) * p3;
  return h ^ h >> 32;
}

}  // namespace

std::uint64_t checksum64(std::span<const std::byte> bytes) noexcept {
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  if (left < 32) return finish(p5 + bytes.size(), at, left);
  std::uint64_t a = p1 + p2, b = p2, c = 0, d = 0 - p1;
  for (; left >= 32; at += 32, left -= 32) {
    a = round(a, word<std::uint64_t>(at));
    b = round(b, word<std::uint64_t>(at + 8));
    c = round(c, word<std::uint64_t>(at + 16));
    d = round(d, word<std::uint64_t>(at + 24));
  }
  std::uint64_t h = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
  for (const std::uint64_t lane : {a, b, c, d}) h = (h ^ round(0, lane)) * p1 + p4;
  return finish(h + bytes.size(), at, left);
}

}  // namespace nnq
