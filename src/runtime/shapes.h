// Shapes that steps make from shapes they get; shared by interpreter and planner. Integer values of rank 4 are NHWC
// here.
#pragma once

#include <span>

#include "nnq/program.h"

namespace nnq {

/// A caller's input against what the program declares.
Status check_input(const ProgramValue& declared, const Tensor& given);
Status check_input(const ProgramValue& declared, DType dtype, const Shape& shape);

/// [n, h, w, out_channels]; refuses a kernel larger than the padded input.
Status convolution_shape(const Step& step, const Shape& input, Shape& output);
/// [n, h, w, c] of max_pool and sum_pool (floor division; a 0 x 0 kernel is the whole plane).
Status pool_shape(const Step& step, const Shape& input, Shape& output);
Status subsample_shape(const Step& step, const Shape& input, Shape& output);

/// ONNX order (NCHW) <-> program order (NHWC) of a rank-4 shape; other ranks unchanged.
/// Of add: both inputs have one shape, an image or a matrix, of the step's channels.
Status add_shape(const Step& step, const Shape& a, const Shape& b);
/// Of concat: shapes agree in all but the channels, which are added up.
Status concat_shape(std::span<const Shape> inputs, Shape& output);
/// Numbers a channel (scales, offsets, thresholds, flags) are one for all or one for each of the channels there really
/// are: a program states types, a float operator may make others. `shape` channels last.
Status check_channels(const Step& step, const Shape& shape);

Shape channels_last(const Shape& shape);
Shape channels_first(const Shape& shape);

}  // namespace nnq
