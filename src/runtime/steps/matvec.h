// Fully connected layers on few rows: weights stay packed at their width in memory.
#pragma once

#include <memory>
#include <string>

#include "runtime/plan.h"
#include "runtime/steps/layer.h"

namespace nnq {

/// A layer on codes in bytes; nullptr and `why` when it is none or another kernel is better.
std::unique_ptr<PreparedStep> make_matvec(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                          std::string& why);
/// A binary layer on sign bits; nullptr when it is none.
std::unique_ptr<PreparedStep> make_binary_matvec(const PlanContext& plan, const Step& step,
                                                 const LayerWeights& weights);

}  // namespace nnq
