// Weights into panels, inputs into signed bytes.
#include <algorithm>

#include "kernels/matvec/matvec.h"
#include "kernels/put_bits.h"

namespace nnq {
void MatvecPanels::pack(const std::uint8_t* codes, std::int64_t outputs, std::int64_t inputs, int width) {
  bits = width;
  const MatvecBlock block = matvec_block(bits);
  constexpr std::int64_t word = matvec_panel * 16;
  panels = (outputs + matvec_panel - 1) / matvec_panel;
  blocks = (inputs + block.inputs - 1) / block.inputs;
  bytes.assign(static_cast<std::size_t>(panels * panel_bytes()));
  for (std::int64_t o = 0; o < outputs; ++o) {
    std::uint8_t* const row = bytes.data() + o / matvec_panel * panel_bytes() + o % matvec_panel * 16;
    for (std::int64_t k = 0; k < inputs; k += 16) {
      const std::uint8_t* const from = codes + o * inputs + k;
      const std::int64_t count = std::min<std::int64_t>(16, inputs - k);
      const auto group = static_cast<int>(k % block.inputs / 16);
      std::uint8_t* const at = row + k / block.inputs * block.words * word;
      if (bits != 3) {
        put_bits(at, from, count, 255, 0, group * bits);
      } else if (group < 6) {
        put_bits(at + group / 2 * word, from, count, 255, 0, group % 2 * 3);
      } else {
        put_bits(at + (group - 6) * word, from, count, 3, 0, 6);
        put_bits(at + 2 * word, from, count, 1, 2, group);
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
