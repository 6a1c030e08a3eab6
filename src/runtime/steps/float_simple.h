// Float operators common between layers that the plain reference would make the slowest of a network.
#pragma once

#include <memory>

#include "runtime/plan.h"

namespace nnq {

/// nullptr when the operator, its type or its attributes are not covered.
std::unique_ptr<PreparedStep> make_float_simple(const PlanContext& plan, const Step& step);
/// MaxPool, AveragePool, GlobalAveragePool.
std::unique_ptr<PreparedStep> make_float_pool(const PlanContext& plan, const Step& step);
/// Concat; nullptr when shapes do not fit.
std::unique_ptr<PreparedStep> make_float_concat(const PlanContext& plan, const Step& step);
/// Resize, Upsample; nullptr when other axes than the last two change, or the input is cropped.
std::unique_ptr<PreparedStep> make_float_resize(const PlanContext& plan, const Step& step);
/// Softmax, LogSoftmax; nullptr when the axis is none.
std::unique_ptr<PreparedStep> make_float_softmax(const PlanContext& plan, const Step& step);
/// LSTM, GRU; nullptr with peepholes, lengths, clip, other activations or layout, a GRU that resets before its product.
std::unique_ptr<PreparedStep> make_float_recurrent(const PlanContext& plan, const Step& step);
/// Conv of images; nullptr when it has other dimensions or no output.
std::unique_ptr<PreparedStep> make_float_convolution(const PlanContext& plan, const Step& step);
/// A convolution of images with one input channel a group; nullptr when strides, pads or dilations are so large that its
/// scratch would be.
std::unique_ptr<PreparedStep> make_float_depthwise(const PlanContext& plan, const Step& step, const Window& window);

}  // namespace nnq
