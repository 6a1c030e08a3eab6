#include "runtime/steps/float_columns.h"

#include <algorithm>
#include <cstring>

namespace nnq {
namespace {

using Four = float __attribute__((vector_size(16)));

/// to[i] = from[i * stride]
inline void copy(const float* from, std::int64_t stride, std::int64_t count, float* to) {
  if (stride != 1) {
    std::int64_t i = 0;
    // Four of eight floats, the last of which nobody asked for: it is there as long as another value follows.
    for (; stride == 2 && i + 4 < count; i += 4) {
      Four low, high;
      std::memcpy(&low, from + 2 * i, sizeof low);
      std::memcpy(&high, from + 2 * i + 4, sizeof high);
      const Four even = __builtin_shufflevector(low, high, 0, 2, 4, 6);
      std::memcpy(to + i, &even, sizeof even);
    }
    for (; i < count; ++i) to[i] = from[i * stride];
    return;
  }
  // Fixed sizes: a call of memcpy takes longer than the copy.
  if (count == panel_width) {
    std::memcpy(to, from, panel_width * sizeof(float));
    return;
  }
  std::int64_t i = 0;
  for (; i + 4 <= count; i += 4) std::memcpy(to + i, from + i, 4 * sizeof(float));
  for (; i < count; ++i) to[i] = from[i];
}

/// Output positions of one row of outputs: from (y, x) on, in columns `begin` to `end` of the panel.
struct Run {
  std::int64_t y, x, begin, end;
};

/// What a run has under one tap of the window, the same in every channel: `before` zeros, `inside` values of the image
/// from `from` on, `behind` zeros.
struct Piece {
  std::int64_t from, to;
  std::int64_t before, inside, behind;
};

Piece piece_of(const ColumnSource& s, const Run& run, std::int64_t ky, std::int64_t kx) {
  const Window& window = s.window;
  const std::int64_t iy = run.y * window.stride_h - window.pad_top + ky * window.dilation_h,
                     ix = run.x * window.stride_w - window.pad_left + kx * window.dilation_w, stride = window.stride_w,
                     count = run.end - run.begin, to = (ky * window.kernel_w + kx) * panel_width + run.begin;
  if (iy < 0 || iy >= s.height || ix >= s.width) return {0, to, count, 0, 0};
  const std::int64_t before = ix < 0 ? std::min(count, (-ix + stride - 1) / stride) : 0,
                     end = std::max(before, std::min(count, (s.width - 1 - ix) / stride + 1));
  return {before < end ? iy * s.width + ix + before * stride : 0, to, before, end - before, count - end};
}

/// Pieces of a panel, as many as fit; written channel by channel, so that the panel is written in order.
class Pieces {
 public:
  Pieces(const ColumnSource& source, float* panel) : source_(source), panel_(panel) {}
  void add(const Piece& piece) {
    if (count_ == most) flush();
    pieces_[count_++] = piece;
  }
  void flush() {
    const std::int64_t step = source_.window.kernel_h * source_.window.kernel_w * panel_width,
                       plane = source_.height * source_.width, stride = source_.window.stride_w;
    const float* x = source_.x;
    float* panel = panel_;
    if (count_ == 1 && pieces_[0].inside == panel_width && stride == 1) {
      // Layers of one tap: the lines of the next panel are fetched along, for each channel's lies in a page of its own.
      x += pieces_[0].from;
      panel += pieces_[0].to;
      for (std::int64_t c = 0; c < source_.channels; ++c, x += plane, panel += step) {
        std::memcpy(panel, x, panel_width * sizeof(float));
        __builtin_prefetch(x + panel_width);
      }
      count_ = 0;
      return;
    }
    for (std::int64_t c = 0; c < source_.channels; ++c, x += plane, panel += step) {
      for (std::size_t i = 0; i < count_; ++i) {
        const Piece& p = pieces_[i];
        float* to = panel + p.to;
        for (std::int64_t k = 0; k < p.before; ++k) *to++ = 0.0F;
        copy(x + p.from, stride, p.inside, to);
        to += p.inside;
        for (std::int64_t k = 0; k < p.behind; ++k) *to++ = 0.0F;
      }
    }
    count_ = 0;
  }

 private:
  static constexpr std::size_t most = 64;
  const ColumnSource& source_;
  float* panel_;
  Piece pieces_[most];
  std::size_t count_ = 0;
};

}  // namespace

void gather_columns(const ColumnSource& source, std::int64_t first, std::int64_t columns, float* panel) noexcept {
  const Window& window = source.window;
  if (columns < panel_width)
    std::fill_n(panel, source.channels * window.kernel_h * window.kernel_w * panel_width, 0.0F);
  Pieces pieces(source, panel);
  Run run{};
  for (; run.begin < columns; run.begin = run.end) {
    const std::int64_t position = first + run.begin;
    run.y = position / source.out_width;
    run.x = position % source.out_width;
    run.end = std::min(columns, run.begin + source.out_width - run.x);
    for (std::int64_t ky = 0; ky < window.kernel_h; ++ky)
      for (std::int64_t kx = 0; kx < window.kernel_w; ++kx) pieces.add(piece_of(source, run, ky, kx));
  }
  pieces.flush();
}

}  // namespace nnq
