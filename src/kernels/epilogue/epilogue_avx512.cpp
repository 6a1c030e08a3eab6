// AVX-512: blocks of 16 channels, comparisons give masks.
#include <immintrin.h>

#include <algorithm>

#include "kernels/epilogue/epilogue.h"

namespace nnq::avx512 {
namespace {

inline __m512i turned(const Thresholds& t, const std::int32_t* sums, std::int64_t c, __mmask16 lanes) {
  const __m512i s = _mm512_maskz_loadu_epi32(lanes, sums);
  if (!t.turns) return s;
  const __m512i m = _mm512_loadu_si512(t.turn.data() + c);
  return _mm512_sub_epi32(_mm512_xor_si512(s, m), m);
}

inline __mmask16 lanes_of(std::int64_t channels) {
  return channels >= epilogue_block ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << channels) - 1);
}

}  // namespace

void threshold_codes(const ThresholdCall& call) noexcept {
  const Thresholds& t = *call.thresholds;
  // 16 channels of 16 bits in a ymm cost two cheap operations a level; 16 of 32 bits in a zmm a mask and a masked add.
  // Lines cost less than either.
  if (t.narrow || std::ranges::find(t.lines, 1) != t.lines.end()) {
    avx2::threshold_codes(call);
    return;
  }
  const __m512i step = _mm512_set1_epi32(t.step);
  for (std::int64_t i = 0; i < call.count; ++i) {
    for (std::int64_t c = 0; c < t.channels; c += epilogue_block) {
      const __mmask16 lanes = lanes_of(t.channels - c);
      const __m512i s = turned(t, call.sums + i * call.stride + c, c, lanes);
      const std::int32_t* limit = t.limits.data() + c * t.levels;
      __m512i code =
          _mm512_maskz_cvtepu8_epi32(lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(t.start.data() + c)));
      for (std::int32_t l = 0; l < t.levels; ++l, limit += epilogue_block)
        code = _mm512_mask_add_epi32(code, _mm512_cmpgt_epi32_mask(s, _mm512_loadu_si512(limit)), code, step);
      _mm512_mask_cvtepi32_storeu_epi8(static_cast<std::uint8_t*>(call.out) + i * t.channels + c, lanes, code);
    }
  }
}

void threshold_bits(const ThresholdCall& call) noexcept {
  const Thresholds& t = *call.thresholds;
  const std::int64_t words = (t.channels + 31) / 32;
  for (std::int64_t i = 0; i < call.count; ++i) {
    for (std::int64_t c = 0; c < t.channels; c += epilogue_block) {
      const __mmask16 lanes = lanes_of(t.channels - c);
      const __m512i s = turned(t, call.sums + i * call.stride + c, c, lanes);
      const __m128i start = _mm_loadu_si128(reinterpret_cast<const __m128i*>(t.start.data() + c));
      const auto passes = static_cast<std::uint32_t>(
          (_mm512_cmpgt_epi32_mask(s, _mm512_loadu_si512(t.limits.data() + c)) | _mm_test_epi8_mask(start, start)) &
          lanes);
      std::uint32_t* word = static_cast<std::uint32_t*>(call.out) + i * words + c / 32;
      *word = c % 32 == 0 ? passes : *word | passes << 16;
    }
  }
}

}  // namespace nnq::avx512
