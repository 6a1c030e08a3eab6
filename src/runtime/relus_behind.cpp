#include "runtime/relus_behind.h"

namespace nnq {

std::vector<const Step*> relus_behind(const Program& program) {
  std::vector<const Step*> relus(program.values.size(), nullptr);
  std::vector<int> readers(program.values.size(), 0);
  for (const Step& step : program.steps) {
    const bool relu = step.kind == StepKind::float_op && step.node.is("Relu") && step.outputs.size() == 1 &&
                      step.outputs[0] >= 0;  // else nobody wants what it gives
    for (const std::int32_t v : step.inputs) {
      if (v < 0) continue;
      ++readers[static_cast<std::size_t>(v)];
      if (relu) relus[static_cast<std::size_t>(v)] = &step;
    }
  }
  for (const std::int32_t v : program.outputs) ++readers[static_cast<std::size_t>(v)];
  for (std::size_t v = 0; v < relus.size(); ++v)
    if (readers[v] != 1) relus[v] = nullptr;
  return relus;
}

}  // namespace nnq
