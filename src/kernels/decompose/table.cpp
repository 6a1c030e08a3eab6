#include "kernels/decompose/decompose.h"

namespace nnq {
namespace {

constexpr DecomposeKernel table[] = {
#if defined(__x86_64__)
    {Isa::avx2, "quantize_alternating_avx2", avx2::decompose_vector},
#endif
    {Isa::portable, "quantize_alternating", portable::decompose_vector},
};

}  // namespace

const DecomposeKernel* decompose_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const DecomposeKernel& decompose_kernel(Isa isa) {
  for (const DecomposeKernel& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
