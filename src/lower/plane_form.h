// Real levels as sums of bit planes with real scales.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nnq::lower_room {

/// level of code i = offset + sum over k of scale[k] * (bit k of pattern[i]), or with `signs` scale[k] * (2 bit - 1).
struct PlaneForm {
  float offset = 0;
  std::vector<float> scale;
  std::vector<std::uint8_t> pattern;  // one a code
  bool signs = false;

  int planes() const { return static_cast<int>(scale.size()); }
};

/// Levels that are all sums of a basis (2^k of them: LQ-Nets, alternating, uniform) as k planes; found by taking the
/// smallest level that earlier planes do not explain as the next plane, in float32 accuracy. Others as one plane for
/// each level that differs from 0 (from the lowest one when none is 0), at most 7; nullopt beyond. `used`: levels some
/// element has, empty for all; others are only explained when that costs nothing.
std::optional<PlaneForm> planes_of_levels(std::span<const float> levels, const std::vector<bool>& used = {});

/// Integer codes min .. max with level a * code + b: the bits of the code, in two's complement when min < 0.
PlaneForm planes_of_integers(std::int32_t min, std::int32_t max, float a, float b);

/// The same levels with an offset of 0 where they have such a form, by turning planes round: all planes as signs when
/// the levels are symmetric about 0, otherwise some planes with the opposite bit and scale. Several forms (one an
/// output channel) take the same number of planes, and signs only together.
void drop_offsets(std::span<PlaneForm> forms);

}  // namespace nnq::lower_room
