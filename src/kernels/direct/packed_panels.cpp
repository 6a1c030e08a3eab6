#include "kernels/direct/packed_panels.h"

#include <algorithm>

#include "kernels/put_bits.h"

namespace nnq {
void pack_panel(const PackedPanel& form, const std::uint8_t* codes, std::uint8_t* packed) {
  for (std::int64_t e = 0; e < form.weights; e += 32) {
    std::uint8_t* const at = packed + e / form.block() * form.block_bytes();
    const std::int64_t count = std::min<std::int64_t>(32, form.weights - e);
    const auto group = static_cast<int>(e % form.block() / 32);
    if (form.bits != 3) {
      put_bits(at, codes + e, count, 255, 0, group * form.bits);
    } else if (group < 6) {
      put_bits(at + group / 2 * 32, codes + e, count, 255, 0, group % 2 * 3);
    } else {
      put_bits(at + (group - 6) * 32, codes + e, count, 3, 0, 6);
      put_bits(at + 64, codes + e, count, 1, 2, group);
    }
  }
}

UnpackPanel unpack_panel(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx2) return avx2::unpack_panel;
#endif
  (void)isa;
  return portable::unpack_panel;
}

namespace portable {

void unpack_panel(const PackedPanel& form, const std::uint8_t* packed, int zero, std::int8_t* panel) noexcept {
  const int bits = form.bits;
  for (std::int64_t b = 0; b < form.blocks(); ++b, packed += form.block_bytes()) {
    for (std::int64_t group = 0; group < form.block() / 32; ++group, panel += 32) {
      for (std::int64_t i = 0; i < 32; ++i) {
        const int code = bits != 3   ? packed[i] >> (group * bits) & ((1 << bits) - 1)
                         : group < 6 ? packed[group / 2 * 32 + i] >> (group % 2 * 3) & 7
                                     : packed[(group - 6) * 32 + i] >> 6 | (packed[64 + i] >> group & 1) << 2;
        panel[i] = static_cast<std::int8_t>(code - zero);
      }
    }
  }
}

}  // namespace portable
}  // namespace nnq
