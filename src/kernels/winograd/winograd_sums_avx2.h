// What the wide and the narrow form have in common, for AVX2 kernels only: loads, tails of channels, the transforms,
// the way from products to sums.
#pragma once

#include <immintrin.h>

#include "kernels/unrolled.h"
#include "kernels/winograd/winograd.h"

namespace nnq::avx2 {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline __m128i bytes(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

/// Shuffles that move bytes 16 - n .. 15 to the front and put zeros behind them: 16 bytes from entry 16 - n.
inline constexpr std::uint8_t to_front[32] = {0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,
                                              11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                              0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

/// Bytes between the transformed weights of one of 16 elements and the next.
inline constexpr std::int64_t winograd_u = winograd_steps * 64 + 64;
/// Of a tile: 16 x 16 products, and a cache line more, as 2^n apart they would share cache sets.
inline constexpr std::int64_t tile_sums = 272;

/// What the transforms compute with: elements of 16 or of 8 bits.
struct Words {
  static constexpr std::int64_t weights = 16;  // of a vector
  static __m256i widened(const std::uint8_t* p) { return _mm256_cvtepi8_epi16(bytes(p)); }
  static __m256i add(__m256i a, __m256i b) { return _mm256_add_epi16(a, b); }
  static __m256i less(__m256i a, __m256i b) { return _mm256_sub_epi16(a, b); }
};
struct Bytes {
  static constexpr std::int64_t weights = 32;
  static __m256i widened(const std::uint8_t* p) { return load(p); }
  static __m256i add(__m256i a, __m256i b) { return _mm256_add_epi8(a, b); }
  static __m256i less(__m256i a, __m256i b) { return _mm256_sub_epi8(a, b); }
  static __m128i add(__m128i a, __m128i b) { return _mm_add_epi8(a, b); }
  static __m128i less(__m128i a, __m128i b) { return _mm_sub_epi8(a, b); }
};

/// U of some steps: to u[16][winograd_u / 32] vectors, two a step.
template <class Elements>
inline void transform_weights(const std::uint8_t* weights, std::int64_t count, std::byte* u) {
  using E = Elements;
  for (std::int64_t k = 0; k < 2 * count; ++k, u += 32) {
    const std::uint8_t* const at = weights + (k / 2 * 18 + k % 2) * E::weights;
    const auto tap = [&](std::int64_t i) { return E::widened(at + i * 2 * E::weights); };
    __m256i half[4][3];
    NNQ_UNROLL
    for (std::int64_t x = 0; x < 3; ++x) {
      const __m256i a = tap(x), b = tap(3 + x), c = tap(6 + x), outer = E::add(a, c);
      half[0][x] = E::add(a, a);
      half[1][x] = E::add(outer, b);
      half[2][x] = E::less(outer, b);
      half[3][x] = E::add(c, c);
    }
    NNQ_UNROLL
    for (std::int64_t y = 0; y < 4; ++y) {
      const __m256i outer = E::add(half[y][0], half[y][2]);
      std::byte* const to = u + y * 4 * winograd_u;
      store(to, E::add(half[y][0], half[y][0]));
      store(to + winograd_u, E::add(outer, half[y][1]));
      store(to + 2 * winograd_u, E::less(outer, half[y][1]));
      store(to + 3 * winograd_u, E::add(half[y][2], half[y][2]));
    }
  }
}

/// A^T m A / 4 + starts of 8 outputs of a tile. too_much [2][2][stride]: what is taken from 4 times the sums first;
/// nullptr: nothing.
inline void put_sums(const std::int32_t* m, const std::int32_t* const* starts, const std::int32_t* too_much,
                     std::int64_t column, std::int32_t* first, std::int32_t* second, std::int64_t stride) {
  __m256i half[2][4];
  NNQ_UNROLL
  for (std::int64_t x = 0; x < 4; ++x) {
    const __m256i b = load(m + (4 + x) * 16), c = load(m + (8 + x) * 16);
    half[0][x] = _mm256_add_epi32(_mm256_add_epi32(load(m + x * 16), b), c);
    half[1][x] = _mm256_sub_epi32(_mm256_sub_epi32(b, c), load(m + (12 + x) * 16));
  }
  NNQ_UNROLL
  for (std::int64_t i = 0; i < 2; ++i) {
    const __m256i b = half[i][1], c = half[i][2];
    __m256i left = _mm256_add_epi32(_mm256_add_epi32(half[i][0], b), c),
            right = _mm256_sub_epi32(_mm256_sub_epi32(b, c), half[i][3]);
    if (too_much != nullptr) {
      left = _mm256_sub_epi32(left, load(too_much + 2 * i * stride + column));
      right = _mm256_sub_epi32(right, load(too_much + (2 * i + 1) * stride + column));
    }
    std::int32_t* const to = (i == 0 ? first : second) + column;
    store(to, _mm256_add_epi32(load(starts[2 * i] + column), _mm256_srai_epi32(left, 2)));
    store(to + stride, _mm256_add_epi32(load(starts[2 * i + 1] + column), _mm256_srai_epi32(right, 2)));
  }
}

/// The sums of a panel, from the products behind its transformed weights.
inline void put_all_sums(const WinogradCall& call, const std::int32_t* too_much) {
  const auto* const m = reinterpret_cast<const std::int32_t*>(call.room + 16 * winograd_u);
  for (std::int64_t t = 0; t < call.tiles; ++t) {
    std::int32_t *const first = call.sums + 2 * t * call.stride, *const second = first + 2 * call.tiles * call.stride;
#pragma GCC unroll 1
    for (std::int64_t h = 0; h < 2; ++h)
      put_sums(m + t * tile_sums + h * 8, call.starts + 4 * t, too_much, call.column + h * 8, first, second,
               call.stride);
  }
}

/// products<Rows>(v, depth, u, m) of all tiles, element after element: v: the first of Rows rows of V, depth: bytes
/// from one to the next, u: the element's transformed weights, m: the element's products of the first of Rows tiles.
template <class Products>
inline void each_group(const WinogradCall& call, const WinogradForm& form, Products&& products) {
  const std::int64_t rows = winograd_rows(call.tiles), plane = form.plane(call.tiles, call.channels),
                     depth = form.row(call.channels), groups = (rows + 5) / 6, fives = groups * 6 - rows,
                     sixes = groups - fives;
  auto* const m = reinterpret_cast<std::int32_t*>(call.room + 16 * winograd_u);
  const std::uint8_t* next = call.next;
  const std::uint8_t* const end = next + call.next_bytes;
  const std::int64_t share = (call.next_bytes + 1023) / 1024;  // lines of one of 16 elements
  for (std::int64_t p = 0; p < 16; ++p) {
#pragma GCC unroll 1
    for (std::int64_t i = 0; i < share && next < end; ++i, next += 64)
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    const std::byte* v = call.v + p * plane + 4 * call.first;
    const std::byte* const u = call.room + p * winograd_u;
    std::int32_t* to = m + p * 16;
    for (std::int64_t g = 0; g < sixes; ++g, v += 6 * depth, to += 6 * tile_sums)
      products.template operator()<6>(v, depth, u, to);
    for (std::int64_t g = 0; g < fives; ++g, v += 5 * depth, to += 5 * tile_sums)
      products.template operator()<5>(v, depth, u, to);
  }
}

/// Whether a call is its panel's last.
inline bool is_last(const WinogradCall& call, const WinogradForm& form) {
  return call.first + call.steps == form.steps(call.channels);
}

}  // namespace nnq::avx2
