// Pad and Resize: gathers along one axis after another.
#include <algorithm>
#include <cmath>

#include "train/torch_op.h"

namespace nnq::train {
namespace {

using Ints = std::vector<std::int64_t>;

at::Tensor take(const at::Tensor& x, std::int64_t axis, const Ints& index) {
  return at::index_select(x, axis, at::tensor(index, at::kLong));
}

at::Tensor along(const std::vector<float>& values, const at::Tensor& x, std::int64_t axis) {
  Ints shape(static_cast<std::size_t>(x.dim()), 1);
  shape[static_cast<std::size_t>(axis)] = static_cast<std::int64_t>(values.size());
  return at::tensor(values, x.options().requires_grad(false)).reshape(shape);
}

/// Where position i of the padded axis (relative to the input) comes from.
std::int64_t source(const std::string& mode, std::int64_t i, std::int64_t length) {
  if (mode == "edge") return std::clamp<std::int64_t>(i, 0, length - 1);
  if (mode == "wrap") return ((i % length) + length) % length;
  const std::int64_t period = std::max<std::int64_t>(2 * (length - 1), 1);  // reflect
  const std::int64_t at = ((i % period) + period) % period;
  return at < length ? at : period - at;
}

Kernel pad(const Build& build) {
  const Integers pads(build, "pads", 1), axes(build, "axes", 3);
  const std::string mode = build.node.get_string("mode", "constant");
  const double attribute = build.node.get_float("value", 0);
  const bool by_attribute = build.opset < 11;
  return one_output([=](const Args& args) {
    at::Tensor x = args[0];
    const Ints amounts = pads.read(args);
    Ints which = !by_attribute && axes.present() ? axes.read(args) : Ints{};
    if (which.empty())
      for (std::int64_t d = 0; d < x.dim(); ++d) which.push_back(d);
    NNQ_CHECK(amounts.size() == 2 * which.size(), "pads needs a begin and an end for each axis");
    Ints begin(static_cast<std::size_t>(x.dim())), end(begin);
    for (std::size_t i = 0; i < which.size(); ++i) {
      const std::int64_t axis = which[i] < 0 ? which[i] + x.dim() : which[i];
      NNQ_CHECK(axis >= 0 && axis < x.dim(), "an axis is outside the input's rank");
      begin[static_cast<std::size_t>(axis)] = amounts[i];
      end[static_cast<std::size_t>(axis)] = amounts[which.size() + i];
    }
    if (mode == "constant") {
      Ints reversed;
      for (std::size_t d = begin.size(); d-- > 0;) reversed.insert(reversed.end(), {begin[d], end[d]});
      const at::Scalar value = !by_attribute && args.has(2) ? args[2].item() : at::Scalar(attribute);
      return at::constant_pad_nd(x, reversed, value);
    }
    for (std::int64_t d = 0; d < x.dim(); ++d) {
      const std::int64_t b = begin[static_cast<std::size_t>(d)], e = end[static_cast<std::size_t>(d)],
                         length = x.size(d);
      if (b == 0 && e == 0) continue;
      NNQ_CHECK(length > 0, "an empty axis has nothing to repeat");
      Ints index;
      for (std::int64_t i = -b; i < length + e; ++i) index.push_back(source(mode, i, length));
      x = take(x, d, index);
    }
    return x;
  });
}

struct Resizing {
  std::string coordinates, rounding;
  bool linear = false;
};

/// Position in the input of output position i.
double original(const Resizing& how, std::int64_t i, std::int64_t in, std::int64_t out, double scale) {
  const auto at = static_cast<double>(i);
  if (how.coordinates == "asymmetric") return at / scale;
  if (how.coordinates == "align_corners")
    return out == 1 ? 0 : at * static_cast<double>(in - 1) / static_cast<double>(out - 1);
  if (how.coordinates == "pytorch_half_pixel") return out > 1 ? (at + 0.5) / scale - 0.5 : 0;
  if (how.coordinates == "tf_half_pixel_for_nn") return (at + 0.5) / scale;
  if (how.coordinates == "half_pixel_symmetric") {
    const double adjustment = static_cast<double>(out) / (scale * static_cast<double>(in)),
                 centre = static_cast<double>(in) / 2;
    return centre * (1 - adjustment) + (at + 0.5) / scale - 0.5;
  }
  return (at + 0.5) / scale - 0.5;
}

std::int64_t nearest(const std::string& rounding, double position) {
  if (rounding == "floor") return static_cast<std::int64_t>(std::floor(position));
  if (rounding == "ceil") return static_cast<std::int64_t>(std::ceil(position));
  if (rounding == "round_prefer_ceil") return static_cast<std::int64_t>(std::floor(position + 0.5));
  return static_cast<std::int64_t>(std::ceil(position - 0.5));
}

at::Tensor resize_axis(const at::Tensor& x, std::int64_t axis, std::int64_t out, double scale, const Resizing& how) {
  const std::int64_t in = x.size(axis);
  Ints low, high;
  std::vector<float> share;
  for (std::int64_t i = 0; i < out; ++i) {
    const double position = original(how, i, in, out, scale);
    if (!how.linear) {
      low.push_back(std::clamp<std::int64_t>(nearest(how.rounding, position), 0, in - 1));
      continue;
    }
    const double floor = std::floor(position);
    low.push_back(std::clamp<std::int64_t>(static_cast<std::int64_t>(floor), 0, in - 1));
    high.push_back(std::clamp<std::int64_t>(static_cast<std::int64_t>(floor) + 1, 0, in - 1));
    share.push_back(static_cast<float>(position - floor));
  }
  if (!how.linear) return take(x, axis, low);
  const at::Tensor weight = along(share, x, axis);
  return take(x, axis, low) * (1 - weight) + take(x, axis, high) * weight;
}

/// Nearest and linear; cubic, antialiased and cropping forms are left to the reference.
Kernel resize(const Build& build) {
  const Node& node = build.node;
  Resizing how{node.get_string("coordinate_transformation_mode", build.opset < 11 ? "asymmetric" : "half_pixel"),
               node.get_string("nearest_mode", build.opset < 11 ? "floor" : "round_prefer_floor"),
               node.get_string("mode", "nearest") == "linear"};
  if (node.get_string("mode", "nearest") == "cubic" || node.get_int("antialias", 0) != 0 ||
      how.coordinates == "tf_crop_and_resize" || node.has("axes") ||
      node.get_string("keep_aspect_ratio_policy", "stretch") != "stretch")
    return {};
  const std::size_t scales_input = build.opset < 11 ? 1 : 2;
  const Integers sizes(build, nullptr, 3);
  return one_output([=](const Args& args) {
    at::Tensor x = args[0];
    const bool by_size = sizes.present() && args.has(3) && args[3].numel() > 0;
    Ints target = by_size ? sizes.read(args) : Ints{};
    const at::Tensor scales = by_size ? at::Tensor() : args[scales_input].to(at::kDouble);
    NNQ_CHECK((by_size ? static_cast<std::int64_t>(target.size()) : scales.numel()) == x.dim(),
              "one scale or size an axis is needed");
    for (std::int64_t d = 0; d < x.dim(); ++d) {
      const std::int64_t in = x.size(d);
      const double scale = by_size ? static_cast<double>(target[static_cast<std::size_t>(d)]) / static_cast<double>(in)
                                   : scales[d].item<double>();
      NNQ_CHECK(in > 0 && scale > 0 && scale < 1e6, "scales are positive");
      const std::int64_t out = by_size ? target[static_cast<std::size_t>(d)]
                                       : static_cast<std::int64_t>(std::floor(static_cast<double>(in) * scale));
      if (out != in || scale != 1) x = resize_axis(x, d, out, scale, how);
    }
    return x;
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(resample) {
  add("Pad", pad, "");
  add("Resize", resize, "");
}
