// docs/results.md: the page of everything recorded under results/. Generated, never typed.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace nnq::cli {

/// Writes FOLDER/<paper>.json: what `nnq reproduce` measured, with the command and the machine of its runs.
void write_record(const std::filesystem::path& folder, const std::string& command,
                  const nlohmann::ordered_json& experiment);

/// Markdown made from every .json under `folder`, in the order of their paths: records of papers (claims), and records
/// of single runs. Throws nnq::Error naming the file that cannot be read.
std::string results_page(const std::filesystem::path& folder);

}  // namespace nnq::cli
