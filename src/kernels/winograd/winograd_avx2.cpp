// AVX2, codes and weights of 8 bits: products by vpmaddwd, pairs of channels, tiles of 6 (or 5) rows x 16 outputs.
#include "kernels/pair_products_avx2.h"
#include "kernels/winograd/winograd_sums_avx2.h"

namespace nnq::avx2 {
namespace {

constexpr WinogradForm wide{2};

/// m[Rows][16 of a tile's] = or, from the second time on, += V's rows times `pairs` pairs of U.
template <int Rows>
[[gnu::noinline]] void multiply(const std::byte* v, std::int64_t depth, const std::byte* u, std::int64_t pairs,
                                std::int32_t* m, bool more) {
  __m256i sum[Rows][2];
  NNQ_UNROLL
  for (std::int64_t r = 0; r < Rows; ++r) {
    NNQ_UNROLL
    for (std::int64_t h = 0; h < 2; ++h) sum[r][h] = more ? load(m + r * tile_sums + h * 8) : _mm256_setzero_si256();
  }
  for (const std::byte* const end = v + 4 * pairs; v != end; v += 4, u += 64) {
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

}  // namespace

void winograd_input(const std::uint8_t* const* pixels, std::int64_t channels, int, std::byte* v,
                    std::int64_t plane) noexcept {
  for (std::int64_t c = 0; c < channels; c += 16, v += 32) {
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
      half[0][x] = Words::less(d[0], d[2]);
      half[1][x] = Words::add(d[1], d[2]);
      half[2][x] = Words::less(d[2], d[1]);
      half[3][x] = Words::less(d[1], d[3]);
    }
#pragma GCC unroll 1
    for (std::int64_t y = 0; y < 4; ++y) {
      std::byte* const to = v + y * 4 * plane;
      store(to, Words::less(half[y][0], half[y][2]));
      store(to + plane, Words::add(half[y][1], half[y][2]));
      store(to + 2 * plane, Words::less(half[y][2], half[y][1]));
      store(to + 3 * plane, Words::less(half[y][1], half[y][3]));
    }
  }
}

void winograd_products(const WinogradCall& call) noexcept {
  transform_weights<Words>(call.weights, call.steps, call.room);
  each_group(call, wide, [&]<int Rows>(auto* v, std::int64_t depth, auto* u, std::int32_t* m) {
    multiply<Rows>(v, depth, u, call.steps, m, call.first > 0);
  });
  if (is_last(call, wide)) put_all_sums(call, nullptr);
}

}  // namespace nnq::avx2
