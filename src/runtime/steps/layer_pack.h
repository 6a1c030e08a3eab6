// A layer's weights in the order its kernel reads them, and what its sums start from: all of a layer that depends
// neither on the size of its images nor on threads. Made once, const from then on.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/aligned.h"
#include "kernels/direct/direct.h"
#include "kernels/direct/packed_panels.h"
#include "nnq/program.h"
#include "runtime/steps/layer.h"
#include "runtime/steps/layer_choice.h"
#include "runtime/steps/layer_input.h"

namespace nnq {

struct PackedLayer {
  AlignedBytes weights;          // panels as the kernel wants them (kernels/direct/direct.h), group after group
  std::int64_t group_bytes = 0;  // of the panels of one group
  AlignedBytes tables;           // lookup
  LookupTables lookup{};         // but for its tables: lookup_tables()
  PackedArray<std::int32_t> narrow_steps;    // of every panel whose products meet in 16 bits
  PackedPanel form{};                        // of panels that are packed at their width; otherwise 0 bits
  int zero = 0;                              // code of weight 0 in them
  PackedArray<std::int32_t> base, tap_sums;  // [stride] sums start from these; [taps][stride] sums of weights

  LookupTables lookup_tables() const {
    LookupTables all = lookup;
    all.tables = tables.data();
    return all;
  }
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.weights, self.group_bytes, self.tables, self.lookup.lookups, self.lookup.shift, self.lookup.byte_units,
      self.lookup.word_units, self.narrow_steps, self.form.bits, self.form.weights, self.zero, self.base,
      self.tap_sums);
  }
};

/// The weights of `step` for the kernel of `choice`, whose input lies in `runs`: packed, or shared with other plans of
/// the model. Every group of outputs is padded with zeros to whole panels; stride = groups * padded outputs.
std::shared_ptr<const PackedLayer> shared_layer(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                                const LayerChoice& choice, const LayerRuns& runs);

}  // namespace nnq
