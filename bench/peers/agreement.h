// Comparing results before anything is timed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nnq::peers {

/// clamp(rint(sum * 2^-shift)) to unsigned or signed 8-bit codes.
std::vector<float> requantized(const std::vector<std::int32_t>& sums, int shift, bool signed_codes);

/// "equal", or how many of the integers differ.
std::string agreement(std::span<const float> got, std::span<const float> expected);
/// "within 3e-06 of the largest" for floats; "" when `limit` (a fraction of the largest) is kept, else says so.
std::string closeness(std::span<const float> got, std::span<const float> expected, double limit);
/// Signal to noise of `got` as an approximation: "31.2 dB to float".
std::string signal_to_noise(std::span<const float> got, std::span<const float> expected);

}  // namespace nnq::peers
