// The CPU of test_kernels_emulated: has everything, because what the machine lacks is emulated.
#include "kernels/cpu.h"

#include <cstdlib>
#include <cstring>

namespace nnq {

Isa hardware_isa() { return Isa::avx512; }

Isa active_isa() {
  const char* const wanted = std::getenv("NNQ_ISA");
  for (const Isa isa : every_isa) {
    if (wanted != nullptr && std::strcmp(wanted, name_of(isa)) == 0) return isa;
  }
  return Isa::avx512;
}

const char* name_of(Isa isa) {
  return isa == Isa::portable ? "portable" : isa == Isa::avx2 ? "avx2" : "avx512 (emulated)";
}

}  // namespace nnq
