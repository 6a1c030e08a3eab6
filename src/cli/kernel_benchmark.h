// `nnq benchmark kernels`: the matrix products of every instruction set of this machine, side by side.
#pragma once

#include <nlohmann/json.hpp>

namespace nnq::cli {

/// Prints a table (or fills "kernels" and "skipped" of the document) and returns the exit code.
int benchmark_kernels(bool json, nlohmann::ordered_json& document);

}  // namespace nnq::cli
