#include "kernels/matvec/matvec.h"

namespace nnq {
namespace {

constexpr Matvec table[] = {
#if defined(__x86_64__)
    {Isa::avx512, "matvec_vnni_avx512", avx512::matvec},
    {Isa::avx2, "matvec_maddubs_avx2", avx2::matvec},
#endif
    {Isa::portable, "matvec_portable", portable::matvec},
};

}  // namespace

const Matvec* matvec_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const Matvec& matvec_kernel(Isa isa) {
  for (const Matvec& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
