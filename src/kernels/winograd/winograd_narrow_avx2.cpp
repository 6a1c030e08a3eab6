// AVX2, narrow codes and weights: products by vpmaddubsw, four channels a step, tiles of 6 (or 5) rows x 16 outputs.
#include "kernels/pair_products_avx2.h"
#include "kernels/winograd/winograd_sums_avx2.h"

namespace nnq::avx2 {
namespace {

constexpr WinogradForm narrow{4};

/// m[Rows][16 of a tile's] = or, from the second time on, += V's rows times `steps` steps of U.
template <int Rows>
[[gnu::noinline]] void multiply(const std::byte* v, std::int64_t depth, const std::byte* u, std::int64_t steps,
                                std::int64_t run, std::int32_t* m, bool more) {
  const std::byte* const end = v + 4 * steps;
  while (v != end) {
    const std::byte* const pause = end - v < 4 * run ? end : v + 4 * run;
    __m256i sum[Rows][2];
    NNQ_UNROLL
    for (std::int64_t r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    do {
      const __m256i w0 = load(u), w1 = load(u + 32);
      NNQ_UNROLL
      for (std::int64_t r = 0; r < Rows; ++r) add_narrow_pairs(v + r * depth, w0, w1, sum[r][0], sum[r][1]);
      v += 4, u += 64;
    } while (v != pause);
    const __m256i ones = _mm256_set1_epi16(1);
    NNQ_UNROLL
    for (std::int64_t r = 0; r < Rows; ++r) {
      NNQ_UNROLL
      for (std::int64_t h = 0; h < 2; ++h) {
        std::int32_t* const to = m + r * tile_sums + h * 8;
        const __m256i four = _mm256_madd_epi16(sum[r][h], ones);
        store(to, more ? _mm256_add_epi32(load(to), four) : four);
      }
    }
    more = true;
  }
}

/// Element p of a row of V for as many channels as a vector has bytes; d(i): their codes at position i of the tile.
template <class Vector, class Codes, class Put>
inline void transform(Codes&& d, Vector offset, Put&& put) {
  Vector half[4][4];
  NNQ_UNROLL
  for (std::int64_t x = 0; x < 4; ++x) {
    const Vector d0 = d(x), d1 = d(4 + x), d2 = d(8 + x), d3 = d(12 + x);
    half[0][x] = Bytes::less(d0, d2);
    half[1][x] = Bytes::add(d1, d2);
    half[2][x] = Bytes::less(d2, d1);
    half[3][x] = Bytes::less(d1, d3);
  }
  NNQ_UNROLL
  for (std::int64_t y = 0; y < 4; ++y) {
    const Vector sum = Bytes::add(half[y][1], half[y][2]);
    put(y * 4, Bytes::add(Bytes::less(half[y][0], half[y][2]), offset));
    put(y * 4 + 1, y == 1 ? sum : Bytes::add(sum, offset));
    put(y * 4 + 2, Bytes::add(Bytes::less(half[y][2], half[y][1]), offset));
    put(y * 4 + 3, Bytes::add(Bytes::less(half[y][1], half[y][3]), offset));
  }
}

}  // namespace

void winograd_narrow_input(const std::uint8_t* const* pixels, std::int64_t channels, int largest, std::byte* v,
                           std::int64_t plane) noexcept {
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(2 * largest));
  std::int64_t c = 0;
  for (; c + 32 <= channels; c += 32, v += 32)
    transform([&](std::int64_t i) { return load(pixels[i] + c); }, offset,
              [&](std::int64_t p, __m256i x) { store(v + p * plane, x); });
  for (; c < channels; c += 16, v += 16) {
    // The last channels are read together with those in front of them.
    const std::int64_t over = channels - c < 16 ? 16 - (channels - c) : 0;
    const __m128i shuffle = bytes(to_front + over);
    transform([&](std::int64_t i) { return _mm_shuffle_epi8(bytes(pixels[i] + c - over), shuffle); },
              _mm256_castsi256_si128(offset),
              [&](std::int64_t p, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(v + p * plane), x); });
  }
}

void winograd_narrow_products(const WinogradCall& call) noexcept {
  transform_weights<Bytes>(call.weights, call.steps, call.room);
  each_group(call, narrow, [&]<int Rows>(auto* v, std::int64_t depth, auto* u, std::int32_t* m) {
    multiply<Rows>(v, depth, u, call.steps, call.run, m, call.first > 0);
  });
  if (is_last(call, narrow)) put_all_sums(call, call.too_much);
}

}  // namespace nnq::avx2
