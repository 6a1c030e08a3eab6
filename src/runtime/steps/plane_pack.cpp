#include "runtime/steps/plane_pack.h"

#include <algorithm>
#include <cstring>

#include "kernels/planes/planes.h"

namespace nnq {

PlaneGeometry::PlaneGeometry(const Slot& in, const Slot& out, const Step& step) : groups(step.groups) {
  const bool image = in.shape.size() == 4;
  n = in.shape[0];
  if (image) in_h = in.shape[1], in_w = in.shape[2], in_c = in.shape[3];
  if (step.kind == StepKind::plane_dense) {
    if (!image) in_c = step.in_channels;
    window = Window{.kernel_h = in_h, .kernel_w = in_w};
    return;
  }
  const std::size_t first = out.storage == Storage::tensor ? 2 : 1;  // tensors are NCHW
  out_h = out.shape[first];
  out_w = out.shape[first + 1];
  window = step.window;
}

PlanePacker::PlanePacker(const PlaneGeometry& geometry, const RealPlanes& planes)
    : geometry_(geometry), planes_(planes.code_planes()) {
  std::copy(planes.patterns.begin(), planes.patterns.end(), patterns_.begin());
}

std::size_t PlanePacker::bytes() const {
  return static_cast<std::size_t>(planes_ * geometry_.inputs() * geometry_.position_bytes());
}

void PlanePacker::pack(const std::uint8_t* codes, std::int64_t first, std::int64_t count, std::uint8_t* to) const {
  const std::int64_t group_in = geometry_.group_in(), plane_bytes = geometry_.inputs() * geometry_.position_bytes();
  std::uint8_t* byte = to + first * geometry_.position_bytes();
  const std::uint8_t* from = codes + first * geometry_.in_c;
  for (std::int64_t g = 0; g < count * geometry_.groups; ++g, from += group_in) {
    for (std::int64_t i = 0; i < group_in; i += 8, ++byte) {
      std::uint8_t patterns[8] = {};
      for (std::int64_t j = 0; j < std::min<std::int64_t>(8, group_in - i); ++j) patterns[j] = patterns_[from[i + j]];
      std::uint64_t lanes = 0;
      for (int j = 0; j < 8; ++j) lanes |= static_cast<std::uint64_t>(patterns[j]) << (8 * j);
      for (int q = 0; q < planes_; ++q) {
        // The lowest bit of byte j goes to bit j of the product's highest byte; the eight terms do not meet.
        const std::uint64_t bits = (lanes >> q & 0x0101010101010101U) * 0x0102040810204080U >> 56;
        byte[q * plane_bytes] = static_cast<std::uint8_t>(bits);
      }
    }
  }
}

std::shared_ptr<const PlanePanels> plane_panels(const PlaneGeometry& geometry, const Step& step) {
  const std::int64_t words = geometry.words(), group_out = step.out_channels / step.groups, taps = geometry.taps(),
                     panels = (group_out + plane_panel - 1) / plane_panel, group_in = geometry.group_in(),
                     group_bits = geometry.group_bytes() * 8;
  const int planes = step.weights.bits;
  auto made = std::make_shared<PlanePanels>();
  PackedArray<std::uint64_t>& packed = made->words;
  packed.assign(static_cast<std::size_t>(step.groups * panels * planes * words * plane_panel));
  for (int p = 0; p < planes; ++p) {
    const std::uint8_t* bits = step.weights.data + step.weights.plane_bytes() * static_cast<std::size_t>(p);
    std::int64_t element = 0;
    for (std::int64_t o = 0; o < step.out_channels; ++o) {
      const std::int64_t panel = o / group_out * panels + o % group_out / plane_panel,
                         lane = o % group_out % plane_panel;
      std::uint64_t* to = packed.data() + (panel * planes + p) * words * plane_panel + lane;
      for (std::int64_t t = 0; t < taps; ++t) {
        for (std::int64_t i = 0; i < group_in; ++i, ++element) {
          const std::uint64_t bit = bits[element / 8] >> (element % 8) & 1;
          const std::int64_t at = t * group_bits + i;
          to[at / 64 * plane_panel] |= bit << (at % 64);
        }
      }
    }
  }
  return made;
}

std::vector<std::int32_t> plane_tap_counts(const PlaneGeometry& geometry, const Step& step) {
  const std::int64_t taps = geometry.taps(), group_in = geometry.group_in(), out = step.out_channels;
  std::vector<std::int32_t> counts(static_cast<std::size_t>(step.weights.bits * taps * out), 0);
  for (std::int64_t p = 0; p < step.weights.bits; ++p) {
    const std::uint8_t* bits = step.weights.data + step.weights.plane_bytes() * static_cast<std::size_t>(p);
    for (std::int64_t element = 0; element < step.weights.count; ++element) {
      const std::int64_t o = element / (taps * group_in), t = element / group_in % taps;
      counts[static_cast<std::size_t>((p * taps + t) * out + o)] += bits[element / 8] >> (element % 8) & 1;
    }
  }
  return counts;
}

}  // namespace nnq
