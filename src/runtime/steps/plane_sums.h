// Real sums of a layer on bit planes from its counts of bits: docs/program.md, "Bit planes with real scales".
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/planes/planes.h"
#include "nnq/program.h"
#include "runtime/steps/plane_pack.h"

namespace nnq {

/// Integers of one position, and y from them.
class PlaneSums {
 public:
  /// Outputs of a group are `stride` apart, a multiple of 8.
  PlaneSums(const PlaneGeometry& geometry, const Step& step, PlaneCombine kernel, std::int64_t stride);

  bool needs_weight_counts() const { return !tap_counts_.empty(); }
  /// Elements that arrays of one int, or one y, an output have room for.
  static std::int64_t padded(std::int64_t outputs) { return outputs + plane_panel; }

  /// Set weight bits over the taps inside: [weight plane][output].
  void count_weights(std::int64_t position, std::int32_t* counts) const;

  /// y of one group. both: [weight plane][code plane] rows of counts of common bits; row: set bits of each code plane;
  /// weights: as count_weights made them (nullptr when not needed); inside: products that are not on the border.
  /// Groups come in ascending order: up to 7 numbers behind a group's are written over.
  void combine(std::int64_t group, const std::int32_t* both, const std::int32_t* row, const std::int32_t* weights,
               std::int32_t inside, float* y) const;

 private:
  void keep_coefficients();

  const Step& step_;
  const PlaneGeometry& geometry_;
  PlaneCombine combine_;
  std::int64_t stride_, group_out_;
  int weight_planes_, code_planes_;
  bool code_terms_ = false, weight_terms_ = false, constant_term_ = false;
  std::int64_t terms_ = 0;
  std::vector<double> coefficients_;  // [group][term][stride]
  std::vector<std::int32_t> tap_counts_, totals_;
};

}  // namespace nnq
