// Resize and Upsample taken apart: what a node wants, the extents of each axis, and for each axis the samples and
// weights of every output. The reference evaluation and the runtime's step share them, and so agree to the bit.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "nnq/op.h"

namespace nnq::ops {

enum class ResizeCoordinates {
  half_pixel,
  half_pixel_symmetric,
  pytorch_half_pixel,
  align_corners,
  asymmetric,
  tf_half_pixel_for_nn,
  tf_crop_and_resize
};
enum class ResizeMode { nearest, linear, cubic };
enum class ResizeNearest { round_prefer_floor, round_prefer_ceil, floor, ceil };

struct ResizeStyle {
  ResizeCoordinates coordinates = ResizeCoordinates::half_pixel;
  ResizeMode mode = ResizeMode::nearest;
  ResizeNearest nearest = ResizeNearest::round_prefer_floor;
  double cubic_a = -0.75;
  bool exclude_outside = false;
  bool antialias = false;
};

/// One axis: extents, scale (output / input), and the cropped part [from, to] for tf_crop_and_resize.
struct ResizeAxis {
  std::int64_t in = 0, out = 0;  // -1: unknown
  double scale = 1, from = 0, to = 1;
};

/// The inputs as numbers, whatever their version: scales or sizes (one of them empty) and roi.
struct ResizeWanted {
  bool known = true;
  std::vector<double> roi, scales, sizes;
};

/// For each output index `taps` input indices and weights that sum to 1.
struct ResizeTable {
  std::int64_t taps = 1;
  std::vector<std::int64_t> index;
  std::vector<double> weight;
};

/// A node's attributes; unknown words are errors.
Status read_resize_style(const Node& node, std::int64_t opset, ResizeStyle& style);
/// given(i): whether the node has input i; value(i): the input, when it is known.
Status read_resize_wanted(const Node& node, std::int64_t opset, const std::function<bool(std::size_t)>& given,
                          const std::function<std::optional<TensorView>(std::size_t)>& value, ResizeWanted& out);
/// Fills plan[i].out and the scales; plan[i].in is given (-1 when unknown). crop: tf_crop_and_resize.
Status resolve_resize(const Node& node, const ResizeWanted& wanted, bool crop, std::vector<ResizeAxis>& plan);
/// Axes that change, in the order in which they are interpolated: shrinking axes first, so that nothing in between is
/// larger than the input or the output.
std::vector<std::size_t> resize_order(const std::vector<ResizeAxis>& plan, bool crop);
/// Where output i of an axis lies in the input.
double resize_position(ResizeCoordinates c, const ResizeAxis& a, std::int64_t i);
/// Refuses scales that contradict the extents.
Status make_resize_table(const Node& node, const ResizeStyle& style, const ResizeAxis& a, ResizeTable& table);

}  // namespace nnq::ops
