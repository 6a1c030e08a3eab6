// Shapes that steps make from shapes they get; shared by interpreter and planner. Integer values of rank 4 are NHWC
// here.
#pragma once

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
Shape channels_last(const Shape& shape);
Shape channels_first(const Shape& shape);

}  // namespace nnq
