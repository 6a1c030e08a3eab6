// Products of rows that lie anywhere: convolutions read their input where it is, without a gathered copy.
//
// A row is one output position. Its inputs are `steps` units of bytes, unit k at row.data + offsets[k]; the offsets are
// the same for all rows. All kernels give the same sums, bit for bit, where their conditions hold:
//
//   int8    units of 4 bytes, weights panel[k][16][4] int8. Any codes.
//   wide    units of 4 bytes = two 16-bit codes 0 .. 255, weights panel[k][16][2] int8: faster where 16-bit products
//   are
//           the widest.
//   narrow  the same; pairs of products meet in 16 bits, and `narrow_steps` units are summed there before they are
//           widened. The caller has proven from the weights that neither can leave 16 bits.
//   binary  units of 4 bytes = 32 sign bits, weights panel[k][16] words: sums = start - 2 * mismatches.
//   ternary units of 4 bytes = 32 sign bits, weights -1, 0, +1: panel[2][k][16] words, first whether they are positive,
//           then whether they are not 0: sums = start - 2 * mismatches where they are not 0.
//   lookup  units of 2 bytes. Activations choose tables, weights an entry of each: the sum of the products of a few
//           weights with as many activations, plus an offset that makes it unsigned (the caller takes it away through
//           `start`). Two forms (LookupForm), panels of 32 or 64 outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu.h"

namespace nnq {

struct DirectRow {
  const std::uint8_t* data;
  const std::int32_t* start;  // [outputs, padded to whole panels]: what the sums start from
};

/// What is looked up where.
enum class LookupForm : std::uint8_t {
  nibbles,  // one or two tables of 16 entries a byte: 2 or 4 activations and weights. Tables [256][lookups][16] by the
            // value of the byte, weights panel[k][byte][lookup][outputs], a nibble each in a byte of its own. Where
            // there are two, they are those of the byte's low and high nibble, by the same rule for both
  triples,  // a unit is eight 2-bit codes: three tables of 64 entries, by codes 0 .. 2, 3 .. 5 and 6 .. 7. Tables
            // [64][64] by the value of the codes, weights panel[k][3][outputs], 2 bits each, three a byte
};

/// What a lookup kernel reads besides rows and weights.
struct LookupTables {
  const std::uint8_t* tables;
  int lookups;              // nibbles: 1 or 2 a byte
  int shift;                // sums = start + (looked up << shift)
  std::int64_t byte_units;  // units whose entries surely add up to at most 255
  std::int64_t word_units;  // the same for 65535, a multiple of byte_units
};

struct DirectCall {
  const DirectRow* rows;
  std::int64_t row_count;
  const std::int64_t* offsets;  // [steps]
  std::int64_t steps;
  const std::uint8_t* panels;
  std::int64_t panel_count;  // of 16 outputs; lookup: of LookupKernel::panel
  std::int32_t* sums;        // [row_count][stride]
  std::int64_t stride;
  std::int64_t narrow_steps = 1;         // narrow: runs begin at its multiples
  const LookupTables* lookup = nullptr;  // lookup
};

using DirectKernel = void (*)(const DirectCall& call) noexcept;
/// Packs two bits, (code >> shift) & 3, of each of `count` bytes, four to a byte, the first in the lowest bits; zeros
/// up to a multiple of 8 codes.
using PackCodes = void (*)(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t count, int shift) noexcept;
/// Bytes to 16-bit codes of the same value, low byte first.
using WidenCodes = void (*)(const std::uint8_t* codes, std::uint8_t* wide, std::int64_t count) noexcept;

/// One instruction set's kernels. A null kernel: there is none that beats the others of its row.
struct DirectKernels {
  Isa isa;
  const char* int8_name;
  DirectKernel int8;
  const char* narrow_name;
  DirectKernel narrow;
  const char* binary_name;
  DirectKernel binary;
  const char* ternary_name;
  DirectKernel ternary;
  PackCodes pack;
  const char* wide_name;
  DirectKernel wide;
  WidenCodes widen;    // where there is `wide`
  bool lookup_binary;  // binary layers are faster by lookup than by the binary kernel
};

/// A kernel that looks products up.
struct LookupKernel {
  Isa isa;
  const char* name;
  DirectKernel kernel;
  LookupForm form;
  std::int64_t panel;  // outputs
  int most_lookups;    // nibbles: lookups a byte; 1: weights of one bit only
  bool pairs = false;  // two rows at once where two lookups a byte have entries of at most `pair_entry`
};

inline constexpr std::int32_t pair_entry = 5;  // three lookups fit four bits
/// Of a ceiling of single lookups: two rows at once take 9 operations for 12.
inline constexpr double pair_share = 12.0 / 9;

inline constexpr std::int64_t direct_panel = 16;

/// The table, fastest first; the last row runs everywhere and is the reference.
const DirectKernels* direct_table(std::size_t& rows);
/// The first row that `isa` can run.
const DirectKernels& direct_kernels(Isa isa);
/// From the most to the least demanding instruction set; the portable ones are references.
std::span<const LookupKernel> lookup_table();
/// Those that `isa` can run and that beat multiplying, which may be none.
std::span<const LookupKernel> lookup_kernels(Isa isa);

namespace portable {
void direct_int8(const DirectCall& call) noexcept;
void direct_binary(const DirectCall& call) noexcept;
void direct_ternary(const DirectCall& call) noexcept;
/// The references, for panels of 32 and of 64 outputs.
void direct_lookup(const DirectCall& call) noexcept;
void direct_triples(const DirectCall& call) noexcept;
void pack_codes(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t count, int shift) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void direct_int8(const DirectCall& call) noexcept;
void direct_wide(const DirectCall& call) noexcept;
void direct_narrow(const DirectCall& call) noexcept;
void direct_lookup(const DirectCall& call) noexcept;
void pack_codes(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t count, int shift) noexcept;
void widen_codes(const std::uint8_t* codes, std::uint8_t* wide, std::int64_t count) noexcept;
}  // namespace avx2
namespace avx512 {
void direct_int8(const DirectCall& call) noexcept;
void direct_binary(const DirectCall& call) noexcept;
void direct_ternary(const DirectCall& call) noexcept;
void direct_lookup(const DirectCall& call) noexcept;
void direct_triples(const DirectCall& call) noexcept;
}  // namespace avx512
#endif
#if defined(__aarch64__)
namespace neon {
void direct_int8(const DirectCall& call) noexcept;
void direct_narrow(const DirectCall& call) noexcept;
void direct_binary(const DirectCall& call) noexcept;
void direct_ternary(const DirectCall& call) noexcept;
void direct_lookup(const DirectCall& call) noexcept;
void pack_codes(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t count, int shift) noexcept;
}  // namespace neon
namespace neon_dot {
void direct_int8(const DirectCall& call) noexcept;
}
#endif

}  // namespace nnq
