// Float layers that do the Relu behind them.
#pragma once

#include "runtime/plan.h"

namespace nnq {

class WithRelu : public PreparedStep {
 protected:
  /// The value that a layer writes: the result of the Relu behind it, if there is one, which then is done, too.
  std::int32_t take_relu(const PlanContext& plan, const Step& step) {
    also = plan.relu_behind(step.outputs[0]);
    if (also == nullptr) return step.outputs[0];
    reads = step.inputs;
    writes = also->outputs;
    return writes[0];
  }
  /// What results are raised to: 0 with a Relu.
  float least() const { return also != nullptr ? 0.0F : no_least; }
};

}  // namespace nnq
