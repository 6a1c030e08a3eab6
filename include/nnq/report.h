// Reads finished runs back from their directories and draws them: a self-contained HTML page, no network needed.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace nnq {

/// One run directory: result.json (last word) and metrics.jsonl (one line an epoch).
struct RunSummary {
  std::string name;  // the directory's name
  std::filesystem::path folder;
  std::filesystem::path model, packed;  // as recorded, or beside result.json; empty when the run made none
  std::filesystem::path float_model;  // what it started from (.onnx): "float_model" of result.json, float.onnx, or none
  std::string metric = "accuracy";    // percent; or "perplexity"
  double value = 0, float_value = 0;  // of it, on the test split
  bool has_value = false, has_float = false;
  std::size_t bytes = 0, float_bytes = 0;
  double seconds = 0;
  std::string data;                                   // data set spec
  std::map<std::string, std::vector<double>> curves;  // "loss", "validation", ... one value an epoch
};

/// Throws nnq::Error naming the file when a record is missing or malformed.
RunSummary read_run(const std::filesystem::path& folder);

/// What `nnq report` measures anew on the packed model, beside what the run recorded.
struct RunMeasurement {
  bool done = false;
  double value = 0;         // accuracy of the .nnq on the whole test split, percent
  std::int64_t count = 0;   // images
  double milliseconds = 0;  // median a batch-1 image, one thread
  bool has_agreement = false;
  double agreement = 0;      // percent of predictions equal to the training simulation's
  std::string threads_text;  // "1 thread, avx512"
};

/// The page as text.
std::string report_html(const std::vector<RunSummary>& runs, const std::vector<RunMeasurement>& measurements);

}  // namespace nnq
