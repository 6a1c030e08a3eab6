// Which floats of a program become codes further on: their last bit may decide a code, and codes multiply it.
#pragma once

#include <vector>

#include "nnq/program.h"

namespace nnq {

/// By value: whether a quantizer reads it, or something computed from it by float operators. Layers that make such
/// values sum in double (docs/program.md, "Float operators").
std::vector<bool> before_quantizers(const Program& program);

}  // namespace nnq
