#include "kernels/vector_counts/vector_counts.h"

namespace nnq {
namespace {

constexpr VectorKernel table[] = {
#if defined(__x86_64__)
    {Isa::avx2, "planes_lookup_avx2", avx2::fill_vector_tables, avx2::vector_counts},
#endif
    {Isa::portable, "planes_lookup_portable", portable::fill_vector_tables, portable::vector_counts},
};

}  // namespace

const VectorKernel* vector_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const VectorKernel* vector_kernel(Isa isa) {
#if defined(__x86_64__)
  // AVX-512 counts the bits of a vector in one operation; without byte lookups there is nothing to gain.
  if (isa == Isa::avx2) {
    for (const VectorKernel& row : table) {
      if (row.isa == isa) return &row;
    }
  }
#endif
  static_cast<void>(isa);
  return nullptr;
}

}  // namespace nnq
