#include "kernels/depthwise/depthwise.h"

namespace nnq {
namespace {

constexpr DepthwiseKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx2, "depthwise_madd_avx2", avx2::depthwise, "depthwise_maddubs_avx2", avx2::depthwise_narrow},
#endif
#if defined(__aarch64__)
    {Isa::neon, "depthwise_smlal_neon", neon::depthwise, nullptr, nullptr},
#endif
    {Isa::portable, "depthwise_portable", portable::depthwise, nullptr, nullptr},
};

}  // namespace

const DepthwiseKernels* depthwise_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const DepthwiseKernels& depthwise_kernels(Isa isa) {
  for (const DepthwiseKernels& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
