// AVX-512 rows: VNNI for 8 bits, VPOPCNTDQ for one. Tiles of 8 rows x 2 panels: 16 accumulators, one broadcast load a
// row and step.
#include <immintrin.h>

#include "kernels/gemm/gemm.h"
#include "kernels/unrolled.h"

namespace nnq::avx512 {
namespace {

inline std::int32_t load_word(const std::uint8_t* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, 4);
  return word;
}

template <int Rows, int Panels>
inline void int8_tile(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panel, std::int64_t k4,
                      std::int32_t* sums, std::int64_t stride) {
  __m512i sum[Rows][Panels];
  unrolled<Rows>([&](int r) { unrolled<Panels>([&](int p) { sum[r][p] = _mm512_setzero_si512(); }); });
  for (std::int64_t k = 0; k < k4; ++k) {
    __m512i w[Panels];
    unrolled<Panels>([&](int p) { w[p] = _mm512_loadu_si512(panel + (p * k4 + k) * 64); });
    unrolled<Rows>([&](int r) {
      const __m512i x = _mm512_set1_epi32(load_word(a + static_cast<std::size_t>(r) * row_bytes + 4 * k));
      unrolled<Panels>([&](int p) { sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], x, w[p]); });
    });
  }
  unrolled<Rows>(
      [&](int r) { unrolled<Panels>([&](int p) { _mm512_storeu_si512(sums + r * stride + p * 16, sum[r][p]); }); });
}

template <int Rows, int Panels>
inline void binary_tile(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panel, std::int64_t k32,
                        std::int32_t* out, std::int64_t stride) {
  __m512i count[Rows][Panels];
  unrolled<Rows>([&](int r) { unrolled<Panels>([&](int p) { count[r][p] = _mm512_setzero_si512(); }); });
  for (std::int64_t k = 0; k < k32; ++k) {
    __m512i w[Panels];
    unrolled<Panels>([&](int p) { w[p] = _mm512_loadu_si512(panel + (p * k32 + k) * 16); });
    unrolled<Rows>([&](int r) {
      const __m512i x =
          _mm512_set1_epi32(static_cast<int>(a[static_cast<std::size_t>(r) * row_words + static_cast<std::size_t>(k)]));
      unrolled<Panels>(
          [&](int p) { count[r][p] = _mm512_add_epi32(count[r][p], _mm512_popcnt_epi32(_mm512_xor_si512(x, w[p]))); });
    });
  }
  unrolled<Rows>(
      [&](int r) { unrolled<Panels>([&](int p) { _mm512_storeu_si512(out + r * stride + p * 16, count[r][p]); }); });
}

template <int Outputs>
inline void float_tile(const float* w, std::int64_t k, const float* panel, const float* bias, float* c,
                       std::int64_t stride) {
  __m512 sum[Outputs];
  for (int o = 0; o < Outputs; ++o) sum[o] = _mm512_set1_ps(bias != nullptr ? bias[o] : 0.0f);
  for (std::int64_t i = 0; i < k; ++i) {
    const __m512 x = _mm512_loadu_ps(panel + i * 16);
    for (int o = 0; o < Outputs; ++o) sum[o] = _mm512_fmadd_ps(_mm512_set1_ps(w[o * k + i]), x, sum[o]);
  }
  for (int o = 0; o < Outputs; ++o) _mm512_storeu_ps(c + o * stride, sum[o]);
}

template <int Panels>
void int8_panels(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panel, std::int64_t rows,
                 std::int64_t k4, std::int32_t* sums, std::int64_t stride) {
  std::int64_t r = 0;
  for (; r + 8 <= rows; r += 8)
    int8_tile<8, Panels>(a + static_cast<std::size_t>(r) * row_bytes, row_bytes, panel, k4, sums + r * stride, stride);
  for (; r + 4 <= rows; r += 4)
    int8_tile<4, Panels>(a + static_cast<std::size_t>(r) * row_bytes, row_bytes, panel, k4, sums + r * stride, stride);
  for (; r < rows; ++r)
    int8_tile<1, Panels>(a + static_cast<std::size_t>(r) * row_bytes, row_bytes, panel, k4, sums + r * stride, stride);
}

template <int Panels>
void binary_panels(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panel, std::int64_t rows,
                   std::int64_t k32, std::int32_t* out, std::int64_t stride) {
  std::int64_t r = 0;
  for (; r + 8 <= rows; r += 8)
    binary_tile<8, Panels>(a + static_cast<std::size_t>(r) * row_words, row_words, panel, k32, out + r * stride,
                           stride);
  for (; r + 4 <= rows; r += 4)
    binary_tile<4, Panels>(a + static_cast<std::size_t>(r) * row_words, row_words, panel, k32, out + r * stride,
                           stride);
  for (; r < rows; ++r)
    binary_tile<1, Panels>(a + static_cast<std::size_t>(r) * row_words, row_words, panel, k32, out + r * stride,
                           stride);
}

}  // namespace

void gemm_int8(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panels, std::int64_t rows,
               std::int64_t k4, std::int64_t panel_count, std::int32_t* sums, std::int64_t stride) noexcept {
  std::int64_t p = 0;
  for (; p + 2 <= panel_count; p += 2)
    int8_panels<2>(a, row_bytes, panels + p * k4 * 64, rows, k4, sums + p * 16, stride);
  if (p < panel_count) int8_panels<1>(a, row_bytes, panels + p * k4 * 64, rows, k4, sums + p * 16, stride);
}

void gemm_binary(const std::uint32_t* a, std::size_t row_words, const std::uint32_t* panels, std::int64_t rows,
                 std::int64_t k32, std::int64_t panel_count, std::int32_t* mismatches, std::int64_t stride) noexcept {
  std::int64_t p = 0;
  for (; p + 2 <= panel_count; p += 2)
    binary_panels<2>(a, row_words, panels + p * k32 * 16, rows, k32, mismatches + p * 16, stride);
  if (p < panel_count) binary_panels<1>(a, row_words, panels + p * k32 * 16, rows, k32, mismatches + p * 16, stride);
}

void gemm_float(const float* w, std::int64_t outputs, std::int64_t k, const float* panel, const float* bias, float* c,
                std::int64_t stride) noexcept {
  std::int64_t o = 0;
  for (; o + 16 <= outputs; o += 16)
    float_tile<16>(w + o * k, k, panel, bias != nullptr ? bias + o : nullptr, c + o * stride, stride);
  for (; o + 4 <= outputs; o += 4)
    float_tile<4>(w + o * k, k, panel, bias != nullptr ? bias + o : nullptr, c + o * stride, stride);
  for (; o < outputs; ++o)
    float_tile<1>(w + o * k, k, panel, bias != nullptr ? bias + o : nullptr, c + o * stride, stride);
}

}  // namespace nnq::avx512
