#include "kernels/epilogue/epilogue.h"

namespace nnq {
namespace {

constexpr EpilogueKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx512, "epilogue_avx512", avx512::threshold_codes, avx512::threshold_bits, avx2::real_epilogue, avx2::widen},
    {Isa::avx2, "epilogue_avx2", avx2::threshold_codes, avx2::threshold_bits, avx2::real_epilogue, avx2::widen},
#endif
#if defined(__aarch64__)
    // The float epilogue is plain loops, which the baseline compiles to NEON.
    {Isa::neon, "epilogue_neon", neon::threshold_codes, neon::threshold_bits, portable::real_epilogue, portable::widen},
#endif
    {Isa::portable, "epilogue_portable", portable::threshold_codes, portable::threshold_bits, portable::real_epilogue,
     portable::widen},
};

}  // namespace

const EpilogueKernels* epilogue_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const EpilogueKernels& epilogue_kernels(Isa isa) {
  for (const EpilogueKernels& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
