// The innermost loops of lookup_pairs_avx2.cpp. Only for files compiled for AVX2.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/direct/lookup_avx2.h"

namespace nnq::avx2 {
namespace {

/// Sums of 32 columns of two rows since they were last widened. low: the first row's, in bytes. high: words v >> 4 of
/// all v = first + 16 * second, modulo 2^16, in which the odd columns' first rows are still in the way.
struct alignas(32) Pair {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
};

/// Sums of rounds of three lookups of two pairs of rows in two panels. Assembly, as g++ 12 keeps the sums of such loops
/// in memory. rounds: 1 and more.
inline void look_up(const std::uint8_t* tables, const std::uint16_t* index0, const std::uint16_t* index1,
                    std::int64_t rounds, const std::uint8_t* w0, const std::uint8_t* w1, Pair (&sums)[2][2]) {
// Two panels' weights; a table; what it holds for both panels; the same added; the ends of a round.
#define NNQ_WEIGHTS(at) "vmovdqu " at "(%[w0]), %%ymm12\n\tvmovdqu " at "(%[w1]), %%ymm13\n\t"
#define NNQ_TABLE(index, at) "movzwl " at "(%[" index "]), %k[i]\n\tvbroadcasti128 (%[tables],%[i]), %%ymm14\n\t"
#define NNQ_LOOK_UP(v0, v1) "vpshufb %%ymm12, %%ymm14, " v0 "\n\tvpshufb %%ymm13, %%ymm14, " v1 "\n\t"
#define NNQ_ADD(v0, v1) \
  NNQ_LOOK_UP("%%ymm15", "%%ymm14") "vpaddb %%ymm15, " v0 ", " v0 "\n\tvpaddb %%ymm14, " v1 ", " v1 "\n\t"
#define NNQ_PART(v, low, high)                                                                                \
  "vpand %%ymm12, " v ", %%ymm15\n\tvpsrlw $4, " v ", " v "\n\tvpaddb %%ymm15, " low ", " low "\n\tvpaddw " v \
  ", " high ", " high "\n\t"
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  std::uint64_t i;
  asm volatile(
      "vpxor %%xmm0, %%xmm0, %%xmm0\n\tvpxor %%xmm1, %%xmm1, %%xmm1\n\t"
      "vpxor %%xmm2, %%xmm2, %%xmm2\n\tvpxor %%xmm3, %%xmm3, %%xmm3\n\t"
      "vpxor %%xmm4, %%xmm4, %%xmm4\n\tvpxor %%xmm5, %%xmm5, %%xmm5\n\t"
      "vpxor %%xmm6, %%xmm6, %%xmm6\n\tvpxor %%xmm7, %%xmm7, %%xmm7\n\t"
      ".p2align 6\n"
      "1:\n\t"
      NNQ_WEIGHTS("0")
      NNQ_TABLE("index0", "0") NNQ_LOOK_UP("%%ymm8", "%%ymm9")
      NNQ_TABLE("index1", "0") NNQ_LOOK_UP("%%ymm10", "%%ymm11")
      NNQ_WEIGHTS("32")
      NNQ_TABLE("index0", "2") NNQ_ADD("%%ymm8", "%%ymm9")
      NNQ_TABLE("index1", "2") NNQ_ADD("%%ymm10", "%%ymm11")
      NNQ_WEIGHTS("64")
      NNQ_TABLE("index0", "4") NNQ_ADD("%%ymm8", "%%ymm9")
      NNQ_TABLE("index1", "4") NNQ_ADD("%%ymm10", "%%ymm11")
      "vmovdqa %[low_nibbles], %%ymm12\n\t"
      NNQ_PART("%%ymm8", "%%ymm0", "%%ymm1") NNQ_PART("%%ymm9", "%%ymm2", "%%ymm3")
      NNQ_PART("%%ymm10", "%%ymm4", "%%ymm5") NNQ_PART("%%ymm11", "%%ymm6", "%%ymm7")
      "add $6, %[index0]\n\tadd $6, %[index1]\n\tadd $96, %[w0]\n\tadd $96, %[w1]\n\t"
      "dec %[rounds]\n\t"
      "jnz 1b\n\t"
      "vmovdqa %%ymm0, (%[sums])\n\tvmovdqa %%ymm1, 32(%[sums])\n\tvmovdqa %%ymm2, 64(%[sums])\n\t"
      "vmovdqa %%ymm3, 96(%[sums])\n\tvmovdqa %%ymm4, 128(%[sums])\n\tvmovdqa %%ymm5, 160(%[sums])\n\t"
      "vmovdqa %%ymm6, 192(%[sums])\n\tvmovdqa %%ymm7, 224(%[sums])"
      : [i] "=&r"(i), [index0] "+&r"(index0), [index1] "+&r"(index1), [rounds] "+&r"(rounds), [w0] "+&r"(w0), [w1] "+&r"(w1)
      : [tables] "r"(tables), [low_nibbles] "m"(low_nibbles), [sums] "r"(&sums[0][0])
      : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#undef NNQ_PART
#undef NNQ_ADD
#undef NNQ_LOOK_UP
#undef NNQ_TABLE
#undef NNQ_WEIGHTS
}

/// The same of one pair in one panel, added to what is there.
inline void look_up(const std::uint8_t* tables, const std::uint16_t* index, std::int64_t rounds, const std::uint8_t* w,
                    Pair& sums) {
  __m256i v, x;
  std::uint64_t i;
  asm volatile(
      ".p2align 6\n"
      "1:\n\t"
      "movzwl (%[index]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %[x]\n\t"
      "vpshufb (%[w]), %[x], %[v]\n\t"
      "movzwl 2(%[index]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %[x]\n\t"
      "vpshufb 32(%[w]), %[x], %[x]\n\t"
      "vpaddb %[x], %[v], %[v]\n\t"
      "movzwl 4(%[index]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %[x]\n\t"
      "vpshufb 64(%[w]), %[x], %[x]\n\t"
      "vpaddb %[x], %[v], %[v]\n\t"
      "vpand %[low_nibbles], %[v], %[x]\n\t"
      "vpsrlw $4, %[v], %[v]\n\t"
      "vpaddb %[x], %[low], %[low]\n\t"
      "vpaddw %[v], %[high], %[high]\n\t"
      "add $6, %[index]\n\t"
      "add $96, %[w]\n\t"
      "dec %[rounds]\n\t"
      "jnz 1b"
      : [low] "+&x"(sums.low), [high] "+&x"(sums.high), [v] "=&x"(v), [x] "=&x"(x), [i] "=&r"(i), [index] "+&r"(index),
        [rounds] "+&r"(rounds), [w] "+&r"(w)
      : [tables] "r"(tables), [low_nibbles] "x"(_mm256_set1_epi8(15))
      : "memory", "cc");
}

/// One lookup in one panel.
inline void look_up_one(const std::uint8_t* table, const std::uint8_t* w, Pair& sums) {
  const __m256i all = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table))),
                v = _mm256_shuffle_epi8(all, load(w));
  sums.low = _mm256_add_epi8(sums.low, _mm256_and_si256(v, _mm256_set1_epi8(15)));
  sums.high = _mm256_add_epi16(sums.high, _mm256_srli_epi16(v, 4));
}

inline void widen(const Pair& sums, Words& first, Words& second) {
  const __m256i odd = _mm256_srli_epi16(sums.low, 8), high = _mm256_sub_epi16(sums.high, _mm256_slli_epi16(odd, 4));
  first.add(sums.low, odd);
  second.add(high, _mm256_srli_epi16(high, 8));
}

}  // namespace
}  // namespace nnq::avx2
