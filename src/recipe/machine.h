// What a run was made on, for its record.
#pragma once

#include <cstdint>
#include <string>

namespace nnq::recipe {

struct Machine {
  std::string cpu;  // model name
  int cores = 0;    // hardware threads this process may use
  std::uint64_t memory_bytes = 0;
  std::string isa;  // the instruction set nnq's kernels use
};

Machine this_machine();

/// Now in UTC: "2026-01-31T23:59:59Z".
std::string utc_now();

}  // namespace nnq::recipe
