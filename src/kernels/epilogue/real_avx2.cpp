// AVX2: the float epilogue to byte codes and to floats, channels last, 32 and 8 channels at a time, in registers from
// the sum on. The loops of real_loops.h, which the other outputs take, go through memory between their passes: 0.3 ns a
// channel more (Zen 3).
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

/// 8 channels before a Relu. No fused multiply-add: one rounding an operation.
template <RealCall::Residual Kind>
inline __m256 affine(const RealCall& call, const Constants& k, std::int64_t position, std::int64_t c) {
  __m256 y = _mm256_cvtepi32_ps(load(call.sums + position * call.stride + c));
  y = _mm256_add_ps(_mm256_mul_ps(y, _mm256_loadu_ps(call.a + c)), _mm256_loadu_ps(call.b + c));
  if constexpr (Kind == RealCall::Residual::floats) {
    y = _mm256_add_ps(y, _mm256_loadu_ps(static_cast<const float*>(call.residual_data) + position * call.channels + c));
  } else if constexpr (Kind != RealCall::Residual::none) {
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
  return y;
}

/// Codes of 8 channels, less the base, in 32-bit lanes.
template <RealCall::Residual Kind>
inline __m256i eight(const RealCall& call, const Constants& k, std::int64_t position, std::int64_t c) {
  __m256 y = affine<Kind>(call, k, position, c);
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

/// Floats, channels last; a Relu is that of floats.
template <RealCall::Residual Kind>
void floats(const RealCall& call) {
  const Constants k(call);
  for (std::int64_t i = 0; i < call.count; ++i) {
    float* out = static_cast<float*>(call.out) + i * call.position_stride;
    std::int64_t c = 0;
    for (; c + 8 <= call.channels; c += 8) {
      // max gives its second operand where that is NaN or both are zeros.
      _mm256_storeu_ps(out + c, _mm256_max_ps(k.least, affine<Kind>(call, k, i, c)));
    }
    if (c < call.channels) rest(call, i, c);
  }
}

}  // namespace

void real_epilogue(const RealCall& call) noexcept {
  using R = RealCall::Residual;
  const bool to_floats =
      call.output == RealCall::Output::floats && call.channel_stride == 1 && (!call.relu || call.float_relu);
  if (to_floats && call.residual == R::none)
    floats<R::none>(call);
  else if (to_floats && call.residual == R::sums)
    floats<R::sums>(call);
  else if (to_floats && call.residual == R::floats)
    floats<R::floats>(call);
  else if (call.output != RealCall::Output::codes || call.residual == R::bits || call.residual == R::floats)
    real_loops(call);
  else if (call.residual == R::sums)
    codes<R::sums>(call);
  else if (call.residual == R::bytes)
    codes<R::bytes>(call);
  else
    codes<R::none>(call);
}

}  // namespace nnq::avx2
