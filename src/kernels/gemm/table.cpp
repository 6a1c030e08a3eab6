#include "kernels/gemm/gemm.h"

namespace nnq {
namespace {

constexpr GemmKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx512, "int8_vnni_avx512", avx512::gemm_int8, "binary_vpopcnt_avx512", avx512::gemm_binary, "float_avx512",
     avx512::gemm_float, "double_fma_avx2", avx2::gemm_double},
    {Isa::avx2, "int8_madd_avx2", avx2::gemm_int8, "binary_pshufb_avx2", avx2::gemm_binary, "float_fma_avx2",
     avx2::gemm_float, "double_fma_avx2", avx2::gemm_double},
#endif
#if defined(__aarch64__)
    {Isa::neon_dot, "int8_sdot_neon", neon_dot::gemm_int8, "binary_cnt_neon", neon::gemm_binary, "float_fmla_neon",
     neon::gemm_float, "double_portable", portable::gemm_double},
    {Isa::neon, "int8_smlal_neon", neon::gemm_int8, "binary_cnt_neon", neon::gemm_binary, "float_fmla_neon",
     neon::gemm_float, "double_portable", portable::gemm_double},
#endif
    {Isa::portable, "int8_portable", portable::gemm_int8, "binary_popcount_portable", portable::gemm_binary,
     "float_portable", portable::gemm_float, "double_portable", portable::gemm_double},
};

}  // namespace

const GemmKernels* gemm_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const GemmKernels& gemm_kernels(Isa isa) {
  for (const GemmKernels& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
