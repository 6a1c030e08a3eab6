// The same layer in float: what a quantized layer has to beat.
#pragma once

#include <map>
#include <string>

#include "nnq/program.h"
#include "nnq/runtime.h"

namespace nnq::cli {

/// Times layers as float convolutions and matrix products of the same runtime, on the same instruction set and threads.
/// Equal layers are timed once.
class FloatTwins {
 public:
  explicit FloatTwins(int threads) : threads_(threads) {}
  /// Microseconds, the best of several runs; 0 for steps that are no layers of integers or planes. `step` is of
  /// `program`; info says on which input it ran.
  double microseconds(const Program& program, const StepInfo& info);

 private:
  int threads_;
  std::map<std::string, double> known_;
};

}  // namespace nnq::cli
