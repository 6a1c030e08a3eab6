#include "kernels/depthwise/depthwise.h"

namespace nnq::portable {

void depthwise_row(const DepthwiseCall& call, std::int64_t r, std::int64_t first) noexcept {
  const DirectRow& row = call.rows[r];
  std::int32_t* sum = call.sums + r * call.channels;
  for (std::int64_t c = first; c < call.channels; ++c) sum[c] = row.start[c];
  for (std::int64_t t = 0; t < call.pairs; ++t) {
    const std::int16_t* w = call.weights + t * call.channels * 2;
    const std::uint8_t *x0 = row.data + call.offsets[2 * t], *x1 = row.data + call.offsets[2 * t + 1];
    for (std::int64_t c = first; c < call.channels; ++c) sum[c] += w[2 * c] * x0[c] + w[2 * c + 1] * x1[c];
  }
}

void depthwise(const DepthwiseCall& call) noexcept {
  for (std::int64_t r = 0; r < call.row_count; ++r) depthwise_row(call, r, 0);
}

}  // namespace nnq::portable
