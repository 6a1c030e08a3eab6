// A layer's integer weights while it is lowered, and what may be done to them without changing what the layer says.
#pragma once

#include <cstdint>
#include <vector>

#include "nnq/program.h"

namespace nnq::lower_room {

/// Weights as [out][kernel_h][kernel_w][in / groups].
struct LayerWeights {
  std::vector<std::int32_t> values;
  std::int64_t out = 0, in = 0, groups = 1;
  int nominal_bits = 0;  // of the encoding they come from; 0: not known

  std::int64_t each() const { return out > 0 ? static_cast<std::int64_t>(values.size()) / out : 0; }
};

/// What the packed form holds: low + unit * code for codes 0 .. high.
struct WeightGrid {
  std::int32_t low = 0, unit = 1, high = 0;
};
WeightGrid grid_of(const std::vector<std::int32_t>& values);

/// The fewest planes that hold the values (-128 .. 127): value = offset + unit * code. {-1,+1} takes one, {-3,-1,1,3}
/// two.
PackedWeights pack(const LayerWeights& weights);

/// Channels whose thresholds fall get negated weights and rising thresholds, wherever the planes hold the negated
/// weights as well: the sums turn sign, the codes stay.
void turn_falling_channels(LayerWeights& weights, Epilogue& epilogue);

/// Sums of sign codes have the parity of their channel's weights. Thresholds move up (falling ones down) to the next
/// such sum, which they then share with every other channel's: one bit less a channel in the file.
void move_thresholds_to_parity(const LayerWeights& weights, Epilogue& epilogue);

}  // namespace nnq::lower_room
