// Stands before the compiler's <immintrin.h> where the *_avx512.cpp files are compiled for test_kernels_emulated: SIMDe
// (Debian: libsimde-dev) computes every intrinsic in portable C++, so AVX-512 kernels are tested on any machine. The
// few that SIMDe 0.7.4 lacks follow, from Intel's description.
#pragma once
#pragma GCC system_header

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <cstdint>
#include <cstring>

using __mmask16 = simde__mmask16;

inline simde__m512i nnq_emulated_maskz_loadu_epi32(__mmask16 lanes, const void* from) {
  std::int32_t value[16] = {};
  for (int i = 0; i < 16; ++i) {
    if ((lanes >> i & 1) != 0) std::memcpy(&value[i], static_cast<const char*>(from) + 4 * i, 4);
  }
  return simde_mm512_loadu_si512(value);
}

inline simde__m512i nnq_emulated_maskz_cvtepu8_epi32(__mmask16 lanes, simde__m128i bytes) {
  std::uint8_t from[16];
  std::int32_t value[16];
  std::memcpy(from, &bytes, 16);
  for (int i = 0; i < 16; ++i) value[i] = (lanes >> i & 1) != 0 ? from[i] : 0;
  return simde_mm512_loadu_si512(value);
}

inline simde__m512i nnq_emulated_cvtepu16_epi32(simde__m256i words) {
  std::uint16_t from[16];
  std::int32_t value[16];
  std::memcpy(from, &words, 32);
  for (int i = 0; i < 16; ++i) value[i] = from[i];
  return simde_mm512_loadu_si512(value);
}

inline void nnq_emulated_mask_cvtepi32_storeu_epi8(void* to, __mmask16 lanes, simde__m512i values) {
  std::int32_t from[16];
  std::memcpy(from, &values, 64);
  for (int i = 0; i < 16; ++i) {
    if ((lanes >> i & 1) != 0) static_cast<std::uint8_t*>(to)[i] = static_cast<std::uint8_t>(from[i]);
  }
}

inline __mmask16 nnq_emulated_test_epi8_mask(simde__m128i a, simde__m128i b) {
  std::uint8_t x[16], y[16];
  std::memcpy(x, &a, 16);
  std::memcpy(y, &b, 16);
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (x[i] & y[i]) != 0 ? 1u << i : 0u;
  return static_cast<__mmask16>(mask);
}

inline simde__m256i nnq_emulated_maskz_cvtepi64_epi32(unsigned char lanes, simde__m512i values) {
  std::int64_t from[8];
  std::int32_t value[8];
  std::memcpy(from, &values, 64);
  for (int i = 0; i < 8; ++i) value[i] = (lanes >> i & 1) != 0 ? static_cast<std::int32_t>(from[i]) : 0;
  return simde_mm256_loadu_si256(reinterpret_cast<const simde__m256i*>(value));
}

#define _mm512_maskz_cvtepi64_epi32 nnq_emulated_maskz_cvtepi64_epi32
#define _mm512_cvtepu16_epi32 nnq_emulated_cvtepu16_epi32
#define _mm512_maskz_loadu_epi32 nnq_emulated_maskz_loadu_epi32
#define _mm512_maskz_cvtepu8_epi32 nnq_emulated_maskz_cvtepu8_epi32
#define _mm512_mask_cvtepi32_storeu_epi8 nnq_emulated_mask_cvtepi32_storeu_epi8
#define _mm_test_epi8_mask nnq_emulated_test_epi8_mask
