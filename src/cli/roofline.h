// How close a step comes to what this machine can do at most: ceilings measured in the same run.
#pragma once

#include <string>
#include <vector>

#include "kernels/ceilings.h"
#include "nnq/runtime.h"

namespace nnq::cli {

class Roofline {
 public:
  /// Measures the ceilings of the active instruction set (0.3 s). working_set: bytes that all steps of a run touch,
  /// which says where weights come from; threads: that share the work.
  Roofline(std::int64_t working_set, int threads);

  struct Bound {
    double percent = 0;  // of the best possible speed; 0: no ceiling is known for it
    std::string by;      // what bounds it: "int8", "lookup", ..., "L1", "L2", "L3", "DRAM"
  };
  /// Of the step's best run. The best possible time is the longer of operations / ceiling and bytes / bandwidth.
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

}  // namespace nnq::cli
