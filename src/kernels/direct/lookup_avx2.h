// What AVX2's table lookups of one row and of two rows at a time share. Only for files compiled for AVX2.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/direct/direct.h"

namespace nnq::avx2 {

inline constexpr std::int64_t lookup_panel = 32;

/// Sums of as many of the call's rows as it serves, two rows at a time: all of them but an odd last one, or none where
/// entries are too large (see LookupTables::byte_units), rows too long or too few. Returns their number.
std::int64_t lookup_pairs(const DirectCall& call) noexcept;

namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

/// Sums of 32 columns' bytes in 16 bits: `all` = even column + 256 * odd column modulo 2^16, `odd` = odd column.
struct alignas(32) Words {
  __m256i all = _mm256_setzero_si256(), odd = _mm256_setzero_si256();

  /// bytes_odd: bytes >> 8 in words.
  void add(__m256i bytes, __m256i bytes_odd) {
    all = _mm256_add_epi16(all, bytes);
    odd = _mm256_add_epi16(odd, bytes_odd);
  }

  /// Start plus the columns' sums << shift, in order. Not inlined: tiles end in eight of them.
  [[gnu::noinline]] void store(const std::int32_t* start, int shift, std::int32_t* sums) const {
    const __m256i even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
    const __m128i count = _mm_cvtsi32_si128(shift);
    const __m256i low = _mm256_unpacklo_epi16(even, odd),  // columns 0..7 | 16..23
        high = _mm256_unpackhi_epi16(even, odd);           // columns 8..15 | 24..31
    const __m128i parts[4] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                              _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
    for (int i = 0; i < 4; ++i)
      avx2::store(sums + i * 8,
                  _mm256_add_epi32(load(start + i * 8), _mm256_sll_epi32(_mm256_cvtepu16_epi32(parts[i]), count)));
  }
};

}  // namespace
}  // namespace nnq::avx2
