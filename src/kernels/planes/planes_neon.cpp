// NEON: cnt counts the bits of bytes, bytes are summed for up to 31 words, then added up in the 64-bit lanes.
#include <arm_neon.h>

#include "kernels/planes/planes.h"
#include "kernels/unrolled.h"

namespace nnq::neon {
namespace {

/// Words whose bits a byte can count: 31 * 8 <= 255.
constexpr std::int64_t block = 31;

/// One weight plane of a panel against Planes planes of codes.
template <int Planes>
inline void panel_counts(const std::uint64_t* codes, std::int64_t words, const std::uint64_t* weights,
                         std::int32_t* counts, std::int64_t stride) {
  uint64x2_t total[Planes][4];
  unrolled<Planes>([&](int q) { unrolled<4>([&](int i) { total[q][i] = vdupq_n_u64(0); }); });
  for (std::int64_t k = 0; k < words;) {
    const std::int64_t end = k + block < words ? k + block : words;
    uint8x16_t bytes[Planes][4];
    unrolled<Planes>([&](int q) { unrolled<4>([&](int i) { bytes[q][i] = vdupq_n_u8(0); }); });
    for (; k < end; ++k) {
      const std::uint64_t* w = weights + k * plane_panel;
      const uint64x2_t w4[4] = {vld1q_u64(w), vld1q_u64(w + 2), vld1q_u64(w + 4), vld1q_u64(w + 6)};
      unrolled<Planes>([&](int q) {
        const uint64x2_t x = vld1q_dup_u64(codes + q * words + k);
        unrolled<4>(
            [&](int i) { bytes[q][i] = vaddq_u8(bytes[q][i], vcntq_u8(vreinterpretq_u8_u64(vandq_u64(x, w4[i])))); });
      });
    }
    unrolled<Planes>([&](int q) {
      unrolled<4>([&](int i) { total[q][i] = vpadalq_u32(total[q][i], vpaddlq_u16(vpaddlq_u8(bytes[q][i]))); });
    });
  }
  unrolled<Planes>([&](int q) {
    unrolled<2>([&](int h) {
      vst1q_s32(counts + q * stride + h * 4,
                vreinterpretq_s32_u32(vcombine_u32(vmovn_u64(total[q][2 * h]), vmovn_u64(total[q][2 * h + 1]))));
    });
  });
}

}  // namespace

void plane_counts(const std::uint64_t* codes, int code_planes, const std::uint64_t* panels, int weight_planes,
                  std::int64_t words, std::int64_t panel_count, std::int32_t* counts, std::int64_t stride) noexcept {
  for (std::int64_t panel = 0; panel < panel_count; ++panel) {
    for (int p = 0; p < weight_planes; ++p) {
      const std::uint64_t* weights = panels + (panel * weight_planes + p) * words * plane_panel;
      std::int32_t* to = counts + p * code_planes * stride + panel * plane_panel;
      int q = 0;
      for (; q + 2 <= code_planes; q += 2) panel_counts<2>(codes + q * words, words, weights, to + q * stride, stride);
      if (q < code_planes) panel_counts<1>(codes + q * words, words, weights, to + q * stride, stride);
    }
  }
}

}  // namespace nnq::neon
