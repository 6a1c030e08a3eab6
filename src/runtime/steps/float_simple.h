// Relu and MaxPool on float tensors.
#pragma once

#include <memory>

#include "runtime/plan.h"

namespace nnq {

/// nullptr when the operator, its type or its attributes are not covered.
std::unique_ptr<PreparedStep> make_float_simple(const PlanContext& plan, const Step& step);

}  // namespace nnq
