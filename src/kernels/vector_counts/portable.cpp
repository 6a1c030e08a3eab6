#include <bit>

#include "kernels/vector_counts/vector_counts.h"

namespace nnq::portable {
namespace {

/// Four bits of a code plane: those of inputs 4 * at and following.
unsigned nibble(const VectorCall& call, int plane, std::int64_t at) {
  const std::int64_t words = (call.inputs + 63) / 64;
  return at / 16 < words ? static_cast<unsigned>(call.codes[plane * words + at / 16] >> (at % 16 * 4) & 15U) : 0;
}

}  // namespace

void fill_vector_tables(const VectorCall&) noexcept {}

void vector_counts(const VectorCall& call) noexcept {
  const std::int64_t bytes = vector_weight_bytes(call.inputs);
  for (std::int64_t o = 0; o < call.panel_count * vector_panel; ++o) {
    for (int p = 0; p < call.weight_planes; ++p) {
      const std::uint8_t* const w =
          call.panels + (o / vector_panel * call.weight_planes + p) * bytes * vector_panel + o % vector_panel;
      for (int q = 0; q < call.code_planes; ++q) {
        std::int32_t count = 0;
        for (std::int64_t b = 0; b < bytes; ++b) {
          const unsigned codes = nibble(call, q, 2 * b) | nibble(call, q, 2 * b + 1) << 4;
          count += std::popcount(codes & w[b * vector_panel]);
        }
        call.counts[(p * call.code_planes + q) * call.stride + o] = count;
      }
    }
  }
}

}  // namespace nnq::portable
