#include "runtime/steps/layer_input.h"

#include <algorithm>
#include <cstring>

namespace nnq {
namespace {

std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

LayerGeometry::LayerGeometry(const Slot& in, const Slot& out, const Step& step) {
  if (step.kind == StepKind::convolution) {
    n = in.shape[0], in_h = in.shape[1], in_w = in.shape[2], in_c = in.shape[3];
    const std::size_t first = out.storage == Storage::tensor ? 2 : 1;  // tensors are NCHW
    out_h = out.shape[first], out_w = out.shape[first + 1];
    window = step.window;
    return;
  }
  const bool image = in.shape.size() == 4;
  n = in.shape[0], in_h = image ? in.shape[1] : 1, in_w = image ? in.shape[2] : 1;
  in_c = image ? in.shape[3] : step.in_channels;
  out_h = out_w = 1;
  window = Window{.kernel_h = in_h, .kernel_w = in_w};
}

bool LayerGeometry::has_border() const {
  return in_y(0, 0) < 0 || in_x(0, 0) < 0 || in_y(out_h - 1, window.kernel_h - 1) >= in_h ||
         in_x(out_w - 1, window.kernel_w - 1) >= in_w;
}

LayerInput::LayerInput(const LayerGeometry& geometry, const Slot& in, Form form, std::int64_t groups, std::int64_t unit,
                       std::uint8_t border, const DirectKernels& kernels)
    : g_(geometry), in_(in), form_(form), pack_(kernels.pack), widen_(kernels.widen), border_(border) {
  const Window& w = g_.window;
  pixel_ = form == Form::bytes    ? g_.in_c
           : form == Form::wide   ? g_.in_c * 2
           : form == Form::words  ? (g_.in_c + 31) / 32 * 4
           : form == Form::packed ? (g_.in_c + 7) / 8 * 2
                                  : (g_.in_c + 7) / 8 * 4;
  tap_bytes_ = form == Form::split ? pixel_ / 2 : pixel_ / groups;
  merged_ = groups == 1 && w.dilation_w == 1 && form != Form::split;
  const std::int64_t used = merged_ ? w.kernel_w * tap_bytes_ : tap_bytes_;
  run_bytes_ = round_up(used, unit);
  // Reading over the end of a run is harmless (those weights are zero), but not over the end of the image.
  copied_ = packs() || g_.has_border() || run_bytes_ != used;
  height_ = copied_ ? (g_.out_h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1 : g_.in_h;
  width_ = copied_ ? (g_.out_w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1 : g_.in_w;
  images_bytes_ = g_.n * height_ * width_ * pixel_;
  border_pixel_.assign(static_cast<std::size_t>(pixel_), border);
  if (packs()) {
    const std::vector<std::uint8_t> codes(static_cast<std::size_t>(g_.in_c), border);
    copy_row(codes.data(), border_pixel_.data(), 1);
  }
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    for (std::int64_t kx = 0; kx < (merged_ ? 1 : w.kernel_w); ++kx) {
      const std::int64_t start = (ky * w.dilation_h * width_ + kx * w.dilation_w) * pixel_;
      for (std::int64_t b = 0; b < run_bytes_; b += unit) offsets_.push_back(start + b);
    }
  }
}

void LayerInput::prepare(ThreadPool& pool, std::byte* scratch) const {
  if (!copied_) return;
  const std::int64_t left = std::min(g_.window.pad_left, width_), middle = std::min(g_.in_w, width_ - left),
                     in_pixel = packs() ? g_.in_c : pixel_, rows = g_.n * height_,
                     each = std::max<std::int64_t>(8, rows / (pool.threads() * 2));
  auto* const copy = reinterpret_cast<std::uint8_t*>(scratch);
  pool.parallel((rows + each - 1) / each, [&](std::int64_t part) {
    for (std::int64_t row = part * each; row < std::min(rows, (part + 1) * each); ++row) {
      std::uint8_t* to = copy + row * width_ * pixel_;
      const std::int64_t y = row % height_ - g_.window.pad_top;
      if (y < 0 || y >= g_.in_h) {
        fill_border(to, width_);
        continue;
      }
      fill_border(to, left);
      copy_row(in_.as<std::uint8_t>() + (row / height_ * g_.in_h + y) * g_.in_w * in_pixel, to + left * pixel_, middle);
      fill_border(to + (left + middle) * pixel_, width_ - left - middle);
    }
  });
}

void LayerInput::copy_row(const std::uint8_t* from, std::uint8_t* to, std::int64_t pixels) const {
  if (!packs()) {
    std::memcpy(to, from, static_cast<std::size_t>(pixels * pixel_));
  } else if (form_ == Form::wide) {
    widen_(from, to, pixels * g_.in_c);
  } else if (form_ == Form::packed && g_.in_c % 8 == 0) {
    pack_(from, to, pixels * g_.in_c, 0);
  } else {
    for (std::int64_t p = 0; p < pixels; ++p) {
      pack_(from + p * g_.in_c, to + p * pixel_, g_.in_c, 0);
      if (form_ == Form::split) pack_(from + p * g_.in_c, to + p * pixel_ + high_bits(), g_.in_c, 2);
    }
  }
}

void LayerInput::fill_border(std::uint8_t* to, std::int64_t pixels) const {
  if (!packs()) {
    std::memset(to, border_, static_cast<std::size_t>(pixels * pixel_));
    return;
  }
  for (std::int64_t p = 0; p < pixels; ++p)
    std::memcpy(to + p * pixel_, border_pixel_.data(), static_cast<std::size_t>(pixel_));
}

}  // namespace nnq
