// Windows of convolutions and pools: ONNX attributes to what LibTorch wants.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/torch_op.h"

namespace nnq::train {

using Ints = std::vector<std::int64_t>;

/// Begin and end padding of each spatial axis.
struct Pads {
  Ints begin, end;
  bool symmetric() const { return begin == end; }
};

struct Window {
  Ints kernel, strides, dilations, pads;  // empty until sized for a rank
  std::string auto_pad;
  bool ceil_mode = false;

  explicit Window(const Node& node);
  /// Fills defaults for `rank` spatial axes; throws nnq::Error when attributes have another rank.
  Window sized(std::size_t rank) const;
  /// Paddings for spatial sizes `in` (auto_pad resolved). Requires sized() and a kernel.
  Pads resolve(const Ints& in) const;
};

/// Constant padding of the last axes; negative amounts crop.
at::Tensor pad_spatial(const at::Tensor& x, const Pads& pads, double value);

}  // namespace nnq::train
