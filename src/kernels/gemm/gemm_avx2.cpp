// AVX2 rows. Eight-bit products go through 16-bit multiply-add on widened values: vpmaddubsw would saturate.
#include <immintrin.h>

#include <algorithm>
#include <type_traits>

#include "kernels/gemm/gemm.h"
#include "kernels/unrolled.h"

namespace nnq::avx2 {
namespace {

inline std::int32_t load_word(const std::uint8_t* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, 4);
  return word;
}

/// Weights of 8 channels x 4 k as two vectors of 16-bit pairs: (k0, k1) and (k2, k3) of each channel in its 32-bit
/// lane.
inline void widen(const std::int8_t* w, __m256i& first, __m256i& second) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
  // Even and odd 16-bit halves of each channel's 4 bytes, sign-extended in place.
  const __m256i low =
      _mm256_shuffle_epi8(bytes, _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1,
                                                  1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
  const __m256i high =
      _mm256_shuffle_epi8(bytes, _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1, 2, -1,
                                                  3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15));
  first = _mm256_srai_epi16(low, 8);
  second = _mm256_srai_epi16(high, 8);
}

template <int Rows>
inline void int8_tile(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panel, std::int64_t k4,
                      std::int32_t* sums, std::int64_t stride) {
  __m256i sum[Rows][2];
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  for (std::int64_t k = 0; k < k4; ++k) {
    __m256i w[2][2];
    for (int h = 0; h < 2; ++h) widen(panel + k * 64 + h * 32, w[h][0], w[h][1]);
    for (int r = 0; r < Rows; ++r) {
      const __m128i x =
          _mm_cvtepu8_epi16(_mm_cvtsi32_si128(load_word(a + static_cast<std::size_t>(r) * row_bytes + 4 * k)));
      const __m256i x01 = _mm256_broadcastd_epi32(x), x23 = _mm256_broadcastd_epi32(_mm_srli_si128(x, 4));
      for (int h = 0; h < 2; ++h) {
        sum[r][h] = _mm256_add_epi32(
            sum[r][h], _mm256_add_epi32(_mm256_madd_epi16(x01, w[h][0]), _mm256_madd_epi16(x23, w[h][1])));
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int h = 0; h < 2; ++h) _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * stride + h * 8), sum[r][h]);
  }
}

/// Bits set in each byte.
inline __m256i popcount_bytes(__m256i v) {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                          2, 3, 2, 3, 3, 4),
                mask = _mm256_set1_epi8(15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(v, mask)),
                         _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), mask)));
}

template <int Rows>
inline void binary_tile(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panel, std::int64_t k32,
                        std::int32_t* out, std::int64_t stride) {
  constexpr std::int64_t fits = 31;  // words whose bits surely fit a byte: 31 * 8 = 248
  __m256i count[Rows][2];
  for (int r = 0; r < Rows; ++r) count[r][0] = count[r][1] = _mm256_setzero_si256();
  for (std::int64_t first = 0; first < k32; first += fits) {
    __m256i bytes[Rows][2];
    for (int r = 0; r < Rows; ++r) bytes[r][0] = bytes[r][1] = _mm256_setzero_si256();
    for (std::int64_t k = first; k < k32 && k < first + fits; ++k) {
      const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + k * 16)),
                    w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + k * 16 + 8));
      for (int r = 0; r < Rows; ++r) {
        const __m256i x = _mm256_set1_epi32(
            static_cast<int>(a[static_cast<std::size_t>(r) * row_words + static_cast<std::size_t>(k)]));
        bytes[r][0] = _mm256_add_epi8(bytes[r][0], popcount_bytes(_mm256_xor_si256(x, w0)));
        bytes[r][1] = _mm256_add_epi8(bytes[r][1], popcount_bytes(_mm256_xor_si256(x, w1)));
      }
    }
    for (int r = 0; r < Rows; ++r) {
      for (int h = 0; h < 2; ++h) {
        const __m256i pairs = _mm256_maddubs_epi16(bytes[r][h], _mm256_set1_epi8(1));
        count[r][h] = _mm256_add_epi32(count[r][h], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int h = 0; h < 2; ++h) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + r * stride + h * 8), count[r][h]);
  }
}

/// So many of k at a time: a panel's then stay in the first-level cache while all outputs go over them.
constexpr std::int64_t float_block = 256;

/// `Outputs` outputs from `first` on, columns 0 to 8 * `Halves` of a panel.
template <int Outputs, int Halves>
inline void float_tile(const FloatCall& call, std::int64_t first, const float* panel, float* to) {
  const float* const w = call.w + first * call.row;
  float* const c = to + first * call.stride;
  __m256 sum[Outputs][Halves];
  unrolled<Outputs>([&](auto o) {
    unrolled<Halves>([&](auto h) {
      sum[o][h] = call.add ? _mm256_loadu_ps(c + o * call.stride + 8 * h)
                           : _mm256_set1_ps(call.bias != nullptr ? call.bias[first + o] : 0.0F);
    });
  });
  for (std::int64_t i = 0; i < call.k; ++i) {
    __m256 x[Halves];
    unrolled<Halves>([&](auto h) { x[h] = _mm256_loadu_ps(panel + i * 16 + 8 * h); });
    unrolled<Outputs>([&](auto o) {
      const __m256 v = _mm256_set1_ps(w[o * call.row + i]);
      unrolled<Halves>([&](auto h) { sum[o][h] = _mm256_fmadd_ps(v, x[h], sum[o][h]); });
    });
  }
  // Here and not sooner: all sixteen registers are taken in the loop, and compilers would fetch it ahead of that.
  __m256 least;
  __asm__ volatile("vbroadcastss %1, %0" : "=x"(least) : "m"(call.least));
  unrolled<Outputs>([&](auto o) {
    // The second operand where one is NaN.
    unrolled<Halves>([&](auto h) { _mm256_storeu_ps(c + o * call.stride + 8 * h, _mm256_max_ps(least, sum[o][h])); });
  });
}

