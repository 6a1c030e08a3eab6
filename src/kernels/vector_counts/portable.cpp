#include <bit>

#include "kernels/vector_counts/vector_counts.h"

namespace nnq::portable {

void vector_look_up_tables(const VectorCall&) noexcept {}

void vector_counts(const VectorCall& call) noexcept {
  const std::int64_t bytes = vector_bytes(call.inputs);
  for (std::int64_t o = 0; o < call.panel_count * vector_panel; ++o) {
    for (int p = 0; p < call.weight_planes; ++p) {
      const std::uint8_t* const w =
          call.panels + (o / vector_panel * call.weight_planes + p) * bytes * vector_panel + o % vector_panel;
      for (int q = 0; q < call.code_planes; ++q) {
        std::int32_t count = 0;
        for (std::int64_t b = 0; b < bytes; ++b) {
          const unsigned codes = vector_nibble(call, q, 2 * b) | vector_nibble(call, q, 2 * b + 1) << 4;
          count += std::popcount(codes & w[b * vector_panel]);
        }
        call.counts[(p * call.code_planes + q) * call.stride + o] = count;
      }
    }
  }
}

}  // namespace nnq::portable
