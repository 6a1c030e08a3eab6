// The reference row: plain C++.
#include "kernels/matvec/matvec.h"

namespace nnq::portable {
namespace {

/// Code of byte `lane` of group `group` in an output's block.
template <int Bits>
inline std::int32_t code_at(const std::uint8_t* block, int group, int lane) {
  const auto byte = [&](int word) { return static_cast<std::int32_t>(block[word * matvec_panel * 16 + lane]); };
  if constexpr (Bits != 3) {
    return byte(0) >> (group * Bits) & ((1 << Bits) - 1);
  } else {
    if (group < 6) return byte(group / 2) >> (group % 2 * 3) & 7;
    return byte(group - 6) >> 6 | (byte(2) >> group & 1) << 2;
  }
}

template <int Bits>
std::uint32_t sum_of(const std::uint8_t* row, const std::int8_t* input, std::int64_t blocks) {
  constexpr MatvecBlock block = matvec_block(Bits);
  std::uint32_t total = 0;
  for (std::int64_t b = 0; b < blocks; ++b, row += block.words * matvec_panel * 16) {
    std::int32_t sum = 0;
    for (int group = 0; group < block.inputs / 16; ++group, input += 16) {
      for (int lane = 0; lane < 16; ++lane) sum += code_at<Bits>(row, group, lane) * input[lane];
    }
    total += static_cast<std::uint32_t>(sum);
  }
  return total;
}

template <int Bits>
void all(const MatvecCall& call) {
  const std::int64_t panel_bytes = call.blocks * matvec_block(Bits).words * matvec_panel * 16;
  for (std::int64_t o = 0; o < call.panel_count * matvec_panel; ++o) {
    const std::uint8_t* row = call.panels + o / matvec_panel * panel_bytes + o % matvec_panel * 16;
    for (std::int64_t b = 0; b < call.batch; ++b)
      call.sums[b * call.stride + o] =
          static_cast<std::int32_t>(sum_of<Bits>(row, call.inputs + b * call.input_stride, call.blocks));
  }
}

}  // namespace

void matvec(const MatvecCall& call) noexcept {
  with_bits(call.bits, [&call]<int Bits>() { all<Bits>(call); });
}

}  // namespace nnq::portable