/// All panels for some outputs: their weights are fetched once. Panels are `panel_size` floats apart.
template <int Outputs>
inline void float_panels(const FloatCall& call, std::int64_t panel_size, std::int64_t first) {
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    const float* const panel = call.panels + p * panel_size;
    if (p + 1 == call.panel_count && call.columns <= 8)
      float_tile<Outputs, 1>(call, first, panel, call.c + p * 16);
    else
      float_tile<Outputs, 2>(call, first, panel, call.c + p * 16);
  }
}

/// Products of floats are exact in double: a fused multiply-add rounds what a product and a sum round.
template <int Outputs>
inline void double_tile(const float* w, std::int64_t k, const float* panel, const float* bias, const double* last,
                        float* c, std::int64_t stride) {
  __m256d sum[Outputs][4];
  NNQ_UNROLL
  for (int o = 0; o < Outputs; ++o) {
    const __m256d start = _mm256_set1_pd(bias != nullptr ? static_cast<double>(bias[o]) : 0.0);
    NNQ_UNROLL
    for (int j = 0; j < 4; ++j) sum[o][j] = start;
  }
  for (std::int64_t i = 0; i < k; ++i) {
    __m256d v[Outputs];
    NNQ_UNROLL
    for (int o = 0; o < Outputs; ++o) v[o] = _mm256_cvtps_pd(_mm_set1_ps(w[o * k + i]));
    NNQ_UNROLL
    for (int j = 0; j < 4; ++j) {
      const __m256d x = _mm256_cvtps_pd(_mm_loadu_ps(panel + i * 16 + j * 4));
      NNQ_UNROLL
      for (int o = 0; o < Outputs; ++o) sum[o][j] = _mm256_fmadd_pd(v[o], x, sum[o][j]);
    }
  }
  NNQ_UNROLL
  for (int o = 0; o < Outputs; ++o) {
    NNQ_UNROLL
    for (int j = 0; j < 4; ++j) {
      const __m256d y = last != nullptr ? _mm256_add_pd(sum[o][j], _mm256_loadu_pd(last + j * 4)) : sum[o][j];
      _mm_storeu_ps(c + o * stride + j * 4, _mm256_cvtpd_ps(y));
    }
  }
}

}  // namespace

void gemm_int8(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panels, std::int64_t rows,
               std::int64_t k4, std::int64_t panel_count, std::int32_t* sums, std::int64_t stride) noexcept {
  for (std::int64_t p = 0; p < panel_count; ++p) {
    const std::int8_t* panel = panels + p * k4 * 64;
    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
      int8_tile<4>(a + static_cast<std::size_t>(r) * row_bytes, row_bytes, panel, k4, sums + r * stride + p * 16,
                   stride);
    for (; r < rows; ++r)
      int8_tile<1>(a + static_cast<std::size_t>(r) * row_bytes, row_bytes, panel, k4, sums + r * stride + p * 16,
                   stride);
  }
}

void gemm_binary(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panels, std::int64_t rows,
                 std::int64_t k32, std::int64_t panel_count, std::int32_t* mismatches, std::int64_t stride) noexcept {
  for (std::int64_t p = 0; p < panel_count; ++p) {
    const std::uint32_t* panel = panels + p * k32 * 16;
    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
      binary_tile<4>(a + static_cast<std::size_t>(r) * row_words, row_words, panel, k32,
                     mismatches + r * stride + p * 16, stride);
    for (; r < rows; ++r)
      binary_tile<1>(a + static_cast<std::size_t>(r) * row_words, row_words, panel, k32,
                     mismatches + r * stride + p * 16, stride);
  }
}

void gemm_float(const FloatCall& call) noexcept {
  FloatCall part = call;
  for (std::int64_t i = 0; i == 0 || i < call.k; i += float_block) {
    part.w = call.w + i;
    part.k = std::min(float_block, call.k - i);
    part.panels = call.panels + i * 16;
    part.add = call.add || i > 0;
    part.least = i + part.k == call.k ? call.least : no_least;
    std::int64_t o = 0;
    // Two sums an output: fewer than four outputs leave the multipliers waiting for sums.
    for (; o + 6 <= call.outputs; o += 6) float_panels<6>(part, call.k * 16, o);
    for (; o + 2 <= call.outputs; o += 2) float_panels<2>(part, call.k * 16, o);
    if (o < call.outputs) float_panels<1>(part, call.k * 16, o);
  }
}

void gemm_double(const float* w, std::int64_t outputs, std::int64_t k, const float* panel, const float* bias,
                 const double* last, float* c, std::int64_t stride) noexcept {
  std::int64_t o = 0;
  for (; o + 3 <= outputs; o += 3)
    double_tile<3>(w + o * k, k, panel, bias != nullptr ? bias + o : nullptr, last, c + o * stride, stride);
  for (; o < outputs; ++o)
    double_tile<1>(w + o * k, k, panel, bias != nullptr ? bias + o : nullptr, last, c + o * stride, stride);
}

}  // namespace nnq::avx2
