// Integers of a file in as few bits as their own range needs, and thresholds as such lists (docs/program.md, "Packed
// integers").
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "nnq/program.h"

namespace nnq {

/// Stands for a threshold that no sum passes, in lists before packing.
inline constexpr std::int64_t never_passed = std::numeric_limits<std::int64_t>::max();

/// Element i = base + unit * code_i; code_i are the bits i * width .. of `bits`, least significant first. With `never`
/// the code of all ones stands for never_passed.
struct PackedIntegers {
  std::int64_t base = 0, unit = 1;
  int width = 1;  // 1 .. 34
  bool never = false;
  std::int64_t count = 0;
  std::vector<std::uint8_t> bits;
};

/// Values below 2^33 in magnitude, or never_passed.
PackedIntegers pack_integers(std::span<const std::int64_t> values);
/// Every element takes at least one bit, so what a list unpacks to is bounded by its size in the file.
Status unpack_integers(const PackedIntegers& packed, std::vector<std::int64_t>& values);

/// Flags, bit i % 8 of byte i / 8.
std::vector<std::uint8_t> pack_flags(std::span<const std::uint8_t> flags);
/// Refuses a list of bytes that does not hold exactly `count` flags.
Status unpack_flags(std::span<const std::uint8_t> bits, std::int64_t count, std::vector<std::uint8_t>& flags);

/// Thresholds of an epilogue as a file holds them: the first of each channel, and what each further one adds to the
/// last before it that can be passed. Falling channels are stored negated, so that all rise.
struct PackedThresholds {
  std::int64_t channels = 0;
  PackedIntegers first, rises;        // [channels], [channels * (levels - 1)]
  std::vector<std::uint8_t> falling;  // flags; empty: none
};
PackedThresholds pack_thresholds(const Epilogue& epilogue);
/// Fills thresholds and direction; epilogue.levels is set.
Status unpack_thresholds(const PackedThresholds& packed, Epilogue& epilogue);

}  // namespace nnq
