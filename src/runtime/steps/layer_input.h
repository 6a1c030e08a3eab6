// How a convolution or fully connected layer reads its input without gathering it: every output position is a row that
// starts somewhere in the image, and the same offsets lead from there to everything under the window. Images with
// borders (and codes that are packed tighter for the kernel) are copied once; everything else is read where it lies.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/direct/direct.h"
#include "runtime/plan.h"

namespace nnq {

/// A layer's sizes. A fully connected layer on an image is a convolution with a kernel of the image's size.
struct LayerGeometry {
  std::int64_t n, in_h, in_w, in_c, out_h, out_w;
  Window window;

  LayerGeometry(const Slot& in, const Slot& out, const Step& step);
  std::int64_t taps() const { return window.kernel_h * window.kernel_w; }
  std::int64_t positions() const { return n * out_h * out_w; }
  /// Input row of tap ky at output row oy; the same for columns. May lie outside.
  std::int64_t in_y(std::int64_t oy, std::int64_t ky) const {
    return oy * window.stride_h + ky * window.dilation_h - window.pad_top;
  }
  std::int64_t in_x(std::int64_t ox, std::int64_t kx) const {
    return ox * window.stride_w + kx * window.dilation_w - window.pad_left;
  }
  /// Some window reaches over the edge.
  bool has_border() const;
};

/// How the bytes under a window follow each other in the order the kernel reads them: `runs` of run_bytes (whole units,
/// zeros behind the last tap), each of run_taps taps of tap_bytes that lie side by side.
struct LayerRuns {
  std::int64_t runs, run_bytes, run_taps, tap_bytes;
};

class LayerInput {
 public:
  enum class Form {
    bytes,   // a code a byte
    wide,    // a code in 16 bits
    words,   // sign bits in 32-bit words
    packed,  // four 2-bit codes a byte, channels padded with code 0 to a multiple of 8
    split,   // codes 0 .. 15 as packed: first the low two bits of all channels of a position, then the high two
  };
  /// unit: bytes of one kernel step. border: the byte under the window outside the image (packed, split, wide: the
  /// code).
  LayerInput(const LayerGeometry& geometry, const Slot& in, Form form, std::int64_t groups, std::int64_t unit,
             std::uint8_t border, const DirectKernels& kernels);

  std::size_t scratch_bytes() const { return copied_ ? static_cast<std::size_t>(images_bytes_) + 64 : 0; }
  bool copied() const { return copied_; }
  /// Fills the copy, when there is one.
  void prepare(ThreadPool& pool, std::byte* scratch) const;
  /// Where the first row of a group starts; `scratch` as given to prepare.
  const std::uint8_t* first_row(const std::byte* scratch, std::int64_t group) const {
    return (copied_ ? reinterpret_cast<const std::uint8_t*>(scratch) : in_.as<std::uint8_t>()) + group * tap_bytes_;
  }
  /// Distance of the row of output position (oy, ox) of an image from the first row.
  std::int64_t row_offset(std::int64_t image, std::int64_t oy, std::int64_t ox) const {
    return ((image * height_ + oy * g_.window.stride_h) * width_ + ox * g_.window.stride_w) * pixel_;
  }

  const std::vector<std::int64_t>& offsets() const { return offsets_; }
  std::int64_t steps() const { return static_cast<std::int64_t>(offsets_.size()); }
  /// split: distance of a row's high bits from its low bits.
  std::int64_t high_bits() const { return pixel_ / 2; }
  LayerRuns runs() const {
    const std::int64_t run_taps = merged_ ? g_.window.kernel_w : 1;
    return {g_.taps() / run_taps, run_bytes_, run_taps, tap_bytes_};
  }

 private:
  bool packs() const { return form_ != Form::bytes && form_ != Form::words; }
  void copy_row(const std::uint8_t* from, std::uint8_t* to, std::int64_t pixels) const;
  void fill_border(std::uint8_t* to, std::int64_t pixels) const;

  const LayerGeometry& g_;
  const Slot& in_;
  Form form_;
  PackCodes pack_;
  WidenCodes widen_;
  std::uint8_t border_;
  bool merged_, copied_;  // merged: the taps of a kernel row are one run
  std::int64_t pixel_, tap_bytes_, run_bytes_, height_, width_, images_bytes_ = 0;
  std::vector<std::uint8_t> border_pixel_;
  std::vector<std::int64_t> offsets_;
};

}  // namespace nnq
