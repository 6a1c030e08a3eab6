// im2col for float convolutions: 16 output positions side by side, ready for the float GEMM.
#pragma once

#include <cstdint>

#include "kernels/gemm/gemm.h"
#include "runtime/steps/layer.h"

namespace nnq {

/// A sample's channels of one group and the window that goes over them.
struct ColumnSource {
  const float* x;  // [channels][height][width]
  std::int64_t channels, height, width, out_width;
  Window window;
};

/// panel[channel][kernel row][kernel column][16] = what lies under output positions first .. first + columns - 1, in
/// row-major order, 0 outside the image. Where columns < 16 the rest is 0.
void gather_columns(const ColumnSource& source, std::int64_t first, std::int64_t columns, float* panel) noexcept;

}  // namespace nnq
