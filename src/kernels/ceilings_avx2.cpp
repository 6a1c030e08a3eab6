// Throughput loops of AVX2: independent accumulators, nothing else but the counter. Vectors are zeroed first: subnormal
// or NaN operands would change what is measured.
#include "kernels/ceilings.h"

#define NNQ_ZERO                                                                                              \
  "vpxor %%xmm12, %%xmm12, %%xmm12\n\tvpxor %%xmm13, %%xmm13, %%xmm13\n\tvpxor %%xmm14, %%xmm14, %%xmm14\n\t" \
  "vpxor %%xmm15, %%xmm15, %%xmm15\n\t"
#define NNQ_TIMES10(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#define NNQ_LOOP(BODY)                                                                                             \
  asm volatile(NNQ_ZERO "1:\n\t" BODY "dec %0\n\tjnz 1b"                                                           \
               : "+r"(count)                                                                                       \
               :                                                                                                   \
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
                 "xmm12", "xmm13", "xmm14", "xmm15", "cc")

namespace nnq::avx2 {

std::int64_t ceiling_float(std::int64_t count) noexcept {
  const std::int64_t operations = count * 10 * 8 * 2;
#define NNQ_STEP(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES10(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

std::int64_t ceiling_int8(std::int64_t count) noexcept {
  const std::int64_t operations = count * 10 * 16 * 2;
#define NNQ_STEP(i) "vpmaddwd %%ymm14, %%ymm15, %%ymm13\n\tvpaddd %%ymm13, %%ymm" #i ", %%ymm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES10(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

std::int64_t ceiling_narrow(std::int64_t count) noexcept {
  const std::int64_t operations = count * 10 * 32 * 2;
#define NNQ_STEP(i) "vpmaddubsw %%ymm14, %%ymm15, %%ymm13\n\tvpaddw %%ymm13, %%ymm" #i ", %%ymm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES10(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

std::int64_t ceiling_lookup(std::int64_t count) noexcept {
  const std::int64_t operations = count * 10 * 32 * 4 * 2;
#define NNQ_STEP(i) "vpshufb %%ymm14, %%ymm15, %%ymm13\n\tvpaddb %%ymm13, %%ymm" #i ", %%ymm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES10(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

std::int64_t ceiling_binary(std::int64_t count) noexcept {
  const std::int64_t operations = count * 10 * 256 * 2;
#define NNQ_STEP(i)                                                                                               \
  "vpxor %%ymm14, %%ymm" #i                                                                                       \
  ", %%ymm12\n\tvpsrlw $4, %%ymm12, %%ymm13\n\tvpand %%ymm15, %%ymm12, %%ymm12\n\tvpand %%ymm15, %%ymm13, "       \
  "%%ymm13\n\tvpshufb %%ymm12, %%ymm14, %%ymm12\n\tvpshufb %%ymm13, %%ymm14, %%ymm13\n\tvpaddb %%ymm12, %%ymm" #i \
  ", %%ymm" #i "\n\tvpaddb %%ymm13, %%ymm" #i ", %%ymm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES10(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

void ceiling_read(const void* from, std::int64_t bytes) noexcept {
  const void* const end = static_cast<const char*>(from) + bytes;
  asm volatile(
      "1:\n\t"
      "vmovdqa (%0), %%ymm0\n\tvmovdqa 32(%0), %%ymm1\n\tvmovdqa 64(%0), %%ymm2\n\tvmovdqa 96(%0), %%ymm3\n\t"
      "vmovdqa 128(%0), %%ymm4\n\tvmovdqa 160(%0), %%ymm5\n\tvmovdqa 192(%0), %%ymm6\n\tvmovdqa 224(%0), %%ymm7\n\t"
      "add $256, %0\n\tcmp %1, %0\n\tjb 1b"
      : "+r"(from)
      : "r"(end)
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "cc", "memory");
}

}  // namespace nnq::avx2
