// Parts of convolutions and fully connected layers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/aligned.h"
#include "runtime/plan.h"
#include "runtime/steps/layer_input.h"

namespace nnq {

/// A layer's integers [outputs][taps][tap], unpacked when they are asked for, and the set of values they take.
struct LayerWeights {
  LayerWeights(const PlanContext& plan, const Step& step);
  const std::vector<std::int8_t>& values() const {
    if (values_.empty()) values_ = packed_.unpack();
    return values_;
  }
  /// One of them, from its planes.
  std::int32_t at(std::int64_t element) const {
    std::int32_t value = packed_.offset;
    for (std::size_t k = 0; k < packed_.plane_scale.size(); ++k) {
      const std::uint8_t byte = packed_.data[k * packed_.plane_bytes() + static_cast<std::size_t>(element / 8)];
      value += packed_.plane_scale[k] * (byte >> (element % 8) & 1);
    }
    return value;
  }
  std::int64_t count() const { return packed_.count; }
  void set_taps(std::int64_t count) {
    taps = count;
    tap = taps > 0 ? packed_.count / (outputs * taps) : 0;
  }

  /// Number of a value in `levels`, and the value of a number (numbers beyond the last mean the first).
  unsigned level(std::int8_t v) const { return index_[static_cast<std::size_t>(v + 128)]; }
  std::int32_t value(int number) const {
    return levels[static_cast<std::size_t>(number) < levels.size() ? static_cast<std::size_t>(number) : 0];
  }

  /// The largest magnitude of a weight.
  std::int32_t highest() const { return levels.empty() ? 0 : std::max<std::int32_t>(-levels.front(), levels.back()); }

  /// What must live as long as other plans are to share it.
  std::shared_ptr<const void> shared() const { return shared_; }

  std::vector<std::int8_t> levels;  // distinct values, ascending
  std::int64_t outputs, taps = 1, tap = 1;

 private:
  const PackedWeights& packed_;
  std::shared_ptr<const void> shared_;
  mutable std::vector<std::int8_t> values_;
  std::uint8_t index_[256] = {};
};

/// Blocks of output positions, dealt to parts that run in parallel, each with scratch of its own.
class LayerBlocks {
 public:
  /// most: positions of a block.
  LayerBlocks(std::int64_t positions, std::int64_t most, int threads);
  std::int64_t rows() const { return rows_; }  // positions of a block, at most
  std::int64_t parts() const { return parts_; }
  /// Calls f(first position, count) for every block of a part.
  template <class F>
  void each(std::int64_t part, F&& f) const {
    for (std::int64_t b = blocks_ * part / parts_; b < blocks_ * (part + 1) / parts_; ++b)
      f(b * rows_, b * rows_ + rows_ < positions_ ? rows_ : positions_ - b * rows_);
  }

 private:
  std::int64_t positions_, rows_, blocks_, parts_;
};

/// How many kernel steps of each of the int8 panels [panel][steps][16][4] may be summed in 16 bits, as pairs, for codes
/// 0 .. largest: 1, 2, 3, 4, 6, 8, 12, ... or all, proven from the weights for runs that begin at its multiples,
/// whatever the codes and their order. 0: not even one pair.
void narrow_steps(const std::int8_t* panels, std::int64_t steps, std::int32_t largest, std::span<std::int32_t> each);
/// One that is proven for all of them.
std::int64_t narrow_steps(const std::int8_t* panels, std::int64_t panel_count, std::int64_t steps,
                          std::int32_t largest);
/// The same of one of the narrow Winograd kernel's panels, [steps][9][16][4]; 1 at least where winograd_run() is.
std::int64_t winograd_narrow_steps(const std::int8_t* panel, std::int64_t steps, std::int32_t largest);

std::unique_ptr<PreparedStep> make_depthwise(const PlanContext& plan, const Step& step);

}  // namespace nnq
