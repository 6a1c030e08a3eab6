// `nnq benchmark kernels`: the ceilings of this machine and the matrix products of every instruction set, side by side.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/ceilings.h"

namespace nnq::cli {

/// [{name, unit, value, isa}]
nlohmann::ordered_json described(const std::vector<Ceiling>& ceilings);

/// Prints a table (or fills "ceilings", "kernels" and "skipped" of the document) and returns the exit code.
int benchmark_kernels(bool json, nlohmann::ordered_json& document);

}  // namespace nnq::cli
