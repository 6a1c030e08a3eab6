#include "kernels/cpu.h"

#include <cstdlib>
#include <cstring>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace nnq {

Isa hardware_isa() {
#if defined(__x86_64__)
  static const Isa best = [] {
    __builtin_cpu_init();
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq") &&
                        __builtin_cpu_supports("avx512vbmi");
    return avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::portable;
  }();
  return best;
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long dot_product = 1UL << 20;  // HWCAP_ASIMDDP of asm/hwcap.h
  static const Isa best = (getauxval(AT_HWCAP) & dot_product) != 0 ? Isa::neon_dot : Isa::neon;
  return best;
#elif defined(__aarch64__)
  return Isa::neon;
#else
  return Isa::portable;
#endif
}

Isa active_isa() {
  const Isa hardware = hardware_isa();
  const char* wanted = std::getenv("NNQ_ISA");
  if (wanted == nullptr) return hardware;
  for (const Isa isa : every_isa) {
    if (std::strcmp(wanted, name_of(isa)) == 0) return isa < hardware ? isa : hardware;
  }
  return hardware;
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::neon:
      return "neon";
    case Isa::neon_dot:
      return "neon_dot";
  }
  return "?";
}

}  // namespace nnq
