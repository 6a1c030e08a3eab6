// Whether numbers are numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

namespace nnq {

inline bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace nnq
