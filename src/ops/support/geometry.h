// Where the windows of convolutions and pooling lie: strides, dilations and explicit or automatic padding resolved from
// a node's attributes. Used by the operators' reference, the LibTorch executor and lowering, so that all agree.
#pragma once

#include <cstdint>

#include "nnq/node.h"
#include "nnq/op.h"
#include "ops/support/dims.h"

namespace nnq::ops {

/// One number for each spatial axis. pad_begin and pad_end are in elements, >= 0.
struct WindowGeometry {
  Dims kernel;
  Dims stride;
  Dims dilation;
  Dims pad_begin;
  Dims pad_end;

  std::size_t rank() const { return kernel.size(); }
  /// Extent of the dilated kernel along axis i: (kernel - 1) * dilation + 1.
  std::int64_t span(std::size_t i) const { return (kernel[i] - 1) * dilation[i] + 1; }
};

/// Geometry of a Conv, MaxPool, AveragePool, ConvInteger or QLinearConv node (attributes strides, dilations, pads,
/// auto_pad). `kernel` and `input` are the spatial extents; an input extent of -1 is unknown, and then the padding of
/// auto_pad = SAME_* is only resolved (not an error) when the stride is 1; otherwise pads of that axis are 0.
/// auto_pad SAME_UPPER puts the odd element of padding at the end, SAME_LOWER at the beginning.
/// Errors: lists of another length than kernel, values out of range (kernel, stride, dilation >= 1; pads >= 0; all <
/// 2^31).
Status resolve_conv_padding(const Node& node, const Dims& kernel, const Dims& input, WindowGeometry& out);

/// Output extent along `axis` for a known input extent: floor (or ceil) of (input + pads - span) / stride, + 1. With
/// ceil_mode a last window that would start in the end padding is dropped. Errors: the window does not fit.
Status window_output(const Node& node, const WindowGeometry& g, std::size_t axis, std::int64_t input, bool ceil_mode,
                     std::int64_t& out);

/// As window_output for all axes, on symbolic dims: an unknown extent stays its symbol where the window keeps it.
Status window_output_dims(const Node& node, const WindowGeometry& g, std::span<const Dim> input, bool ceil_mode,
                          SymbolicShape& out);

/// ConvTranspose: geometry plus output extents, from attributes strides, dilations, pads, auto_pad, output_padding and
/// output_shape. `input` as above; output extents of unknown input extents are -1 (unless output_shape gives them).
Status resolve_transpose_padding(const Node& node, const Dims& kernel, const Dims& input, WindowGeometry& out,
                                 Dims& output);

/// True for auto_pad = SAME_UPPER or SAME_LOWER.
bool pads_to_same(const Node& node);

}  // namespace nnq::ops
