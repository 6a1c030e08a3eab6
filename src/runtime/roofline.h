// How fast a step can be on this machine at most: ceilings measured in the same run.
#pragma once

#include <string>
#include <vector>

#include "kernels/ceilings.h"
#include "nnq/runtime.h"

namespace nnq {

class Roofline {
 public:
  /// ceilings: of the active instruction set (measure_ceilings); working_set: bytes that all steps of a run touch,
  /// which says where weights come from; threads: that share the work.
  Roofline(std::vector<Ceiling> ceilings, std::int64_t working_set, int threads);

  struct Bound {
    double microseconds = 0;  // the shortest possible time; 0: no ceiling is known for the step
    std::string by;           // what bounds it: "int8", "lookup", ..., "L1", "L2", "L3", "DRAM"
    /// Of the best possible speed, for a run of so many microseconds; 0: unknown.
    double percent(double microseconds_taken) const {
      return microseconds_taken > 0 ? 100 * microseconds / microseconds_taken : 0;
    }
  };
  /// The longer of operations / ceiling and bytes / bandwidth.
  Bound of(const StepInfo& step) const;
  const std::vector<Ceiling>& ceilings() const { return ceilings_; }

 private:
  struct Level {
    const char* name;
    std::int64_t bytes;
    double rate;  // GB/s
  };
  const Level& level(std::int64_t bytes) const;

  std::vector<Ceiling> ceilings_;
  std::vector<Level> levels_;
  std::int64_t working_set_;
  int threads_;
};

}  // namespace nnq
