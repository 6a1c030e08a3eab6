// What is compared: contenders that compute one workload, and the goals that hold between them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nnq/runtime.h"

namespace nnq::peers {

/// One library's way of computing a workload.
struct Contender {
  std::string who;     // "nnq", "oneDNN", "ONNX Runtime", ...
  std::string what;    // precision and form: "W1A1, bits out", "int8 u8s8"
  std::string kernel;  // what ran, as far as the library says
  std::string check;   // what was compared before timing, and what came out
  /// Works for at least `least_ms` and gives microseconds (of processor time) of one unit of work.
  std::function<double(double least_ms)> sample;
  double bytes = 0;  // of the weights as stored, 0: not of interest
  /// Of nnq: the steps of `units` units of work, from which follows how fast its kernels can be at most.
  std::vector<StepInfo> steps = {};
  double units = 1;
  std::int64_t working_set = 0;  // bytes that a run touches

  /// Steps of `session` whose name begins with `prefix`.
  void set_steps(const Session& session, const std::string& prefix = "", double units_of_work = 1);
};

/// A stated goal: a contender of nnq against another, or against a number.
struct Goal {
  enum class Kind {
    faster,     // time of `against` / time of `of` >= limit
    gops,       // operations / time >= limit
    at_most_ms  // time <= limit
  };
  Kind kind = Kind::faster;
  std::string of;                    // contender of nnq, by its `what`
  std::vector<std::string> against;  // "who what" of others, a last * stands for anything; the fastest counts
  double limit = 1;
  std::string isa = "avx512";  // machine class that the goal is for; "any"
};

struct GoalOfCeiling {
  std::string of;      // contender of nnq
  double percent = 0;  // of the binary ceiling, measured in the same run
  std::string isa = "avx512";
};

struct Workload {
  std::string name;
  double operations = 0;  // of one unit, a multiply-accumulate is two
  std::vector<Contender> contenders;
  std::vector<Goal> goals;
  std::vector<GoalOfCeiling> ceiling_goals;
  std::string note;  // what a reader must know to judge the figures
};

/// A sample function of a call in this process: repeats it for at least `least_ms`; `units` of work a call.
std::function<double(double)> in_process(std::function<void()> call, double units = 1);

/// Takes what an empty call costs off: (whole - empty) / units, both timed in the same sample.
std::function<double(double)> less_empty(std::function<double(double)> whole, std::function<double(double)> empty,
                                         double units);

}  // namespace nnq::peers
