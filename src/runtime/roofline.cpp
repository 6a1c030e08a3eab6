#include "runtime/roofline.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <utility>

namespace nnq {
namespace {

std::int64_t cache_bytes(int name, std::int64_t otherwise) {
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}

/// The third level that this core sees. In a virtual machine sysconf says what all of the host's have together.
std::int64_t third_level_bytes() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  std::int64_t kilobytes = 0;
  if (file >> kilobytes && kilobytes > 0) return kilobytes << 10;
  return cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20);
}

}  // namespace

Roofline::Roofline(std::vector<Ceiling> ceilings, std::int64_t working_set, int threads)
    : ceilings_(std::move(ceilings)), working_set_(working_set), threads_(threads) {
  const std::int64_t sizes[] = {cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10),
                                cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10), third_level_bytes(),
                                std::numeric_limits<std::int64_t>::max()};
  const char* const names[] = {"L1", "L2", "L3", "DRAM"};
  for (const Ceiling& c : ceilings_) {
    const std::size_t i = levels_.size();
    // First and second level are each core's own; the rest is shared by all threads.
    if (c.kind == CeilingKind::bandwidth && i < 4)
      levels_.push_back({names[i], sizes[i], c.value * (i < 2 ? threads : 1)});
  }
}

const Roofline::Level& Roofline::level(std::int64_t bytes) const {
  return *std::find_if(levels_.begin(), levels_.end() - 1, [&](const Level& l) { return bytes <= l.bytes; });
}

Roofline::Bound Roofline::of(const StepInfo& step) const {
  if (levels_.empty()) return {};
  double compute = 0;  // GOP/s; the best instruction set that has a ceiling of the kind
  for (const Ceiling& c : ceilings_) {
    if (compute == 0 && step.limit == name_of(c.kind) && c.kind != CeilingKind::bandwidth)
      compute = c.value * step.limit_share * threads_;
  }
  // Activations were just made by the step before; weights are what all others have pushed out.
  const Level &near = level(step.activation_bytes + step.weight_bytes), &far = level(working_set_);
  const double memory = (static_cast<double>(step.activation_bytes) / near.rate +
                         static_cast<double>(step.weight_bytes) / far.rate) /
                        1e3,
               operations = compute > 0 ? static_cast<double>(step.operations) / compute / 1e3 : 0;
  if (step.limit != "memory" && compute == 0) return {};
  const bool weights =
      static_cast<double>(step.weight_bytes) / far.rate > static_cast<double>(step.activation_bytes) / near.rate;
  return {std::max(memory, operations), operations >= memory ? step.limit : weights ? far.name : near.name};
}

}  // namespace nnq
