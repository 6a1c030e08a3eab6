// Common bits of a matrix of bit planes and one vector of bit planes, by table lookup: four inputs of a vector choose a
// table of 16 bytes, four bits of a weight plane an entry of it, which holds the counts of two code planes at once.
// Every row gives the same counts, bit for bit, and the same as kernels/planes.
//
// Weights are packed once, in panels of 32 outputs, so that a byte's lanes hold different outputs:
//   panels[panel][weight plane][byte][32]     8 weight bits a byte; unused bits, bytes and outputs 0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

inline constexpr std::int64_t vector_panel = 32;
/// Bytes of an output's weights in a plane: kernels read three together, six lookups of which three fill half a byte.
inline constexpr std::int64_t vector_weight_bytes(std::int64_t inputs) { return (inputs + 23) / 24 * 3; }
/// Bytes of `tables` of a call: those of two code planes behind those of the two before.
inline constexpr std::int64_t vector_table_bytes(std::int64_t inputs, int code_planes) {
  return (code_planes + 1) / 2 * vector_weight_bytes(inputs) * 2 * 16;
}

struct VectorCall {
  const std::uint64_t* codes;  // [code_planes][(inputs + 63) / 64], bits beyond the inputs 0
  int code_planes;             // 1 to 8
  const std::uint8_t* panels;
  int weight_planes;  // 1 to 8
  std::int64_t inputs, panel_count;
  std::int32_t* counts;  // [weight_planes][code_planes][stride]; a count fits 31 bits
  std::int64_t stride;
  std::uint8_t* tables;
};
/// Fills the tables of a vector, from its codes and inputs alone: once for all calls on it.
using VectorTables = void (*)(const VectorCall& call) noexcept;
/// counts[(p * code_planes + q) * stride + o] = popcount of (codes[q] and weights[o][p]), for panel_count * 32 outputs.
using VectorCounts = void (*)(const VectorCall& call) noexcept;

struct VectorKernel {
  Isa isa;
  const char* name;
  VectorTables fill;
  VectorCounts counts;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const VectorKernel* vector_table(std::size_t& rows);
/// The row for `isa` where lookups beat counting bits (kernels/planes); else nullptr.
const VectorKernel* vector_kernel(Isa isa);

namespace portable {
void fill_vector_tables(const VectorCall& call) noexcept;  // needs none
void vector_counts(const VectorCall& call) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void fill_vector_tables(const VectorCall& call) noexcept;
void vector_counts(const VectorCall& call) noexcept;
}  // namespace avx2
#endif

}  // namespace nnq
