// What of a request can be refused before any work is done.
#pragma once

#include <filesystem>
#include <optional>

#include "nnq/graph.h"
#include "nnq/train_api.h"

namespace nnq::recipe {

/// The run directory as run_recipe() takes it: empty when none was given. Throws nnq::Error for an empty name, which is
/// a forgotten value (--run "$FOLDER").
std::filesystem::path run_folder(const std::optional<std::filesystem::path>& given);

/// Throws nnq::Error, naming the option, for numbers out of range, a method that does not serve the bits, and an output
/// that cannot be written.
void check_options(const CompressRequest& request);

/// Throws nnq::Error unless mean and std are one value or one a channel of the model's input, finite, std above 0.
void check_normalisation(const CompressRequest& request, const Graph& model);

}  // namespace nnq::recipe
