// Quantization within an interval, in one pass forward and one back (QIL: Jung et al. 2019, arXiv:1808.05779).
#pragma once

#include <cstdint>

namespace at {
class Tensor;
}

namespace nnq::train {

/// Where values of an interval quantizer fall. The interval begins at center - half_width.
struct IntervalForm {
  float offset = 0;  // center - half_width
  float scale = 1;   // 2 half_width / top: one step, in units of x
  float top = 1;     // largest code
  float step = 1;    // value of one code
};

/// Elements at or below the interval and above it, counted by the backward pass.
struct IntervalCounts {
  std::int64_t pruned = 0, clipped = 0, total = 0;
};

/// step * clamp(rint((x - offset) / scale), 0, top); NaN becomes 0. float32, keeps the memory order.
at::Tensor interval_values(const at::Tensor& x, const IntervalForm& form);

/// The same, differentiable in x and in `center` and `half_width` ([1], > 0). With alpha = 0.5 / half_width and r the
/// value of the largest code, inside (offset < x <= center + half_width):
///   dy/dx = r alpha;  dy/dcenter = -r alpha;  dy/dhalf_width = r (alpha / half_width) (center - x);  0 outside.
/// x == offset counts as outside: with an interval from 0 on, the zeros behind a Relu would otherwise pull at it.
/// With `rescaled` r is center + half_width and gets its own gradient sum(g y / r); else r = 1. Sums are made in fixed
/// chunks: same bits whatever the number of threads. `counts` is filled by the backward pass and must outlive it.
at::Tensor fused_interval_quantize(const at::Tensor& x, const at::Tensor& center, const at::Tensor& half_width,
                                   const IntervalForm& form, bool rescaled, IntervalCounts* counts);

}  // namespace nnq::train
