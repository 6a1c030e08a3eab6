#include "kernels/direct/direct.h"

namespace nnq {
namespace {

constexpr DirectKernels table[] = {
#if defined(__x86_64__)
    // Two vpshufb of 32 bytes a cycle do 256 operations on pairs of 2-bit numbers, VNNI does 128.
    {Isa::avx512, "int8_vnni_avx512", avx512::direct_int8, nullptr, nullptr, "binary_vpopcnt_avx512",
     avx512::direct_binary, "lookup_avx2", avx2::direct_lookup, avx2::pack_codes, false},
    {Isa::avx2, "int8_madd_avx2", avx2::direct_int8, "int8_maddubs_avx2", avx2::direct_narrow,
     "binary_popcount_portable", portable::direct_binary, "lookup_avx2", avx2::direct_lookup, avx2::pack_codes, true},
#endif
    {Isa::portable, "int8_portable", portable::direct_int8, nullptr, nullptr, "binary_popcount_portable",
     portable::direct_binary, nullptr, nullptr, portable::pack_codes, false},
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
