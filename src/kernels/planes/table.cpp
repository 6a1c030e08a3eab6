#include "kernels/planes/planes.h"

namespace nnq {
namespace {

constexpr PlaneKernel table[] = {
#if defined(__x86_64__)
    {Isa::avx512, "planes_vpopcnt_avx512", avx512::plane_counts, avx2::plane_combine},
    {Isa::avx2, "planes_pshufb_avx2", avx2::plane_counts, avx2::plane_combine},
#endif
#if defined(__aarch64__)
    {Isa::neon, "planes_cnt_neon", neon::plane_counts, portable::plane_combine},
#endif
    {Isa::portable, "planes_popcount_portable", portable::plane_counts, portable::plane_combine},
};

}  // namespace

const PlaneKernel* plane_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const PlaneKernel& plane_kernel(Isa isa) {
  for (const PlaneKernel& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
