// How `train` and `compress` show what they ended in.
#pragma once

#include <nlohmann/json.hpp>

#include "nnq/train_api.h"

namespace nnq::cli {

/// Fills the document's keys (design.md) and, without `json`, prints the summary. Returns the exit code: 1 when the
/// stated requirement was not met.
int show_result(const RunResult& result, bool json, nlohmann::ordered_json& document);

}  // namespace nnq::cli
