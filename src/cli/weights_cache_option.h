// --weights-cache [DIR], as every verb that runs a packed model takes it.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace nnq::cli {

/// Adds the option: `folder` is DIR, or nnq's own cache folder when none is named; it stays as it is without the
/// option. A usage error where there is no such folder.
void add_weights_cache(CLI::App& app, std::string& folder);

}  // namespace nnq::cli
