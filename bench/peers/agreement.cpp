#include "agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace nnq::peers {

std::vector<float> requantized(const std::vector<std::int32_t>& sums, int shift, bool signed_codes) {
  std::vector<float> codes;
  codes.reserve(sums.size());
  const float min = signed_codes ? -128 : 0, max = signed_codes ? 127 : 255;
  for (const std::int32_t s : sums)
    codes.push_back(std::clamp(std::nearbyint(std::ldexp(static_cast<float>(s), -shift)), min, max));
  return codes;
}

std::string agreement(std::span<const float> got, std::span<const float> expected) {
  if (got.size() != expected.size()) return "DIFFERENT SIZE";
  std::size_t different = 0;
  float most = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    different += got[i] != expected[i] ? 1 : 0;
    most = std::max(most, std::abs(got[i] - expected[i]));
  }
  if (different == 0) return "equal";
  return fmt::format("{:.1f} % differ, by at most {:.0f}",
                     100.0 * static_cast<double>(different) / static_cast<double>(got.size()), most);
}

std::string closeness(std::span<const float> got, std::span<const float> expected, double limit) {
  if (got.size() != expected.size()) return "DIFFERENT SIZE";
  double most = 0, largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    most = std::max(most, static_cast<double>(std::abs(got[i] - expected[i])));
    largest = std::max(largest, static_cast<double>(std::abs(expected[i])));
  }
  const double share = largest > 0 ? most / largest : most;
  return fmt::format("{} {:.1g} of the largest", share <= limit ? "within" : "DIFFERENT by", share);
}

std::string signal_to_noise(std::span<const float> got, std::span<const float> expected) {
  if (got.size() != expected.size()) return "DIFFERENT SIZE";
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    signal += static_cast<double>(expected[i]) * expected[i];
    noise += std::pow(static_cast<double>(got[i]) - expected[i], 2);
  }
  return noise > 0 ? fmt::format("{:.0f} dB to float", 10 * std::log10(signal / noise)) : "equal to float";
}

}  // namespace nnq::peers
