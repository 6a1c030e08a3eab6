// AVX2: the float epilogue to byte codes, 32 and 8 channels at a time, in registers from the sum to the byte. The loops
// of real_loops.h, which the other outputs take, go through memory between their passes: 0.3 ns a channel more (Zen 3).
#include <immintrin.h>

#include <limits>

#include "kernels/epilogue/real_loops.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// What does not change in a call.
struct Constants {
  explicit Constants(const RealCall& call)
      : scale(_mm256_set1_ps(call.scale)),
        low(_mm256_set1_ps(static_cast<float>(call.min))),
        high(_mm256_set1_ps(static_cast<float>(call.max))),
        base(_mm256_set1_epi32(call.base)),
        residual_min(_mm256_set1_epi32(call.residual_min)),
        // Below every number: no Relu. A NaN becomes it, and then the lowest code, as a NaN must.
        least(_mm256_set1_ps(call.relu ? 0.0F : -std::numeric_limits<float>::infinity())) {}
  __m256 scale, low, high;
  __m256i base, residual_min;
  __m256 least;
};

/// Codes of 8 channels, less the base, in 32-bit lanes. No fused multiply-add: one rounding an operation.
template <RealCall::Residual Kind>
inline __m256i eight(const RealCall& call, const Constants& k, std::int64_t position, std::int64_t c) {
  __m256 y = _mm256_cvtepi32_ps(load(call.sums + position * call.stride + c));
  y = _mm256_add_ps(_mm256_mul_ps(y, _mm256_loadu_ps(call.a + c)), _mm256_loadu_ps(call.b + c));
  if constexpr (Kind != RealCall::Residual::none) {
    const std::int64_t from = position * call.channels + c;
    __m256i v;
    if constexpr (Kind == RealCall::Residual::sums) {
      v = load(static_cast<const std::int32_t*>(call.residual_data) + from);
    } else {
      const auto* bytes = static_cast<const std::uint8_t*>(call.residual_data) + from;
      v = _mm256_add_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))),
                           k.residual_min);
    }
    const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_loadu_ps(call.residual_a + c));
    y = _mm256_add_ps(y, _mm256_add_ps(product, _mm256_loadu_ps(call.residual_b + c)));
  }
  // max and min give their second operand where the first is NaN or an equal zero, as real_loops.h does.
  y = _mm256_max_ps(y, k.least);
  y = _mm256_min_ps(_mm256_max_ps(_mm256_div_ps(y, k.scale), k.low), k.high);
  return _mm256_sub_epi32(_mm256_cvtps_epi32(y), k.base);  // to nearest, ties to even
}

/// The last, fewer than 8 channels of a position.
[[gnu::noinline]] void rest(const RealCall& call, std::int64_t position, std::int64_t first) {
  real_part<false>(call, position, first, call.channels - first);
}

template <RealCall::Residual Kind>
void codes(const RealCall& call) {
  const Constants k(call);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (std::int64_t i = 0; i < call.count; ++i) {
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + i * call.channels;
    std::int64_t c = 0;
    for (; c + 32 <= call.channels; c += 32) {
      const __m256i first = _mm256_packs_epi32(eight<Kind>(call, k, i, c), eight<Kind>(call, k, i, c + 8)),
                    second = _mm256_packs_epi32(eight<Kind>(call, k, i, c + 16), eight<Kind>(call, k, i, c + 24));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c),
                          _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order));
    }
    for (; c + 8 <= call.channels; c += 8) {
      const __m256i v = eight<Kind>(call, k, i, c);
      const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + c), _mm_packus_epi16(words, words));
    }
    if (c < call.channels) rest(call, i, c);
  }
}

}  // namespace

void real_epilogue(const RealCall& call) noexcept {
  if (call.output != RealCall::Output::codes || call.residual == RealCall::Residual::bits)
    real_loops(call);
  else if (call.residual == RealCall::Residual::sums)
    codes<RealCall::Residual::sums>(call);
  else if (call.residual == RealCall::Residual::bytes)
    codes<RealCall::Residual::bytes>(call);
  else
    codes<RealCall::Residual::none>(call);
}

}  // namespace nnq::avx2
