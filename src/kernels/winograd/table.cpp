#include "kernels/winograd/winograd.h"

namespace nnq {
namespace {

constexpr WinogradKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx2, "int8_winograd_avx2", avx2::winograd_input, avx2::winograd_products},
#endif
    {Isa::portable, "int8_winograd_portable", portable::winograd_input, portable::winograd_products},
};

}  // namespace

const WinogradKernels* winograd_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const WinogradKernels& winograd_kernels(Isa isa) {
  for (const WinogradKernels& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
