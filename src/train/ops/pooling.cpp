// MaxPool, AveragePool and their global forms.
#include <limits>

#include "train/window.h"

namespace nnq::train {
namespace {

Ints spatial(const at::Tensor& x) { return x.sizes().slice(2).vec(); }

/// One-dimensional pools run as two-dimensional ones of height 1.
Window two_dimensional(Window window) {
  if (window.kernel.size() == 2) return window;
  for (Ints* values : {&window.kernel, &window.strides, &window.dilations}) values->insert(values->begin(), 1);
  window.pads = {0, window.pads[0], 0, window.pads[1]};
  return window;
}

/// The windows a pool really applies: `pads` changed so that every window lies inside the padded input (ceil_mode,
/// ONNX's rule: the last window must begin inside the input or its begin padding).
Pads whole_windows(const Window& window, const Ints& in) {
  Pads pads = window.resolve(in);
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::int64_t reach = (window.kernel[i] - 1) * window.dilations[i] + 1;
    const std::int64_t free = in[i] + pads.begin[i] + pads.end[i] - reach;
    NNQ_CHECK(free >= 0, "the window is larger than its padded input");
    std::int64_t steps = free / window.strides[i];
    if (window.ceil_mode && free % window.strides[i] != 0 && (steps + 1) * window.strides[i] < in[i] + pads.begin[i])
      ++steps;
    pads.end[i] = steps * window.strides[i] + reach - in[i] - pads.begin[i];
  }
  return pads;
}

bool natively_padded(const Window& window, const Pads& pads) {
  bool fits = pads.symmetric() && !window.ceil_mode;
  for (std::size_t i = 0; fits && i < pads.begin.size(); ++i)
    fits = pads.begin[i] >= 0 && pads.begin[i] <= window.kernel[i] / 2;
  return fits;
}

at::Tensor max_pool_2d(const at::Tensor& x, const Window& window) {
  const Pads pads = window.resolve(spatial(x));
  if (natively_padded(window, pads))
    return at::max_pool2d(x, window.kernel, window.strides, pads.begin, window.dilations);
  const double lowest = at::isFloatingType(x.scalar_type()) ? -std::numeric_limits<double>::infinity() : 0;
  return at::max_pool2d(pad_spatial(x, whole_windows(window, spatial(x)), lowest), window.kernel, window.strides, 0,
                        window.dilations);
}

at::Tensor average_pool_2d(const at::Tensor& x, const Window& window, bool count_pads) {
  const Pads pads = window.resolve(spatial(x));
  if (natively_padded(window, pads))
    return at::avg_pool2d(x, window.kernel, window.strides, pads.begin, false, count_pads);
  const Pads whole = whole_windows(window, spatial(x));
  const auto sum = [&](const at::Tensor& t, const Pads& around) {
    return at::avg_pool2d(pad_spatial(t, around, 0), window.kernel, window.strides, 0, false, true, 1);
  };
  at::Tensor ones = at::ones({1, 1, x.size(2), x.size(3)}, x.options());
  if (count_pads) {
    ones =
        at::ones({1, 1, x.size(2) + pads.begin[0] + pads.end[0], x.size(3) + pads.begin[1] + pads.end[1]}, x.options());
    const Pads beyond{{0, 0}, {whole.end[0] - pads.end[0], whole.end[1] - pads.end[1]}};
    return sum(x, whole) / sum(ones, beyond);
  }
  return sum(x, whole) / sum(ones, whole);
}

/// f on [N, C, H, W], for inputs of rank 3 or 4.
template <class F>
Kernel pool(const Window& window, F f) {
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    NNQ_CHECK(x.dim() == 3 || x.dim() == 4, "pools take inputs of rank 3 or 4");
    const Window sized = two_dimensional(window.sized(static_cast<std::size_t>(x.dim() - 2)));
    return x.dim() == 4 ? f(x, sized) : f(x.unsqueeze(2), sized).squeeze(2);
  });
}

Kernel max_pool(const Build& build) {
  const Window window(build.node);
  const bool indices = build.node.outputs.size() > 1 && !build.node.outputs[1].empty();
  if (indices || window.kernel.size() > 2) return {};
  const Kernel kernel = pool(window, max_pool_2d);
  return [kernel](const Args& args) {
    if (at::isFloatingType(args[0].scalar_type())) return kernel(args);
    // LibTorch has no integer max-pool: bytes are exact in float.
    at::Tensor x = args[0].to(at::kDouble), y;
    const std::vector<at::Tensor*> in{&x}, out{&y};
    kernel(Args(args.run, in, out, false));
    args.set(0, y.to(args[0].scalar_type()));
  };
}

Kernel average_pool(const Build& build) {
  const Window window(build.node);
  for (const std::int64_t dilation : window.dilations)
    if (dilation != 1) return {};
  if (window.kernel.size() > 2) return {};
  const bool count_pads = build.node.get_int("count_include_pad", 0) != 0;
  return pool(window, [=](const at::Tensor& x, const Window& sized) { return average_pool_2d(x, sized, count_pads); });
}

Ints spatial_axes(const at::Tensor& x) {
  Ints axes;
  for (std::int64_t d = 2; d < x.dim(); ++d) axes.push_back(d);
  return axes;
}

/// A sum divided once: exact for integer codes up to that division.
Kernel global_average_pool(const Build&) {
  return one_output([](const Args& args) {
    const Ints axes = spatial_axes(args[0]);
    return axes.empty() ? args[0] : at::mean(args[0], axes, true);
  });
}

Kernel global_max_pool(const Build&) {
  return one_output([](const Args& args) {
    const Ints axes = spatial_axes(args[0]);
    return axes.empty() ? args[0] : at::amax(args[0], axes, true);
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(pooling) {
  add("MaxPool", max_pool, "");
  add("AveragePool", average_pool, "");
  add("GlobalAveragePool", global_average_pool, "");
  add("GlobalMaxPool", global_max_pool, "");
}
