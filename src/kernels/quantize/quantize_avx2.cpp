// AVX2: 32 floats to 32 bytes or to a word of signs.
#include <immintrin.h>

#include <cstring>

#include "kernels/quantize/quantize.h"

namespace nnq::avx2 {
namespace {

/// A quotient is an integer's neighbour or lies between two: only near the middle of them can multiplying by 1 / scale,
/// which is off by less than 2^-22 of it, round to another code than dividing. There, and where 1 / scale is no number
/// to trust, the quotient itself is taken: a division costs six of these operations.
class Quotient {
 public:
  Quotient(float scale, std::int32_t min, std::int32_t max)
      : scale_(_mm256_set1_ps(scale)),
        inverse_(_mm256_set1_ps(1.0F / scale)),
        low_(_mm256_set1_ps(static_cast<float>(min))),
        high_(_mm256_set1_ps(static_cast<float>(max))),
        // Without trust every quotient counts as near a middle.
        safe_(_mm256_set1_ps(scale > 1e-30F && scale < 1e30F ? 0.499F : -1.0F)) {}

  __m256i rounded(__m256 x) const {
    const __m256 q = clamped(_mm256_mul_ps(x, inverse_));
    const __m256i code = _mm256_cvtps_epi32(q);  // to nearest, ties to even
    const __m256 off = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), _mm256_sub_ps(q, _mm256_cvtepi32_ps(code)));
    if (__builtin_expect(_mm256_movemask_ps(_mm256_cmp_ps(off, safe_, _CMP_GE_OQ)) == 0, 1)) return code;
    return _mm256_cvtps_epi32(clamped(_mm256_div_ps(x, scale_)));
  }

 private:
  /// max and min give their second operand where the first is NaN: it becomes the lowest code.
  __m256 clamped(__m256 q) const { return _mm256_min_ps(_mm256_max_ps(q, low_), high_); }

  __m256 scale_, inverse_, low_, high_, safe_;
};

/// What does not change in a call.
struct Constants {
  explicit Constants(const RoundCall& call)
      : quotient(call.scale, call.min, call.max), base(_mm256_set1_epi32(call.base)) {}
  Quotient quotient;
  __m256i base;
};

/// Codes of 8 floats, less the base, in 32-bit lanes.
inline __m256i eight(const float* x, const Constants& k) {
  return _mm256_sub_epi32(k.quotient.rounded(_mm256_loadu_ps(x)), k.base);
}

}  // namespace

void round_codes(const RoundCall& call) noexcept {
  const std::int64_t count = call.count;
  if (count < 32) return portable::round_codes(call);
  const Constants k(call);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (std::int64_t i = 0; i < count; i += 32) {
    if (i + 32 > count) i = count - 32;  // some a second time
    const float* x = call.x + i;
    const __m256i first = _mm256_packs_epi32(eight(x, k), eight(x + 8, k)),
                  second = _mm256_packs_epi32(eight(x + 16, k), eight(x + 24, k));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(call.to + i),
                        _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order));
  }
}

void weave_codes(const WeaveCall& call) noexcept {
  const std::int64_t count = call.round.count;
  if (count < 8) return portable::weave_codes(call);
  const Constants k(call.round);
  for (std::int64_t i = 0; i < count; i += 8) {
    if (i + 8 > count) i = count - 8;  // some a second time
    const float* x = call.round.x + i;
    __m256i v = eight(x, k);
    if (call.planes > 1) v = _mm256_or_si256(v, _mm256_slli_epi32(eight(x + call.plane, k), 8));
    if (call.planes > 2) v = _mm256_or_si256(v, _mm256_slli_epi32(eight(x + 2 * call.plane, k), 16));
    if (call.planes > 3) v = _mm256_or_si256(v, _mm256_slli_epi32(eight(x + 3 * call.plane, k), 24));
    alignas(32) std::int32_t four[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(four), v);
    std::uint8_t* to = call.round.to + i * call.stride;
    for (int p = 0; p < 8; ++p, to += call.stride) std::memcpy(to, four + p, 4);
  }
}

void sign_bits(const SignCall& call) noexcept {
  const std::int64_t whole = call.channels / 32 * 32, words = (call.channels + 31) / 32;
  const __m256 zero = _mm256_setzero_ps();
  for (std::int64_t i = 0; i < call.count; ++i) {
    float* x = call.x + i * call.channels;
    std::uint32_t* to = call.to + i * words;
    for (std::int64_t c = 0; c < whole; c += 32) {
      std::uint32_t word = 0;
      for (int part = 0; part < 32; part += 8) {
        const __m256 v = _mm256_loadu_ps(x + c + part);
        word |= static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(v, zero, _CMP_GE_OQ))) << part;
        // The second operand where the first is NaN or an equal zero.
        if (call.relu) _mm256_storeu_ps(x + c + part, _mm256_max_ps(zero, v));
      }
      *to++ = word;
    }
    if (whole < call.channels) portable::sign_bits({x + whole, to, 1, call.channels - whole, call.relu});
  }
}

}  // namespace nnq::avx2
