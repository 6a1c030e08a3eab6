// The folder of one run: effective recipe, origin, metrics as they come, result. Survives a kill at any moment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nnq/train_api.h"
#include "recipe/recipe.h"

namespace nnq::recipe {

/// What result.json says besides RunResult.
struct ResultDetails {
  std::optional<double> agreement;         // percent of predictions equal to the training simulation's
  std::int64_t count = 0;                  // images measured
  std::filesystem::path float_model = {};  // what the run started from, when it is a file
};

/// Files: recipe.toml (to_toml()), run.json {version, seed, machine, started, command, data, data_hash, recipe_hash,
/// resumed}, metrics.jsonl (one object a line), result.json. One process at a time: the others get an nnq::Error.
class RunDirectory {
 public:
  /// A new folder for the run: `folder` (absent or empty), or runs/<name>-<n> with the first free n when it is empty.
  /// `command` is what the user typed. Throws nnq::Error.
  static RunDirectory create(const std::filesystem::path& folder, const Recipe& recipe,
                             const std::string& command = {});
  /// Goes on in the folder of an earlier run, or with an empty `folder` in the last runs/<name>-<n>. Throws nnq::Error
  /// when it is no run or its recipe differs, naming the key.
  static RunDirectory resume(const std::filesystem::path& folder, const Recipe& recipe);

  ~RunDirectory();
  RunDirectory(RunDirectory&& other) noexcept;
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;
  RunDirectory& operator=(RunDirectory&&) = delete;

  /// For a run that failed before it did anything: removes the folder when it holds nothing but what create() put
  /// there. Folders that were there before stay, empty. Does nothing behind resume().
  void remove_unused();

  /// Records the hash of the training set in run.json. Throws nnq::Error when the run was begun with other data.
  void set_data_hash(std::uint64_t hash);

  const std::filesystem::path& folder() const { return folder_; }
  std::string name() const { return folder_.filename().string(); }
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }

  /// One line of metrics.jsonl, on disk when this returns. `stage` counts from 0, epochs from 1. likelihood: a text's
  /// loss is the logarithm of its perplexity (no teacher is in it), which is then in the line too.
  void add_epoch(std::size_t stage, const train::EpochReport& report, bool likelihood = true);
  /// Any other record of a stage, e.g. {"event": "calibrate", ...}; "stage" is put in front.
  void add_record(std::size_t stage, const nlohmann::ordered_json& record);
  /// For resume: forgets the epochs behind `epoch` of `stage` and all of later stages, and a torn last line.
  void forget_after(std::size_t stage, std::int64_t epoch);

  /// Writes result.json; `result.run` is set to the folder.
  void write_result(RunResult result, const std::string& data, const ResultDetails& details);

 private:
  RunDirectory(std::filesystem::path folder, int lock) : folder_(std::move(folder)), lock_(lock) {}
  void append_line(const std::string& line);

  std::filesystem::path folder_;
  int lock_ = -1;                               // descriptor that holds the folder's lock
  bool created_ = false, made_folder_ = false;  // the run, and the folder it lies in, are this object's work
};

/// The first key in which two canonical recipe texts differ ("stage.0.epochs"), or "" when they say the same.
std::string first_difference(const std::string& a, const std::string& b);

}  // namespace nnq::recipe
