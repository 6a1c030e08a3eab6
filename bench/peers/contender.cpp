#include "contender.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace nnq::peers {
namespace {

/// Microseconds of processor time of this thread: what another job on the core takes does not count.
double processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e6 * static_cast<double>(now.tv_sec) + 1e-3 * static_cast<double>(now.tv_nsec);
}

}  // namespace

void Contender::set_steps(const Session& session, const std::string& prefix, double units_of_work) {
  units = units_of_work;
  working_set = static_cast<std::int64_t>(session.peak_bytes());
  for (const StepInfo& step : session.steps()) {
    working_set += step.weight_bytes;
    if (step.name.starts_with(prefix)) steps.push_back(step);
  }
}

std::function<double(double)> in_process(std::function<void()> call, double units) {
  return [call = std::move(call), units](double least_ms) {
    using Clock = std::chrono::steady_clock;  // cheap to read after every call; the processor's time is not
    const auto end = Clock::now() + std::chrono::duration<double, std::milli>(least_ms);
    const double begin = processor_time();
    int calls = 0;
    do {
      call();
      ++calls;
    } while (Clock::now() < end);
    return (processor_time() - begin) / calls / units;
  };
}

std::function<double(double)> less_empty(std::function<double(double)> whole, std::function<double(double)> empty,
                                         double units) {
  return [whole = std::move(whole), empty = std::move(empty), units](double least_ms) {
    const double nothing = empty(least_ms / 4);
    return std::max(0.0, whole(least_ms) - nothing) / units;
  };
}

}  // namespace nnq::peers
