#include "kernels/winograd/winograd.h"

namespace nnq {
namespace {

constexpr WinogradForm pairs{2}, fours{4};
constexpr WinogradKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx2, fours, "int8_winograd_narrow_avx2", avx2::winograd_narrow_input, avx2::winograd_narrow_products},
    {Isa::avx2, pairs, "int8_winograd_avx2", avx2::winograd_input, avx2::winograd_products},
#endif
    {Isa::portable, fours, "int8_winograd_narrow_portable", portable::winograd_narrow_input,
     portable::winograd_narrow_products},
    {Isa::portable, pairs, "int8_winograd_portable", portable::winograd_input, portable::winograd_products},
};

}  // namespace

const WinogradKernels* winograd_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const WinogradKernels& winograd_kernels(Isa isa, bool narrow) {
  const WinogradKernels* row = table;
  while (row->isa > isa || row->form.narrow() != narrow) ++row;
  return *row;
}

}  // namespace nnq
