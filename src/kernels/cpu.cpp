#include "kernels/cpu.h"

#include <cstdlib>
#include <cstring>

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
#else
  return Isa::portable;
#endif
}

Isa active_isa() {
  const char* wanted = std::getenv("NNQ_ISA");
  if (wanted == nullptr) return hardware_isa();
  Isa limit = hardware_isa();
  if (std::strcmp(wanted, "portable") == 0)
    limit = Isa::portable;
  else if (std::strcmp(wanted, "avx2") == 0)
    limit = Isa::avx2;
  return limit < hardware_isa() ? limit : hardware_isa();
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

}  // namespace nnq
