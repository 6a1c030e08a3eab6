// How layers on bit planes lie in memory: codes as one row of bits a plane, weights in the kernel's panels.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/plan.h"

namespace nnq {

/// Where the inputs of an output position are. A fully connected layer on an image is a convolution with a kernel of
/// the image's size.
struct PlaneGeometry {
  std::int64_t n = 0, in_h = 1, in_w = 1, in_c = 1, out_h = 1, out_w = 1, groups = 1;
  Window window;

  PlaneGeometry(const Slot& in, const Slot& out, const Step& step);
  std::int64_t taps() const { return window.kernel_h * window.kernel_w; }
  std::int64_t positions() const { return n * out_h * out_w; }
  std::int64_t inputs() const { return n * in_h * in_w; }
  std::int64_t group_in() const { return in_c / groups; }
  /// Bytes of a plane's bits of one group at one input position.
  std::int64_t group_bytes() const { return (group_in() + 7) / 8; }
  std::int64_t position_bytes() const { return groups * group_bytes(); }
  /// 64-bit words of a plane's bits of one group at all taps.
  std::int64_t words() const { return (taps() * group_bytes() + 7) / 8; }
  /// Calls f(tap, input position or -1 outside) for every tap of an output position.
  template <class F>
  void each_tap(std::int64_t position, F&& f) const {
    const std::int64_t ox = position % out_w, oy = position / out_w % out_h, image = position / out_w / out_h;
    std::int64_t tap = 0;
    for (std::int64_t ky = 0; ky < window.kernel_h; ++ky) {
      const std::int64_t y = oy * window.stride_h + ky * window.dilation_h - window.pad_top;
      for (std::int64_t kx = 0; kx < window.kernel_w; ++kx, ++tap) {
        const std::int64_t x = ox * window.stride_w + kx * window.dilation_w - window.pad_left;
        const bool inside = y >= 0 && y < in_h && x >= 0 && x < in_w;
        f(tap, inside ? (image * in_h + y) * in_w + x : -1);
      }
    }
  }
};

/// Turns codes of a range of input positions into planes: bit q of patterns[code - min] goes to plane q, one byte for
/// eight channels, each group from a byte of its own.
class PlanePacker {
 public:
  PlanePacker(const PlaneGeometry& geometry, const RealPlanes& planes);
  /// to: plane q at q * inputs * position_bytes.
  void pack(const std::uint8_t* codes, std::int64_t first, std::int64_t count, std::uint8_t* to) const;
  std::size_t bytes() const;

 private:
  const PlaneGeometry& geometry_;
  int planes_;
  std::array<std::uint8_t, 256> patterns_ = {};
};

/// The weights of all groups for the kernel: [group][panel][plane][word][8].
struct PlanePanels {
  PackedArray<std::uint64_t> words;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.words);
  }
};
std::shared_ptr<const PlanePanels> plane_panels(const PlaneGeometry& geometry, const Step& step);
/// Set weight bits: [plane][tap][output channel].
std::vector<std::int32_t> plane_tap_counts(const PlaneGeometry& geometry, const Step& step);

}  // namespace nnq
