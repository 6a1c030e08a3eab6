// Throughput loops of AVX-512, as in ceilings_avx2.cpp.
#include "kernels/ceilings.h"

#define NNQ_ZERO "vpxord %%zmm28, %%zmm28, %%zmm28\n\tvpxord %%zmm29, %%zmm29, %%zmm29\n\t"
#define NNQ_TIMES24(X)                                                                                             \
  X(0)                                                                                                             \
  X(1)                                                                                                             \
  X(2)                                                                                                             \
  X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) \
      X(23)
#define NNQ_LOOP(BODY)                                                                                              \
  asm volatile(NNQ_ZERO "1:\n\t" BODY "dec %0\n\tjnz 1b"                                                            \
               : "+r"(count)                                                                                        \
               :                                                                                                    \
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",  \
                 "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", \
                 "xmm23", "xmm28", "xmm29", "xmm30", "xmm31", "cc")

namespace nnq::avx512 {

std::int64_t ceiling_float(std::int64_t count) noexcept {
  const std::int64_t operations = count * 24 * 16 * 2;
#define NNQ_STEP(i) "vfmadd231ps %%zmm28, %%zmm29, %%zmm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES24(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

std::int64_t ceiling_int8(std::int64_t count) noexcept {
  const std::int64_t operations = count * 24 * 64 * 2;
#define NNQ_STEP(i) "vpdpbusd %%zmm28, %%zmm29, %%zmm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES24(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

std::int64_t ceiling_lookup(std::int64_t count) noexcept {
  const std::int64_t operations = count * 24 * 64 * 4 * 2;
#define NNQ_STEP(i) "vpshufb %%zmm28, %%zmm29, %%zmm30\n\tvpaddb %%zmm30, %%zmm" #i ", %%zmm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES24(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

std::int64_t ceiling_binary(std::int64_t count) noexcept {
  const std::int64_t operations = count * 24 * 512 * 2;
#define NNQ_STEP(i) \
  "vpxord %%zmm28, %%zmm29, %%zmm30\n\tvpopcntd %%zmm30, %%zmm31\n\tvpaddd %%zmm31, %%zmm" #i ", %%zmm" #i "\n\t"
  NNQ_LOOP(NNQ_TIMES24(NNQ_STEP));
#undef NNQ_STEP
  return operations;
}

}  // namespace nnq::avx512
