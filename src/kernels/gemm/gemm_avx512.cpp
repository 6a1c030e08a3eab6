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
inline void float_tile(const FloatCall& call, std::int64_t first, const float* panel, float* to) {
  const float* const w = call.w + first * call.row;
  float* const c = to + first * call.stride;
  __m512 sum[Outputs];
  for (int o = 0; o < Outputs; ++o)
    sum[o] = call.add ? _mm512_loadu_ps(c + o * call.stride)
                      : _mm512_set1_ps(call.bias != nullptr ? call.bias[first + o] : 0.0f);
  for (std::int64_t i = 0; i < call.k; ++i) {
    const __m512 x = _mm512_loadu_ps(panel + i * 16);
    for (int o = 0; o < Outputs; ++o) sum[o] = _mm512_fmadd_ps(_mm512_set1_ps(w[o * call.row + i]), x, sum[o]);
  }
  // The second operand where one is NaN. maskz: of the plain one g++ 12 warns, in its own header.
  const __m512 least = _mm512_set1_ps(call.least);
  for (int o = 0; o < Outputs; ++o) _mm512_storeu_ps(c + o * call.stride, _mm512_maskz_max_ps(0xffff, least, sum[o]));
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

void gemm_float(const FloatCall& call) noexcept {
  // Weights of a tile are fetched once for all panels.
  const auto tile = [&](auto outputs, std::int64_t o) {
    for (std::int64_t p = 0; p < call.panel_count; ++p)
      float_tile<outputs>(call, o, call.panels + p * call.k * 16, call.c + p * 16);
  };
  std::int64_t o = 0;
  for (; o + 16 <= call.outputs; o += 16) tile(std::integral_constant<int, 16>{}, o);
  for (; o + 4 <= call.outputs; o += 4) tile(std::integral_constant<int, 4>{}, o);
  for (; o < call.outputs; ++o) tile(std::integral_constant<int, 1>{}, o);
}

}  // namespace nnq::avx512
