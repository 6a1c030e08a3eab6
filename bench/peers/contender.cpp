#include "contender.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace nnq::peers {

std::function<double(double)> in_process(std::function<void()> call, double units) {
  return [call = std::move(call), units](double least_ms) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    double microseconds = 0;
    int calls = 0;
    do {
      call();
      ++calls;
      microseconds = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
    } while (microseconds < 1000 * least_ms);
    return microseconds / calls / units;
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
