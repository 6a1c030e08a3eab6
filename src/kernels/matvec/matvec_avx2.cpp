// AVX2: two outputs a vector, inputs broadcast to both halves. 1 to 4 bits: vpmaddubsw of codes with signed inputs,
// summed in 16 bits for as many blocks as surely fit, then widened. 8 bits: vpmaddwd of widened bytes (a pair of 8-bit
// products does not fit 16 bits).
#include <immintrin.h>

#include <algorithm>

#include "kernels/matvec/matvec.h"

namespace nnq::avx2 {
namespace {

constexpr std::int64_t word_bytes = matvec_panel * 16;

inline __m256i load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
inline __m256i broadcast(const std::int8_t* p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// Codes of one group from an output pair's words, one a byte.
template <int Bits>
inline __m256i codes(const __m256i* words, int group) {
  if constexpr (Bits != 3) {
    return _mm256_and_si256(_mm256_srli_epi16(words[0], group * Bits), _mm256_set1_epi8((1 << Bits) - 1));
  } else {
    if (group < 6) return _mm256_and_si256(_mm256_srli_epi16(words[group / 2], group % 2 * 3), _mm256_set1_epi8(7));
    const __m256i low = _mm256_and_si256(_mm256_srli_epi16(words[group - 6], 6), _mm256_set1_epi8(3)),
                  high = _mm256_and_si256(_mm256_srli_epi16(words[2], group - 2), _mm256_set1_epi8(4));
    return _mm256_or_si256(low, high);
  }
}

/// Blocks whose pairs of products surely fit 16 bits when added up.
template <int Bits>
constexpr std::int64_t run_of_blocks() {
  return 32767 / (matvec_block(Bits).inputs / 16 * 2 * 128 * ((1 << Bits) - 1));
}

/// Four outputs' sums from lanes (0 | 1) and (2 | 3).
inline void store_sums(__m256i first, __m256i second, std::int32_t* sums) {
  const __m256i pairs = _mm256_hadd_epi32(first, second), all = _mm256_hadd_epi32(pairs, pairs);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(sums),
                   _mm_unpacklo_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
}

/// One block of Panels panels against Batch rows. Inputs are loaded once for all outputs.
template <int Bits, int Batch, int Panels>
inline void add_block(const MatvecCall& call, const std::uint8_t* w, const std::int8_t* a,
                      __m256i (&sum)[Batch][2 * Panels]) {
  constexpr MatvecBlock block = matvec_block(Bits);
  const std::int64_t next_panel = call.blocks * block.words * word_bytes;
  __m256i words[2 * Panels][block.words];
#pragma GCC unroll 4
  for (int h = 0; h < 2 * Panels; ++h) {
#pragma GCC unroll 3
    for (int i = 0; i < block.words; ++i) words[h][i] = load(w + h / 2 * next_panel + i * word_bytes + h % 2 * 32);
  }
#pragma GCC unroll 8
  for (int g = 0; g < static_cast<int>(block.inputs / 16); ++g) {
    __m256i x[Batch];
#pragma GCC unroll 4
    for (int r = 0; r < Batch; ++r) x[r] = broadcast(a + r * call.input_stride + g * 16);
#pragma GCC unroll 4
    for (int h = 0; h < 2 * Panels; ++h) {
      const __m256i c = codes<Bits>(words[h], g);
#pragma GCC unroll 4
      for (int r = 0; r < Batch; ++r) sum[r][h] = _mm256_add_epi16(sum[r][h], _mm256_maddubs_epi16(c, x[r]));
    }
  }
}

/// Panels of a matrix that one row of inputs goes through at a time: as many sums as registers hold.
template <int Bits>
constexpr int most_panels = Bits == 3 ? 1 : 2;

/// Asks for what `Panels` panels in step read 2 KB later, where the next panels begin behind the end of these: the
/// hardware loses two streams at each jump. Shorter panels gained nothing (measured: 4096 x 1024).
template <int Panels>
inline void fetch_ahead(const std::uint8_t* w, std::int64_t left, std::int64_t count, std::int64_t panel_bytes) {
  constexpr std::int64_t ahead = 2048, least_panel = 4096;
  if (panel_bytes < least_panel) return;
  for (std::int64_t i = ahead; i < ahead + count; i += 64) {
    const std::uint8_t* const from = w + i + (i >= left ? (Panels - 1) * panel_bytes : 0);
    for (int p = 0; p < Panels; ++p) _mm_prefetch(reinterpret_cast<const char*>(from + p * panel_bytes), _MM_HINT_T0);
  }
}

template <int Bits, int Batch, int Panels>
inline void tile(const MatvecCall& call, std::int64_t panel, std::int64_t row) {
  constexpr MatvecBlock block = matvec_block(Bits);
  constexpr std::int64_t run = run_of_blocks<Bits>(), step = block.words * word_bytes;
  const std::uint8_t* w = call.panels + panel * call.blocks * step;
  const std::int8_t* a = call.inputs + row * call.input_stride;
  __m256i wide[Batch][2 * Panels];
  for (auto& of_row : wide)
    for (__m256i& s : of_row) s = _mm256_setzero_si256();
  for (std::int64_t first = 0; first < call.blocks; first += run) {
    __m256i sum[Batch][2 * Panels];
    for (auto& of_row : sum)
      for (__m256i& s : of_row) s = _mm256_setzero_si256();
    if constexpr (Batch == 1 && Panels == most_panels<Bits>)
      fetch_ahead<Panels>(w, (call.blocks - first) * step, run * step, call.blocks * step);
    for (std::int64_t b = first; b < std::min(call.blocks, first + run); ++b, w += step, a += block.inputs)
      add_block<Bits, Batch, Panels>(call, w, a, sum);
    for (int r = 0; r < Batch; ++r) {
      for (int h = 0; h < 2 * Panels; ++h)
        wide[r][h] = _mm256_add_epi32(wide[r][h], _mm256_madd_epi16(sum[r][h], _mm256_set1_epi16(1)));
    }
  }
  for (int r = 0; r < Batch; ++r) {
    for (int p = 0; p < Panels; ++p)
      store_sums(wide[r][2 * p], wide[r][2 * p + 1], call.sums + (row + r) * call.stride + (panel + p) * matvec_panel);
  }
}

/// 8 bits: one output a vector of 16 products.
template <int Batch>
inline void tile8(const MatvecCall& call, std::int64_t panel, std::int64_t row) {
  const std::uint8_t* w = call.panels + panel * call.blocks * word_bytes;
  const std::int8_t* a = call.inputs + row * call.input_stride;
  __m256i sum[Batch][matvec_panel];
  for (auto& of_row : sum)
    for (__m256i& s : of_row) s = _mm256_setzero_si256();
  for (std::int64_t b = 0; b < call.blocks; ++b, w += word_bytes, a += 16) {
    __m256i x[Batch];
    for (int r = 0; r < Batch; ++r)
      x[r] = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + r * call.input_stride)));
    for (int o = 0; o < matvec_panel; ++o) {
      const __m256i c = _mm256_cvtepu8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(w + o * 16)));
      for (int r = 0; r < Batch; ++r) sum[r][o] = _mm256_add_epi32(sum[r][o], _mm256_madd_epi16(c, x[r]));
    }
  }
  for (int r = 0; r < Batch; ++r) {
    // Halves of an output's lanes are added up; what is left are lanes as store_sums wants them.
    const auto pair = [&](int i) {
      return _mm256_add_epi32(_mm256_permute2x128_si256(sum[r][i], sum[r][i + 1], 0x20),
                              _mm256_permute2x128_si256(sum[r][i], sum[r][i + 1], 0x31));
    };
    store_sums(pair(0), pair(2), call.sums + (row + r) * call.stride + panel * matvec_panel);
  }
}

/// Panels outside, rows inside: a panel is fetched once for the whole batch.
template <int Bits>
void all(const MatvecCall& call) {
  constexpr std::int64_t panels = most_panels<Bits>;
  std::int64_t p = 0;
  if constexpr (Bits != 8) {
    for (; call.batch == 1 && p + panels <= call.panel_count; p += panels) tile<Bits, 1, panels>(call, p, 0);
  }
  for (; p < call.panel_count; ++p) {
    std::int64_t row = 0;
    if constexpr (Bits == 8) {
      for (; row + 2 <= call.batch; row += 2) tile8<2>(call, p, row);
      if (row < call.batch) tile8<1>(call, p, row);
    } else {
      for (; row + 3 <= call.batch; row += 3) tile<Bits, 3, 1>(call, p, row);
      for (; row + 2 <= call.batch; row += 2) tile<Bits, 2, 1>(call, p, row);
      if (row < call.batch) tile<Bits, 1, 1>(call, p, row);
    }
  }
}

}  // namespace

void matvec(const MatvecCall& call) noexcept {
  with_bits(call.bits, [&call]<int Bits>() { all<Bits>(call); });
}

}  // namespace nnq::avx2
