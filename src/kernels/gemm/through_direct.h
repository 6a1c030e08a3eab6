// Products of gathered rows are products of rows that lie anywhere: a direct kernel with the offsets 0, 4, 8, ...
#pragma once

#include "kernels/direct/direct.h"

namespace nnq {
namespace {

/// sums[r * stride + o] of rows `row_bytes` apart and panels of `steps` units of 4 bytes, starting from 0. Long sums
/// are made in runs of the steps for which there are offsets, each starting from the one before.
inline void through_direct(DirectKernel kernel, const std::uint8_t* a, std::size_t row_bytes,
                           const std::uint8_t* panels, std::int64_t rows, std::int64_t steps, std::int64_t panel_count,
                           std::int32_t* sums, std::int64_t stride) {
  constexpr std::int64_t most_steps = 512, most_rows = 24;
  constexpr std::int32_t zeros[direct_panel] = {};
  std::int64_t offsets[most_steps];
  DirectRow list[most_rows];
  for (std::int64_t k = 0; k < most_steps; ++k) offsets[k] = 4 * k;
  for (std::int64_t first = 0; first < rows; first += most_rows) {
    const std::int64_t count = first + most_rows < rows ? most_rows : rows - first;
    for (std::int64_t p = 0; p < panel_count; ++p) {
      std::int32_t* const to = sums + first * stride + p * direct_panel;
      for (std::int64_t k = 0; k < steps; k += most_steps) {
        for (std::int64_t r = 0; r < count; ++r)
          list[r] = {a + static_cast<std::size_t>(first + r) * row_bytes + 4 * k, k == 0 ? zeros : to + r * stride};
        kernel({list, count, offsets, k + most_steps < steps ? most_steps : steps - k, panels + (p * steps + k) * 64, 1,
                to, stride});
      }
    }
  }
}

}  // namespace
}  // namespace nnq
