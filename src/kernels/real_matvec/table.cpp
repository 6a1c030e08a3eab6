#include "kernels/real_matvec/real_matvec.h"

namespace nnq {
namespace {

constexpr RealMatvec table[] = {
#if defined(__x86_64__)
    {Isa::avx2, "matvec_fma_avx2", avx2::real_matvec},
#endif
    {Isa::portable, "matvec_float_portable", portable::real_matvec},
};

}  // namespace

const RealMatvec* real_matvec_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const RealMatvec& real_matvec_kernel(Isa isa) {
  for (const RealMatvec& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
