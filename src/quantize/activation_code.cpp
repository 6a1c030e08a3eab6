#include "quantize/activation_code.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "nnq/error.h"

namespace nnq::quantize {
namespace {

bool finite_and_ascending(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }) &&
         std::is_sorted(values.begin(), values.end());
}

/// levels[v] == step * v, as float32 computes it.
bool are_multiples(const std::vector<float>& levels, float step) {
  for (std::size_t v = 0; v < levels.size(); ++v)
    if (levels[v] != step * static_cast<float>(v)) return false;
  return true;
}

}  // namespace

void check_code(const ActivationCode& code, const std::string& where) {
  NNQ_CHECK(code.bits >= 1 && code.bits <= 8, "bits are not valid", where);
  if (!code.levels.empty() || !code.thresholds.empty()) {
    const std::size_t count = std::size_t{1} << code.bits;
    NNQ_CHECK(!code.sign && code.levels.size() == count && code.thresholds.size() == count - 1,
              "expected " + std::to_string(count) + " levels and one threshold less, got " +
                  std::to_string(code.levels.size()) + " and " + std::to_string(code.thresholds.size()),
              where);
    NNQ_CHECK(finite_and_ascending(code.levels) && finite_and_ascending(code.thresholds),
              "levels and thresholds must be finite and ascending", where);
    return;
  }
  NNQ_CHECK(std::isfinite(code.step) && code.step > 0, "bits or step are not valid", where);
  NNQ_CHECK(code.sign || (std::isfinite(code.scale) && code.scale > 0 && code.min <= 0 && code.max >= 0 &&
                          code.max - code.min < 1 << code.bits && std::isfinite(code.offset)),
            "scale, offset or code range is not valid", where);
}

ActivationCode simplest(ActivationCode code) {
  if (code.levels.empty()) return code;
  if (code.bits == 1 && code.thresholds[0] == 0 && code.levels[1] > 0 && code.levels[0] == -code.levels[1]) {
    ActivationCode sign;
    sign.sign = true;
    sign.bits = 1;
    sign.min = -1;
    sign.max = 1;
    sign.step = code.levels[1];
    return sign;
  }
  code.min = 0;
  code.max = (1 << code.bits) - 1;
  if (code.levels[1] > 0 && are_multiples(code.levels, code.levels[1])) {
    code.step = code.levels[1];
    code.levels.clear();
  }
  return code;
}

bool has_real_levels(const ActivationCode& code) { return !code.levels.empty(); }

float quantized_value(const ActivationCode& code, float x) {
  if (code.sign) return code.step * (x >= 0 ? 1.0F : -1.0F);
  if (!code.thresholds.empty()) {
    const auto passed = std::count_if(code.thresholds.begin(), code.thresholds.end(), [x](float t) { return x >= t; });
    return has_real_levels(code) ? code.levels[static_cast<std::size_t>(passed)]
                                 : code.step * static_cast<float>(passed);
  }
  const float v = std::nearbyint((x - code.offset) / code.scale);
  return code.step * std::clamp(v, static_cast<float>(code.min), static_cast<float>(code.max));
}

std::string key_of(const ActivationCode& code) {
  const auto bits = [](float v) { return std::to_string(std::bit_cast<int>(v)) + ' '; };
  std::string key = std::to_string(code.sign) + ' ' + std::to_string(code.min) + ' ' + std::to_string(code.max) + ' ' +
                    bits(code.scale) + bits(code.step) + bits(code.offset) + "t ";
  for (const float t : code.thresholds) key += bits(t);
  key += "l ";
  for (const float l : code.levels) key += bits(l);
  return key;
}

}  // namespace nnq::quantize
