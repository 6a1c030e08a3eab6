// AVX2: products by vpmaddwd, pairs of channels, tiles of 6 (or 5) rows x 16 outputs. As in direct_avx2.cpp the
// innermost operations are assembly: g++ hoists the broadcasts and spills.
#include <immintrin.h>

#include "kernels/unrolled.h"
#include "kernels/wide_pair_avx2.h"
#include "kernels/winograd/winograd.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline __m128i bytes(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline __m256i add(__m256i a, __m256i b) { return _mm256_add_epi16(a, b); }
inline __m256i less(__m256i a, __m256i b) { return _mm256_sub_epi16(a, b); }

/// Shuffles that move bytes 16 - n .. 15 to the front and put zeros behind them: 16 bytes from entry 16 - n.
constexpr std::uint8_t to_front[32] = {0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,
                                       11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                       0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

/// U of 64 pairs of channels or fewer, from pair `first`: to u[16][winograd_pairs * 2 + 2] vectors, two a pair.
void transform_weights(const WinogradCall& call, std::int64_t first, std::int64_t count, std::byte* u) {
  for (std::int64_t k = 0; k < 2 * count; ++k, u += 32) {
    const std::uint8_t* const at = call.weights + (first + k / 2) * winograd_pair + k % 2 * 16;
    __m256i half[4][3];
    NNQ_UNROLL
    for (std::int64_t x = 0; x < 3; ++x) {
      const __m256i a = _mm256_cvtepi8_epi16(bytes(at + x * 32)), b = _mm256_cvtepi8_epi16(bytes(at + (3 + x) * 32)),
                    c = _mm256_cvtepi8_epi16(bytes(at + (6 + x) * 32)), outer = add(a, c);
      half[0][x] = add(a, a);
      half[1][x] = add(outer, b);
      half[2][x] = less(outer, b);
      half[3][x] = add(c, c);
    }
    NNQ_UNROLL
    for (std::int64_t y = 0; y < 4; ++y) {
      const __m256i outer = add(half[y][0], half[y][2]);
      std::byte* const to = u + y * 4 * (winograd_pairs * 64 + 64);
      store(to, add(half[y][0], half[y][0]));
      store(to + (winograd_pairs * 64 + 64), add(outer, half[y][1]));
      store(to + 2 * (winograd_pairs * 64 + 64), less(outer, half[y][1]));
      store(to + 3 * (winograd_pairs * 64 + 64), add(half[y][2], half[y][2]));
    }
  }
}

constexpr std::int64_t tile_sums =
    272;  // of a tile: 16 x 16 products, and a cache line more, as 2^n apart they would share cache sets

/// m[Rows][16 of a tile's] = or, from the second time on, += V's rows times `pairs` pairs of U.
template <int Rows>
[[gnu::noinline]] void multiply(const std::int16_t* v, std::int64_t depth, const std::byte* u, std::int64_t pairs,
                                std::int32_t* m, bool more) {
  __m256i sum[Rows][2];
  NNQ_UNROLL
  for (std::int64_t r = 0; r < Rows; ++r) {
    NNQ_UNROLL
    for (std::int64_t h = 0; h < 2; ++h) sum[r][h] = more ? load(m + r * tile_sums + h * 8) : _mm256_setzero_si256();
  }
  for (const std::int16_t* const end = v + 2 * pairs; v != end; v += 2, u += 64) {
    const __m256i w0 = load(u), w1 = load(u + 32);
    NNQ_UNROLL
    for (std::int64_t r = 0; r < Rows; ++r) add_wide_pair(v + r * depth, w0, w1, sum[r][0], sum[r][1]);
  }
  NNQ_UNROLL
  for (std::int64_t r = 0; r < Rows; ++r) {
    NNQ_UNROLL
    for (std::int64_t h = 0; h < 2; ++h) store(m + r * tile_sums + h * 8, sum[r][h]);
  }
}

/// A^T m A / 4 + starts of 8 outputs of a tile.
inline void put_sums(const std::int32_t* m, const std::int32_t* const* starts, std::int64_t column, std::int32_t* first,
                     std::int32_t* second, std::int64_t stride) {
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
    const __m256i left = _mm256_add_epi32(_mm256_add_epi32(half[i][0], b), c),
                  right = _mm256_sub_epi32(_mm256_sub_epi32(b, c), half[i][3]);
    std::int32_t* const to = (i == 0 ? first : second) + column;
    store(to, _mm256_add_epi32(load(starts[2 * i] + column), _mm256_srai_epi32(left, 2)));
    store(to + stride, _mm256_add_epi32(load(starts[2 * i + 1] + column), _mm256_srai_epi32(right, 2)));
  }
}

}  // namespace

