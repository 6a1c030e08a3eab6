// Weights into panels, inputs into signed bytes.
#include <algorithm>

#include "kernels/matvec/matvec.h"

namespace nnq {
namespace {

/// Puts bits of a code into a byte of word `word` of an output's block.
void put(std::uint8_t* block, std::int64_t word, std::int64_t lane, unsigned bits, int shift) {
  std::uint8_t& byte = block[word * matvec_panel * 16 + lane];
  byte = static_cast<std::uint8_t>(byte | bits << shift);
}

}  // namespace

void MatvecPanels::pack(const std::uint8_t* codes, std::int64_t outputs, std::int64_t inputs, int width) {
  bits = width;
  const MatvecBlock block = matvec_block(bits);
  panels = (outputs + matvec_panel - 1) / matvec_panel;
  blocks = (inputs + block.inputs - 1) / block.inputs;
  bytes.assign(static_cast<std::size_t>(panels * panel_bytes()));
  for (std::int64_t o = 0; o < outputs; ++o) {
    std::uint8_t* const row = bytes.data() + o / matvec_panel * panel_bytes() + o % matvec_panel * 16;
    for (std::int64_t k = 0; k < inputs; ++k) {
      const unsigned code = codes[o * inputs + k];
      const std::int64_t in_block = k % block.inputs, group = in_block / 16, lane = in_block % 16;
      std::uint8_t* const at = row + k / block.inputs * block.words * matvec_panel * 16;
      if (bits != 3) {
        put(at, 0, lane, code, static_cast<int>(group) * bits);
      } else if (group < 6) {
        put(at, group / 2, lane, code, static_cast<int>(group % 2) * 3);
      } else {
        put(at, group - 6, lane, code & 3, 6);
        put(at, 2, lane, code >> 2, static_cast<int>(group));
      }
    }
  }
}

std::int64_t matvec_inputs(const std::uint8_t* codes, std::int64_t count, std::int64_t padded, std::int8_t* to) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = static_cast<std::int8_t>(codes[i] - 128);
    sum += codes[i];
  }
  std::fill(to + count, to + padded, std::int8_t{0});
  return sum;
}

}  // namespace nnq
