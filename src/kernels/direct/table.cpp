#include <algorithm>
#include <iterator>

#include "kernels/direct/direct.h"

namespace nnq {
namespace {

constexpr DirectKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx512, "int8_vnni_avx512", avx512::direct_int8, nullptr, nullptr, "binary_vpopcnt_avx512",
     avx512::direct_binary, "ternary_vpopcnt_avx512", avx512::direct_ternary, avx2::pack_codes, nullptr, nullptr,
     nullptr, false},
    // A lookup does the products of signs with ternary weights for which AVX2 counts bits twice as long.
    {Isa::avx2, "int8_madd_avx2", avx2::direct_int8, "int8_maddubs_avx2", avx2::direct_narrow,
     "binary_popcount_portable", portable::direct_binary, nullptr, nullptr, avx2::pack_codes, "int8_madd_wide_avx2",
     avx2::direct_wide, avx2::widen_codes, true},
#endif
#if defined(__aarch64__)
    // The dot product does 16 multiplications an instruction, a table look-up 64 or (two bits times two bits) 32.
    {Isa::neon_dot, "int8_sdot_neon", neon_dot::direct_int8, nullptr, nullptr, "binary_cnt_neon", neon::direct_binary,
     "ternary_cnt_neon", neon::direct_ternary, neon::pack_codes, nullptr, nullptr, nullptr, false},
    {Isa::neon, "int8_smlal_neon", neon::direct_int8, "int8_mla_neon", neon::direct_narrow, "binary_cnt_neon",
     neon::direct_binary, "ternary_cnt_neon", neon::direct_ternary, neon::pack_codes, nullptr, nullptr, nullptr, false},
#endif
    {Isa::portable, "int8_portable", portable::direct_int8, nullptr, nullptr, "binary_popcount_portable",
     portable::direct_binary, "ternary_popcount_portable", portable::direct_ternary, portable::pack_codes, nullptr,
     nullptr, nullptr, false},
};

/// From the most to the least demanding instruction set.
constexpr LookupKernel lookups[] = {
#if defined(__x86_64__)
    // 170 and 256 products a cycle on Zen 4, VNNI does 64. Half a panel of 64 is AVX2's.
    {Isa::avx512, "triples_avx512", avx512::direct_triples, LookupForm::triples, 64, 0},
    {Isa::avx512, "lookup_avx512", avx512::direct_lookup, LookupForm::nibbles, 64, 1},
    {Isa::avx2, "lookup_avx2", avx2::direct_lookup, LookupForm::nibbles, 32, 2, true},
#endif
#if defined(__aarch64__)
    {Isa::neon, "lookup_tbl_neon", neon::direct_lookup, LookupForm::nibbles, 32, 2},
#endif
    {Isa::portable, "triples_portable", portable::direct_triples, LookupForm::triples, 64, 0},
    {Isa::portable, "lookup_portable", portable::direct_lookup, LookupForm::nibbles, 32, 2},
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

std::span<const LookupKernel> lookup_table() { return lookups; }

std::span<const LookupKernel> lookup_kernels(Isa isa) {
  const auto end = std::find_if(std::begin(lookups), std::end(lookups),
                                [](const LookupKernel& row) { return row.isa == Isa::portable; });
  return {std::find_if(std::begin(lookups), end, [&](const LookupKernel& row) { return row.isa <= isa; }), end};
}

}  // namespace nnq
