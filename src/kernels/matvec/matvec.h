// Products of one to a few vectors with a matrix whose weights stay packed at their width: such layers wait for memory,
// so the bits of a weight are what a product costs. All rows of the table give the same sums, bit for bit.
//
// Weights are codes 0 .. 2^bits - 1 with bits 1, 2, 3, 4 or 8, packed once in panels of 4 outputs:
//
//   panels[panel][block][word][4 outputs][16 bytes]
//
// A block is `inputs` consecutive inputs in groups of 16, one a byte. With 1, 2, 4 and 8 bits a block is one word of 16
// bytes an output and group g lies in bits g * bits .. of every byte. With 3 bits it is three words of 8 groups: groups
// 2w and 2w + 1 in bits 0 .. 2 and 3 .. 5 of word w; the low two bits of groups 6 and 7 in bits 6, 7 of words 0 and 1,
// their high bits in bits 6 and 7 of word 2. So no byte of memory holds less than its eight bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/aligned.h"
#include "kernels/ceilings.h"
#include "kernels/cpu.h"

namespace nnq {

inline constexpr std::int64_t matvec_panel = 4, matvec_batch = 8;
/// Rows of inputs are padded with zeros to a multiple of this: whole blocks of every width.
inline constexpr std::int64_t matvec_padding = 128;

/// How weights of one width lie in a block.
struct MatvecBlock {
  std::int64_t inputs, words;
};
/// bits: 1, 2, 3, 4 or 8.
constexpr MatvecBlock matvec_block(int bits) { return bits == 3 ? MatvecBlock{128, 3} : MatvecBlock{128 / bits, 1}; }
/// The narrowest width that holds codes of `bits` bits, 1 to 8.
constexpr int matvec_width(int bits) { return bits <= 4 ? bits : 8; }

struct MatvecCall {
  const std::int8_t* inputs;  // [batch][input_stride], zeros behind the last input
  std::int64_t input_stride;  // a multiple of matvec_padding
  std::int64_t batch;         // 1 .. matvec_batch
  int bits;
  const std::uint8_t* panels;  // on a 64-byte line
  std::int64_t panel_count, blocks;
  std::int32_t* sums;  // [batch][stride]: sum over k of code[o][k] * input[b][k], modulo 2^32
  std::int64_t stride;
};
using MatvecKernel = void (*)(const MatvecCall& call) noexcept;

struct Matvec {
  Isa isa;
  const char* name;
  MatvecKernel run;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const Matvec* matvec_table(std::size_t& rows);
/// The first row that `isa` can run.
const Matvec& matvec_kernel(Isa isa);
/// What bounds its products with weights of `width` bits: AVX2 multiplies up to 4 bits as bytes.
constexpr CeilingKind matvec_ceiling(int width, Isa isa) {
  return width <= 4 && isa < Isa::avx512 ? CeilingKind::narrow : CeilingKind::int8;
}

/// A matrix in panels.
struct MatvecPanels {
  /// codes [outputs][inputs], each below 2^bits.
  void pack(const std::uint8_t* codes, std::int64_t outputs, std::int64_t inputs, int width);

  int bits = 1;
  std::int64_t panels = 0, blocks = 0;
  AlignedBytes bytes;
  template <class Self, class F>
  static void fields(Self& self, F& f) {  // runtime/packed_fields.h
    f(self.bits, self.panels, self.blocks, self.bytes);
  }
  std::int64_t panel_bytes() const { return blocks * matvec_block(bits).words * matvec_panel * 16; }
};

/// to[i] = codes[i] - 128, zeros up to `padded`; returns the sum of the codes.
std::int64_t matvec_inputs(const std::uint8_t* codes, std::int64_t count, std::int64_t padded, std::int8_t* to);

/// f.template operator()<Bits>() for the width of a block: 1, 2, 3, 4, else 8. Rows pass a lambda of their own, so that
/// nothing compiled for one instruction set serves another.
template <class F>
inline void with_bits(int bits, F&& f) {
  switch (bits) {
    case 1:
      return f.template operator()<1>();
    case 2:
      return f.template operator()<2>();
    case 3:
      return f.template operator()<3>();
    case 4:
      return f.template operator()<4>();
    default:
      return f.template operator()<8>();
  }
}

namespace portable {
void matvec(const MatvecCall& call) noexcept;
}
#if defined(__x86_64__)
namespace avx2 {
void matvec(const MatvecCall& call) noexcept;
}
namespace avx512 {
void matvec(const MatvecCall& call) noexcept;
}
#endif

}  // namespace nnq
