#include "runtime/before_quantizers.h"

#include <algorithm>

namespace nnq {

std::vector<bool> before_quantizers(const Program& program) {
  std::vector<bool> found(program.values.size(), false);
  const auto any = [&](const std::vector<std::int32_t>& values) {
    return std::any_of(values.begin(), values.end(),
                       [&](std::int32_t v) { return v >= 0 && found[static_cast<std::size_t>(v)]; });
  };
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step) {
    // Steps that make codes quantize the floats they read: quantize, bucketize, the residual of bit planes.
    const bool quantizes = std::any_of(step->outputs.begin(), step->outputs.end(), [&](std::int32_t v) {
      return v >= 0 && program.values[static_cast<std::size_t>(v)].kind == ValueKind::codes;
    });
    if (!quantizes && !any(step->outputs)) continue;
    for (const std::int32_t v : step->inputs)
      if (v >= 0 && program.values[static_cast<std::size_t>(v)].kind == ValueKind::tensor)
        found[static_cast<std::size_t>(v)] = true;
  }
  return found;
}

}  // namespace nnq
