#include "pack/vector_code.h"

#include "core/clones.h"
#include "pack/multibit.h"

namespace nnq {
namespace {

/// Bits of the largest magnitude: those of floats of one sign are ordered as the numbers are, NaNs above infinity.
NNQ_CLONES std::uint32_t largest_magnitude(const float* x, std::int64_t n) {
  std::uint32_t most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t size = __builtin_bit_cast(std::uint32_t, x[i]) & 0x7fffffffU;
    most = size > most ? size : most;
  }
  return most;
}

NNQ_CLONES void round_to_codes(const float* __restrict x, std::int64_t n, float scale, std::uint8_t* __restrict codes,
                               float* __restrict values) {
  constexpr float magic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, ties to even
  for (std::int64_t i = 0; i < n; ++i) {
    float v = x[i] / scale;
    v = v > -uniform_vector_most ? v : -uniform_vector_most;  // NaN becomes the lowest
    v = v < uniform_vector_most ? v : uniform_vector_most;
    const float whole = (v + magic) - magic;
    codes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(whole) + uniform_vector_zero);
    values[i] = scale * whole;
  }
}

}  // namespace

void quantize_vector(const VectorCode& code, const float* x, std::int64_t n, float* scales, std::uint8_t* codes,
                     float* values) {
  if (!code.uniform) {
    multibit::decompose(x, n, code.bits, multibit::Search::alternating, code.cycles, scales, codes, values);
    return;
  }
  const float scale = __builtin_bit_cast(float, largest_magnitude(x, n)) / uniform_vector_most;
  scales[0] = scale;
  if (scale == 0) {
    for (std::int64_t i = 0; i < n; ++i) {
      codes[i] = uniform_vector_zero;
      values[i] = 0;
    }
    return;
  }
  round_to_codes(x, n, scale, codes, values);
}

}  // namespace nnq
