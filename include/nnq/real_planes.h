// What steps of a program on codes with real levels hold beside the common fields of Step: docs/program.md, "Bit planes
// with real scales".
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nnq {

/// Levels, thresholds and bit planes with real scales. A layer's weights and the codes it reads are both sums of
/// planes:
///
///   weight = weight_offset[o] + sum over p of weight_scale[o][p] * W_p     W_p: bit p of the weight
///   level  = code_offset      + sum over q of code_scale[q] * X_q          X_q: bit q of patterns[code - min]
///
/// where W_p (X_q) is the bit itself, 0 or 1, or with weight_signs (code_signs) 2 * bit - 1.
struct RealPlanes {
  std::vector<float> thresholds;  // bucketize, and layers that make such codes: ascending; code = number reached
  std::vector<float> levels;      // levels: the value of code min + i at i

  // plane_convolution, plane_dense; the weights' bits lie in Step::weights (bits, data and count; nothing else of it)
  std::vector<float> weight_scale;   // [out_channels][planes]
  std::vector<float> weight_offset;  // [out_channels]; empty: 0
  bool weight_signs = false;
  std::vector<float> code_scale;  // [planes of the codes]
  float code_offset = 0;
  bool code_signs = false;
  std::vector<std::uint8_t> patterns;  // [codes of the input's type]

  int code_planes() const { return static_cast<int>(code_scale.size()); }
};

/// The number of thresholds x reaches; NaN reaches none.
inline std::int32_t bucket_of(const std::vector<float>& thresholds, float x) {
  std::int32_t reached = 0;
  for (const float t : thresholds) reached += x >= t ? 1 : 0;
  return reached;
}

}  // namespace nnq
