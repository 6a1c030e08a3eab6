// A layer's weights in the order its kernel reads them, and what its sums start from: all of a layer that depends
// neither on the size of its images nor on threads. Made once, const from then on.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/aligned.h"
#include "kernels/direct/direct.h"
#include "kernels/direct/packed_panels.h"
#include "nnq/program.h"
#include "runtime/steps/layer.h"
#include "runtime/steps/layer_choice.h"
#include "runtime/steps/layer_input.h"

namespace nnq {

struct PackedLayer {
  PackedLayer() = default;
  PackedLayer(const PackedLayer&) = delete;  // `lookup` points into `tables`
  PackedLayer& operator=(const PackedLayer&) = delete;

  AlignedBytes weights;           // panels as the kernel wants them (kernels/direct/direct.h), group after group
  std::int64_t group_bytes = 0;   // of the panels of one group
  AlignedBytes tables;            // lookup
  LookupTables lookup{};          // its tables are `tables`
  std::int64_t narrow_steps = 1;  // int8: see narrow_steps()
  PackedPanel form{};             // of panels that are packed at their width; otherwise 0 bits
  int zero = 0;                   // code of weight 0 in them
  std::vector<std::int32_t> base, tap_sums;  // [stride] sums start from these; [taps][stride] sums of weights

  std::int64_t packed_bytes() const {
    return weights.size() + tables.size() + static_cast<std::int64_t>((base.size() + tap_sums.size()) * 4);
  }
};

/// The weights of `step` for the kernel of `choice`, whose input lies in `runs`: packed, or shared with other plans of
/// the model. Every group of outputs is padded with zeros to whole panels; stride = groups * padded outputs.
std::shared_ptr<const PackedLayer> shared_layer(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                                const LayerChoice& choice, const LayerRuns& runs);

}  // namespace nnq