void winograd_input(const std::uint8_t* const* pixels, std::int64_t channels, std::int16_t* v,
                    std::int64_t plane) noexcept {
  for (std::int64_t c = 0; c < channels; c += 16, v += 16) {
    // The last channels are read together with those in front of them.
    const std::int64_t over = channels - c < 16 ? 16 - (channels - c) : 0;
    const __m128i shuffle = bytes(to_front + over);
    __m256i half[4][4];
#pragma GCC unroll 1
    for (std::int64_t x = 0; x < 4; ++x) {
      __m256i d[4];
      NNQ_UNROLL
      for (std::int64_t y = 0; y < 4; ++y) {
        d[y] = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(bytes(pixels[y * 4 + x] + c - over), shuffle));
      }
      half[0][x] = less(d[0], d[2]);
      half[1][x] = add(d[1], d[2]);
      half[2][x] = less(d[2], d[1]);
      half[3][x] = less(d[1], d[3]);
    }
#pragma GCC unroll 1
    for (std::int64_t y = 0; y < 4; ++y) {
      std::int16_t* const to = v + y * 4 * plane;
      store(to, less(half[y][0], half[y][2]));
      store(to + plane, add(half[y][1], half[y][2]));
      store(to + 2 * plane, less(half[y][2], half[y][1]));
      store(to + 3 * plane, less(half[y][1], half[y][3]));
    }
  }
}

void winograd_products(const WinogradCall& call) noexcept {
  const std::int64_t rows = winograd_rows(call.tiles), plane = winograd_plane(call.tiles, call.channels),
                     depth = (call.channels + 15) / 16 * 16, pairs = (call.channels + 1) / 2,
                     fives = (rows + 5) / 6 * 6 - rows, sixes = (rows - fives * 5) / 6;
  std::byte* const u = call.room;
  auto* const m = reinterpret_cast<std::int32_t*>(call.room + 16 * (winograd_pairs * 64 + 64));
  for (std::int64_t k = 0; k < pairs; k += winograd_pairs) {
    const std::int64_t count = pairs - k < winograd_pairs ? pairs - k : winograd_pairs;
    transform_weights(call, k, count, u);
    // What is multiplied next, the next panel's first pairs after the last, comes from far away: ask for it now.
    const std::uint8_t* next = call.weights + (k + count) * winograd_pair;
    for (std::int64_t p = 0; p < 16; ++p) {
#pragma GCC unroll 1
      for (std::int64_t i = 0; i < 18; ++i, next += 64) _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
      const std::int16_t* v = call.v + p * plane + 2 * k;
      const std::byte* const panel = u + p * (winograd_pairs * 64 + 64);
      std::int32_t* to = m + p * 16;
      for (std::int64_t g = 0; g < sixes; ++g, v += 6 * depth, to += 6 * tile_sums)
        multiply<6>(v, depth, panel, count, to, k > 0);
      for (std::int64_t g = 0; g < fives; ++g, v += 5 * depth, to += 5 * tile_sums)
        multiply<5>(v, depth, panel, count, to, k > 0);
    }
  }
  for (std::int64_t t = 0; t < call.tiles; ++t) {
    std::int32_t *const first = call.sums + 2 * t * call.stride, *const second = first + 2 * call.tiles * call.stride;
#pragma GCC unroll 1
    for (std::int64_t h = 0; h < 2; ++h)
      put_sums(m + t * tile_sums + h * 8, call.starts + 4 * t, call.column + h * 8, first, second, call.stride);
  }
}

}  // namespace nnq::avx2
