// Float operators common between layers that the plain reference would make the slowest of a network.
#pragma once

#include <memory>

#include "runtime/plan.h"

namespace nnq {

/// nullptr when the operator, its type or its attributes are not covered.
std::unique_ptr<PreparedStep> make_float_simple(const PlanContext& plan, const Step& step);
/// MaxPool, AveragePool, GlobalAveragePool.
std::unique_ptr<PreparedStep> make_float_pool(const PlanContext& plan, const Step& step);
/// A convolution of images with one input channel a group.
std::unique_ptr<PreparedStep> make_float_depthwise(const PlanContext& plan, const Step& step, const Window& window);

}  // namespace nnq
