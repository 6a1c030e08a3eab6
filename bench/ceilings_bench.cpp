// Prints what one core of this machine can do at most (kernels/ceilings.h); `nnq benchmark kernels` prints the same
// beside the kernels. Run pinned: taskset -c 1 build/release/bin/bench_ceilings
#include <fmt/format.h>

#include "kernels/ceilings.h"

int main() {
  for (const nnq::Ceiling& c : nnq::measure_ceilings(nnq::active_isa()))
    fmt::print("{:<48} {:>9.1f} {}\n", c.name, c.value, c.unit);
  return 0;
}
