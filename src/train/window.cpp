#include "train/window.h"

#include <algorithm>

namespace nnq::train {

Window::Window(const Node& node)
    : kernel(node.get_ints("kernel_shape")),
      strides(node.get_ints("strides")),
      dilations(node.get_ints("dilations")),
      pads(node.get_ints("pads")),
      auto_pad(node.get_string("auto_pad", "NOTSET")),
      ceil_mode(node.get_int("ceil_mode", 0) != 0) {}

Window Window::sized(std::size_t rank) const {
  Window window = *this;
  if (window.strides.empty()) window.strides.assign(rank, 1);
  if (window.dilations.empty()) window.dilations.assign(rank, 1);
  if (window.pads.empty()) window.pads.assign(2 * rank, 0);
  NNQ_CHECK(window.kernel.size() == rank && window.strides.size() == rank && window.dilations.size() == rank &&
                window.pads.size() == 2 * rank,
            "kernel_shape, strides, dilations and pads do not have the rank of the input");
  for (std::size_t i = 0; i < rank; ++i)
    NNQ_CHECK(window.kernel[i] > 0 && window.strides[i] > 0 && window.dilations[i] > 0,
              "windows need positive sizes and steps");
  return window;
}

Pads Window::resolve(const Ints& in) const {
  const std::size_t rank = kernel.size();
  Pads result{Ints(rank, 0), Ints(rank, 0)};
  for (std::size_t i = 0; i < rank; ++i) {
    if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      const std::int64_t out = (in[i] + strides[i] - 1) / strides[i];
      const std::int64_t total =
          std::max<std::int64_t>(0, (out - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - in[i]);
      result.begin[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      result.end[i] = total - result.begin[i];
    } else if (auto_pad != "VALID") {
      result.begin[i] = pads[i];
      result.end[i] = pads[rank + i];
    }
  }
  return result;
}

at::Tensor pad_spatial(const at::Tensor& x, const Pads& pads, double value) {
  Ints reversed;
  bool any = false;
  for (std::size_t i = pads.begin.size(); i-- > 0;) {
    reversed.push_back(pads.begin[i]);
    reversed.push_back(pads.end[i]);
    any = any || pads.begin[i] != 0 || pads.end[i] != 0;
  }
  return any ? at::constant_pad_nd(x, reversed, value) : x;
}

}  // namespace nnq::train
