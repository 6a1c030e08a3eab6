// Which kernel a layer takes, measured on this machine, and remembered by CPU model.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/aligned.h"
#include "runtime/plan.h"

namespace nnq {

/// The brand text of the CPU ("AMD EPYC 7763 64-Core Processor"), "unknown" where nothing says it.
std::string cpu_model();

class Tuner {
 public:
  /// Reads the cache; one that cannot be understood is ignored, with a note. memory_cap 0: none.
  Tuner(int threads, std::size_t memory_cap);

  /// Which of `candidates` runs `layer` fastest: as the cache says, or timed now by make(i). The times of all of them
  /// are left in `microseconds`. A layer that does not fit into the memory cap while it is timed takes the first
  /// candidate.
  std::size_t fastest(const std::string& layer, const std::vector<std::string>& candidates, const PlanContext& plan,
                      const Step& step, const std::function<std::unique_ptr<PreparedStep>(std::size_t)>& make,
                      std::vector<double>& microseconds);
  /// Writes what was measured since the cache was read, atomically. A failure is a note: measuring again is all it
  /// costs.
  void save();

  std::vector<std::string> notes;

 private:
  using Times = std::vector<std::pair<std::string, double>>;  // candidate, microseconds
  Status read(const std::string& text);
  /// The best time of a prepared step on memory of its own; negative: no memory for it, or it fails.
  double time(const PlanContext& plan, const Step& step, PreparedStep& prepared);

  int threads_;
  std::size_t memory_cap_;
  std::string file_;  // empty: nowhere to keep it
  std::map<std::string, Times> layers_;
  ThreadPool pool_;
  bool changed_ = false;
};

}  // namespace nnq
