// An LSTM or GRU on multi-bit vectors as one step.
#pragma once

#include <memory>

#include "runtime/plan.h"

namespace nnq {

std::unique_ptr<PreparedStep> make_recurrent(const PlanContext& plan, const Step& step);

}  // namespace nnq
