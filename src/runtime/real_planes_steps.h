// Steps on codes with real levels (docs/program.md, "Bit planes with real scales"): what checker, interpreter and
// planner call.
#pragma once

#include <span>

#include "nnq/program.h"

namespace nnq {

/// float32 holds every count below.
inline constexpr std::int64_t exact_counts = std::int64_t{1} << 24;

/// Levels are not uniform integers in these: bucketize, levels, plane_convolution, plane_dense.
bool has_real_planes(StepKind kind);

/// Sizes, kinds and ranges of such a step, as check_program promises.
Status check_real_planes(const Program& program, const Step& step);

/// The definition of plane_convolution and plane_dense: y before the tail, channels last, of codes of shape `in` (NHWC
/// or row-major).
Status plane_sums(const Step& step, const CodeType& code, std::span<const std::int32_t> codes, const Shape& in,
                  Shape& out, std::vector<float>& y);
/// The tail on one y of output channel c: affine, residual (nullptr: none), relu.
float plane_tail(const Step& step, float y, std::int64_t c, const float* residual);

/// Products of scales, exact in double: what interpreter and runtime both multiply integers with.
struct PlaneCoefficients {
  std::vector<double> both;       // [out][weight planes][code planes]: weight_scale * code_scale
  std::vector<double> codes;      // [out][code planes]: weight_offset * code_scale; empty: no weight_offset
  std::vector<double> weights;    // [out][weight planes]: weight_scale * code_offset; empty: code_offset is 0
  std::vector<double> constants;  // [out]: weight_offset * code_offset; empty: one of them is none
};
PlaneCoefficients plane_coefficients(const Step& step);

}  // namespace nnq
