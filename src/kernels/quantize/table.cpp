#include "kernels/quantize/quantize.h"

namespace nnq {
namespace {

constexpr QuantizeKernels table[] = {
#if defined(__x86_64__)
    {Isa::avx2, "avx2", avx2::round_codes, avx2::weave_codes, avx2::sign_bits},
#endif
    // Plain loops, which the baseline of any architecture has vectors for.
    {Isa::portable, "portable", portable::round_codes, portable::weave_codes, portable::sign_bits},
};

}  // namespace

const QuantizeKernels* quantize_table(std::size_t& rows) {
  rows = sizeof(table) / sizeof(table[0]);
  return table;
}

const QuantizeKernels& quantize_kernels(Isa isa) {
  for (const QuantizeKernels& row : table) {
    if (row.isa <= isa) return row;
  }
  return table[sizeof(table) / sizeof(table[0]) - 1];
}

}  // namespace nnq
