// One step of a product of pairs, for AVX2 kernels only. Assembly: g++ hoists the broadcasts of all rows above the
// products and spills.
#pragma once

#include <immintrin.h>

namespace nnq::avx2 {

/// s[h] += the two products of each of 8 outputs: the two 16-bit numbers at `a` and two 16-bit weights an output.
inline void add_wide_pair(const void* a, __m256i w0, __m256i w1, __m256i& s0, __m256i& s1) {
  __m256i x, t;
  asm volatile(
      "vpbroadcastd %[a], %[x]\n\t"
      "vpmaddwd %[w0], %[x], %[t]\n\t"
      "vpmaddwd %[w1], %[x], %[x]\n\t"
      "vpaddd %[t], %[s0], %[s0]\n\t"
      "vpaddd %[x], %[s1], %[s1]"
      : [s0] "+x"(s0), [s1] "+x"(s1), [x] "=&x"(x), [t] "=&x"(t)
      : [a] "m"(*static_cast<const char(*)[4]>(a)), [w0] "x"(w0), [w1] "x"(w1));
}

/// s[h] += both pairs of products of each of 8 outputs, in 16 bits: the four bytes at `a` and four signed weights an
/// output. Nothing may leave 16 bits.
inline void add_narrow_pairs(const void* a, __m256i w0, __m256i w1, __m256i& s0, __m256i& s1) {
  __m256i x, t;
  asm volatile(
      "vpbroadcastd %[a], %[x]\n\t"
      "vpmaddubsw %[w0], %[x], %[t]\n\t"
      "vpmaddubsw %[w1], %[x], %[x]\n\t"
      "vpaddw %[t], %[s0], %[s0]\n\t"
      "vpaddw %[x], %[s1], %[s1]"
      : [s0] "+x"(s0), [s1] "+x"(s1), [x] "=&x"(x), [t] "=&x"(t)
      : [a] "m"(*static_cast<const char(*)[4]>(a)), [w0] "x"(w0), [w1] "x"(w1));
}

}  // namespace nnq::avx2
