// AVX2 and FMA: four outputs at once, two chains of additions each, so that weights come in from four streams; the last
// inputs of a row by masked loads. Two vectors of inputs share a row's weights.
#include <immintrin.h>

#include <algorithm>

#include "kernels/real_matvec/real_matvec.h"

namespace nnq::avx2 {
namespace {

constexpr std::int64_t lanes = 8;

inline float total(__m256 v) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}

/// The first `count` lanes.
inline __m256i first_lanes(std::int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// Outputs o .. o + Rows - 1 of vectors b .. b + Batch - 1. Every output is summed in the same order whatever Rows and
/// Batch are.
template <int Rows, int Batch>
inline void tile(const RealMatvecCall& call, std::int64_t o, std::int64_t b) {
  const std::int64_t n = call.inputs;
  const float* const w = call.weights + o * n;
  const float* const x = call.x + b * n;
  __m256 sum[Rows][Batch][2];
  for (auto& row : sum)
    for (auto& chains : row) chains[0] = chains[1] = _mm256_setzero_ps();
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    // A line of each row of the next tile: rows are short, the hardware's streams end with them.
    for (int r = 0; r < Rows; ++r) _mm_prefetch(w + (Rows + r) * n + i, _MM_HINT_T0);
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
      __m256 in[Batch];
#pragma GCC unroll 2
      for (int v = 0; v < Batch; ++v) in[v] = _mm256_loadu_ps(x + v * n + i + c * lanes);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) {
        const __m256 weights = _mm256_loadu_ps(w + r * n + i + c * lanes);
#pragma GCC unroll 2
        for (int v = 0; v < Batch; ++v) sum[r][v][c] = _mm256_fmadd_ps(weights, in[v], sum[r][v][c]);
      }
    }
  }
  for (int c = 0; i < n; i += lanes, ++c) {
    const __m256i mask = first_lanes(std::min(lanes, n - i));
    for (int r = 0; r < Rows; ++r) {
      const __m256 weights = _mm256_maskload_ps(w + r * n + i, mask);
      for (int v = 0; v < Batch; ++v)
        sum[r][v][c] = _mm256_fmadd_ps(weights, _mm256_maskload_ps(x + v * n + i, mask), sum[r][v][c]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    const float bias = call.bias == nullptr ? 0.0F : call.bias[o + r];
    for (int v = 0; v < Batch; ++v)
      call.y[(b + v) * call.stride + o + r] = total(_mm256_add_ps(sum[r][v][0], sum[r][v][1])) + bias;
  }
}

template <int Rows>
inline void rows(const RealMatvecCall& call, std::int64_t o) {
  std::int64_t b = 0;
  if constexpr (Rows <= 2) {  // four outputs of two vectors would need more registers than there are
    for (; b + 2 <= call.batch; b += 2) tile<Rows, 2>(call, o, b);
  }
  for (; b < call.batch; ++b) tile<Rows, 1>(call, o, b);
}

}  // namespace

void real_matvec(const RealMatvecCall& call) noexcept {
  std::int64_t o = 0;
  if (call.batch == 1) {
    for (; o + 4 <= call.outputs; o += 4) rows<4>(call, o);
  }
  for (; o + 2 <= call.outputs; o += 2) rows<2>(call, o);
  for (; o < call.outputs; ++o) rows<1>(call, o);
}

}  // namespace nnq::avx2
