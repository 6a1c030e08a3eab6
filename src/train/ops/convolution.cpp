// Conv and ConvTranspose.
#include <algorithm>

#include "train/window.h"

namespace nnq::train {
namespace {

Ints spatial(const at::Tensor& x) { return x.sizes().slice(2).vec(); }

Window window_for(const Window& window, const at::Tensor& x, const at::Tensor& weight) {
  NNQ_CHECK(x.dim() >= 3 && weight.dim() == x.dim(), "a convolution needs input and weight of one rank, at least 3");
  Window sized = window;
  if (sized.kernel.empty()) sized.kernel = spatial(weight);
  return sized.sized(static_cast<std::size_t>(x.dim() - 2));
}

Kernel conv(const Build& build) {
  const Window window(build.node);
  const std::int64_t groups = build.node.get_int("group", 1);
  return one_output([=, twofold = build.twofold](const Args& args) {
    const Window sized = window_for(window, args[0], args[1]);
    const Pads pads = sized.resolve(spatial(args[0]));
    const Ints none(pads.begin.size(), 0);
    const bool padded = !pads.symmetric();
    return summed(args, twofold, [&](const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
      return at::convolution(padded ? pad_spatial(x, pads, 0) : x, w, bias, sized.strides, padded ? none : pads.begin,
                             sized.dilations, false, none, groups);
    });
  });
}

/// Total padding split as ONNX says when output_shape is given.
Pads pads_for_output(const Window& window, const Ints& full, const Ints& wanted) {
  Pads pads{Ints(full.size(), 0), Ints(full.size(), 0)};
  for (std::size_t i = 0; i < full.size(); ++i) {
    const std::int64_t total = full[i] - wanted[i];
    const std::int64_t half = total >= 0 ? total / 2 : -((-total + 1) / 2);
    pads.begin[i] = window.auto_pad == "SAME_UPPER" ? half : total - half;
    pads.end[i] = total - pads.begin[i];
  }
  return pads;
}

Kernel conv_transpose(const Build& build) {
  const Window window(build.node);
  const std::int64_t groups = build.node.get_int("group", 1);
  const Ints output_padding = build.node.get_ints("output_padding");
  const Ints output_shape = build.node.get_ints("output_shape");
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    const Window sized = window_for(window, x, args[1]);
    const std::size_t rank = sized.kernel.size();
    const Ints extra = output_padding.empty() ? Ints(rank, 0) : output_padding;
    NNQ_CHECK(extra.size() == rank, "output_padding does not have the rank of the input");
    const Ints none(rank, 0), in = spatial(x);
    Ints full(rank), wanted(rank);
    for (std::size_t i = 0; i < rank; ++i) {
      full[i] = (in[i] - 1) * sized.strides[i] + (sized.kernel[i] - 1) * sized.dilations[i] + 1 + extra[i];
      wanted[i] = in[i] * sized.strides[i];
    }
    Pads pads{Ints(sized.pads.begin(), sized.pads.begin() + static_cast<std::ptrdiff_t>(rank)),
              Ints(sized.pads.begin() + static_cast<std::ptrdiff_t>(rank), sized.pads.end())};
    if (!output_shape.empty()) {
      NNQ_CHECK(output_shape.size() >= rank, "output_shape does not have the rank of the input");
      pads = pads_for_output(sized, full,
                             Ints(output_shape.end() - static_cast<std::ptrdiff_t>(rank), output_shape.end()));
    } else if (sized.auto_pad == "SAME_UPPER" || sized.auto_pad == "SAME_LOWER") {
      pads = pads_for_output(sized, full, wanted);
    } else if (sized.auto_pad == "VALID") {
      pads = {none, none};
    }
    const bool legal = pads.symmetric() && *std::min_element(pads.begin.begin(), pads.begin.end()) >= 0;
    if (legal)
      return at::convolution(x, args[1], args.optional(2), sized.strides, pads.begin, sized.dilations, true, extra,
                             groups);
    // What an output_shape asks for beyond the kernel's reach is bias alone, so the bias comes last.
    at::Tensor y = at::convolution(x, args[1], {}, sized.strides, none, sized.dilations, true, extra, groups);
    for (std::size_t i = 0; i < rank; ++i) {
      pads.begin[i] = -pads.begin[i];
      pads.end[i] = -pads.end[i];
    }
    y = pad_spatial(y, pads, 0);
    if (!args.has(2)) return y;
    Ints along_channels(rank + 1, 1);
    along_channels[0] = -1;
    return y + args[2].reshape(along_channels);
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(convolution) {
  add("Conv", conv, "");
  add("ConvTranspose", conv_transpose, "");
}
