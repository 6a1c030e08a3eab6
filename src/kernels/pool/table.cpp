#include "kernels/pool/pool.h"

namespace nnq {
namespace {

constexpr PoolKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx2, "avx2", avx2::max_pool_bytes, avx2::max_pool_bits, avx2::max_pool_sums, avx2::sum_pool_bytes},
#endif
#if defined(__aarch64__)
    {Isa::neon, "neon", portable::max_pool_bytes, portable::max_pool_bits, portable::max_pool_sums,
     neon::sum_pool_bytes},
#endif
    {Isa::portable, "portable", portable::max_pool_bytes, portable::max_pool_bits, portable::max_pool_sums,
     portable::sum_pool_bytes},
};

}  // namespace

const PoolKernels* pool_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const PoolKernels& pool_kernels(Isa isa) {
  for (const PoolKernels& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
