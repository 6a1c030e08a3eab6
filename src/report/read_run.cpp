#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "nnq/error.h"
#include "nnq/report.h"

namespace nnq {
namespace {

using nlohmann::json;

double number(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : 0.0;
}

std::string string_of(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

/// A file of the run as recorded (relative to where the run was started); a run that moved has it in its own folder.
std::filesystem::path file_of(const std::filesystem::path& folder, const std::string& recorded) {
  if (recorded.empty()) return {};
  const std::filesystem::path beside = folder / std::filesystem::path(recorded).filename();
  std::error_code ignored;
  if (!std::filesystem::exists(recorded, ignored) && std::filesystem::exists(beside, ignored)) return beside;
  return recorded;
}

json parse_file(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw Error("cannot be read", file.string(), "is this the directory of a finished run?");
  json value = json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded() || !value.is_object()) throw Error("is not a JSON object", file.string());
  return value;
}

}  // namespace

RunSummary read_run(const std::filesystem::path& folder) {
  RunSummary run;
  run.folder = folder;
  run.name = folder.filename().empty() ? folder.parent_path().filename().string() : folder.filename().string();
  const json result = parse_file(folder / "result.json");
  run.model = file_of(folder, string_of(result, "model"));
  run.packed = file_of(folder, string_of(result, "packed"));
  run.float_model = file_of(folder, string_of(result, "float_model"));
  std::error_code ignored;
  if (run.float_model.empty() && std::filesystem::exists(folder / "float.onnx", ignored))
    run.float_model = folder / "float.onnx";
  if (const std::string metric = string_of(result, "metric"); !metric.empty()) run.metric = metric;
  run.value = number(result, "value");
  run.has_value = result.contains("value") && result["value"].is_number();
  run.float_value = number(result, "float_value");
  run.float_bytes = static_cast<std::size_t>(number(result, "float_bytes"));
  run.has_float = run.float_bytes > 0;
  run.bytes = static_cast<std::size_t>(number(result, "bytes"));
  run.seconds = number(result, "seconds");
  run.data = string_of(result, "data");

  std::ifstream metrics(folder / "metrics.jsonl");
  std::string line;
  for (int number_of_line = 1; std::getline(metrics, line); ++number_of_line) {
    if (line.empty()) continue;
    const json row = json::parse(line, nullptr, false);
    // A run killed while writing leaves at most one torn last line; anything else is a damaged file.
    if (row.is_discarded() || !row.is_object()) {
      if (metrics.peek() == std::char_traits<char>::eof()) break;
      throw Error("is not a JSON object", fmt::format("{}:{}", (folder / "metrics.jsonl").string(), number_of_line));
    }
    for (const auto& [key, value] : row.items()) {
      if (value.is_number() && key != "stage" && key != "epoch" && key != "step" && key != "seconds")
        run.curves[key].push_back(value.get<double>());
    }
  }
  return run;
}

}  // namespace nnq
