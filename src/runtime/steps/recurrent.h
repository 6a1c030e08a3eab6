// An LSTM or GRU on vectors that are quantized on line, as one step.
#pragma once

#include <memory>

#include "kernels/recurrent/recurrent.h"
#include "runtime/plan.h"

namespace nnq {

/// Inputs and outputs of a recurrent step.
struct RecurrentSlots {
  RecurrentSlots(const PlanContext& plan, const Step& step);
  /// State or cell of sample b, zeros where there is none.
  static void load(const Slot* from, std::int64_t b, std::int64_t n, float* to);
  static void save(const Slot* to, const float* from, std::int64_t count);

  const Slot &codes, &scales, &out_codes, &out_scales;
  const Slot *state_in, *cell_in, *state_out, *cell_out;
  bool sequence_read;  // whether anything reads the sequence that the layer makes
};

std::unique_ptr<PreparedStep> make_recurrent(const PlanContext& plan, const Step& step);
std::unique_ptr<PreparedStep> make_uniform_recurrent(const PlanContext& plan, const Step& step);

}  // namespace nnq
