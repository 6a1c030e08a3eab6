#include "kernels/direct/direct.h"

namespace nnq {
namespace {

constexpr DirectKernels table[] = {
#if defined(__x86_64__)
    // Two vpshufb of 32 bytes a cycle do 256 operations on pairs of 2-bit numbers, VNNI does 128.
    {Isa::avx512, "int8_vnni_avx512", avx512::direct_int8, nullptr, nullptr, "binary_vpopcnt_avx512",
     avx512::direct_binary, "ternary_vpopcnt_avx512", avx512::direct_ternary, "lookup_avx2", avx2::direct_lookup,
     avx2::pack_codes, nullptr, nullptr, nullptr, false},
    // A lookup does the products of signs with ternary weights for which AVX2 counts bits twice as long.
    {Isa::avx2, "int8_madd_avx2", avx2::direct_int8, "int8_maddubs_avx2", avx2::direct_narrow,
     "binary_popcount_portable", portable::direct_binary, nullptr, nullptr, "lookup_avx2", avx2::direct_lookup,
     avx2::pack_codes, "int8_madd_wide_avx2", avx2::direct_wide, avx2::widen_codes, true},
#endif
#if defined(__aarch64__)
    // The dot product does 16 multiplications an instruction, a table look-up 64 or (two bits times two bits) 32.
    {Isa::neon_dot, "int8_sdot_neon", neon_dot::direct_int8, nullptr, nullptr, "binary_cnt_neon", neon::direct_binary,
     "ternary_cnt_neon", neon::direct_ternary, "lookup_tbl_neon", neon::direct_lookup, neon::pack_codes, nullptr,
     nullptr, nullptr, false},
    {Isa::neon, "int8_smlal_neon", neon::direct_int8, "int8_mla_neon", neon::direct_narrow, "binary_cnt_neon",
     neon::direct_binary, "ternary_cnt_neon", neon::direct_ternary, "lookup_tbl_neon", neon::direct_lookup,
     neon::pack_codes, nullptr, nullptr, nullptr, false},
#endif
    {Isa::portable, "int8_portable", portable::direct_int8, nullptr, nullptr, "binary_popcount_portable",
     portable::direct_binary, "ternary_popcount_portable", portable::direct_ternary, nullptr, nullptr,
     portable::pack_codes, nullptr, nullptr, nullptr, false},
};

}  // namespace

const DirectKernels* direct_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const DirectKernels& direct_kernels(Isa isa) {
  for (const DirectKernels& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
