// Which floats only a Relu reads: a layer that makes them can write what the Relu would, and save a pass over memory.
#pragma once

#include <vector>

#include "nnq/program.h"

namespace nnq {

/// By value: the Relu that reads it, where nothing else does and it is no output of the program; else nullptr.
std::vector<const Step*> relus_behind(const Program& program);

}  // namespace nnq
