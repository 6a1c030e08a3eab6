// Convolution by patches, any number of spatial axes: what Conv, ConvInteger and QLinearConv share.
#pragma once

#include "nnq/op.h"
#include "ops/support/geometry.h"
#include "ops/support/multiply.h"

namespace nnq::ops {

/// x [N, C, spatial...], w [M, C / groups, kernel...] -> y [N, M, spatial...].
struct Convolution {
  WindowGeometry geometry;
  Dims input;   // spatial extents
  Dims output;  // spatial extents
  std::int64_t batch = 0, channels = 0, filters = 0, groups = 1;
  double x_zero = 0;  // subtracted from x; padding stands for x_zero

  std::int64_t patch() const { return channels / groups * geometry.kernel.product(); }
};

/// Shape inference of the three: x and w are inputs 0 and `w_index`; gives the output shape.
Status infer_convolution(const InferContext& ctx, std::size_t w_index, SymbolicShape& out);

/// The problem from concrete shapes (after inference succeeded).
Status make_convolution(const EvalContext& ctx, const TensorView& x, const TensorView& w, Convolution& out);

/// Writes patches of positions [first, first + count) of image n, group g as rows of `stride` doubles into zeroed
/// `out`.
void gather_patches(const Convolution& c, const TensorView& x, std::int64_t n, std::int64_t g, std::int64_t first,
                    std::int64_t count, double* out, std::int64_t stride);

/// Runs the convolution; start and finish as in multiply_panels, with (n, filter, first, count, values) and
/// load_filter(filter, out, step) for the weights.
template <class LoadFilter, class Start, class Finish>
void convolve(const Convolution& c, const TensorView& x, double* scratch, LoadFilter&& load_filter, Start&& start,
              Finish&& finish) {
  const std::int64_t per_group = c.filters / c.groups;
  const std::int64_t positions = c.output.product();
  for (std::int64_t n = 0; n < c.batch; ++n) {
    for (std::int64_t g = 0; g < c.groups; ++g) {
      const std::int64_t base = g * per_group;
      multiply_panels(
          per_group, positions, c.patch(), scratch,
          [&](std::int64_t row, double* out, std::int64_t step) { load_filter(base + row, out, step); },
          [&](std::int64_t first, std::int64_t count, double* out, std::int64_t stride) {
            gather_patches(c, x, n, g, first, count, out, stride);
          },
          [&](std::int64_t row, std::int64_t first, std::int64_t count, double* v) {
            start(n, base + row, first, count, v);
          },
          [&](std::int64_t row, std::int64_t first, std::int64_t count, double* v) {
            finish(n, base + row, first, count, v);
          });
    }
  }
}

/// Scratch of convolve() for weights of this type.
std::size_t convolution_scratch(const ValueType& w);
/// Multiply-accumulates of weights w applied to give output y.
std::int64_t convolution_macs(const ValueType& w, const ValueType& y);

}  // namespace nnq::ops
