// Every run in one SQLite file: what ran, its epochs, what came out. Several processes may write at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace nnq {

/// What is known when a run begins.
struct RunRecord {
  std::filesystem::path folder;  // its run directory; identifies the run
  std::string name, data, recipe_hash, version, started /* UTC, ISO 8601 */;
  std::uint64_t seed = 1;
};

/// What is known when it ends.
struct RunOutcome {
  std::string state = "done";  // done, interrupted, failed
  std::string metric = "accuracy";
  double value = 0, float_value = 0;  // percent
  std::uint64_t bytes = 0, float_bytes = 0;
  bool met = true;
  double seconds = 0;
};

struct StoredRun {
  std::int64_t id = 0;
  RunRecord record;
  RunOutcome outcome;       // state "running" until finish_run()
  std::int64_t epochs = 0;  // epochs recorded, all stages together
};

/// Throws nnq::Error naming the file: damaged, not a run store, written by a newer nnq, locked for too long.
class RunStore {
 public:
  /// $NNQ_RUNS, or runs/runs.sqlite beside the run directories.
  static std::filesystem::path default_path();
  explicit RunStore(const std::filesystem::path& file = default_path());
  ~RunStore();
  RunStore(RunStore&&) noexcept;
  RunStore& operator=(RunStore&&) noexcept;

  /// The run's id; its state is "running". A folder that is known already keeps its id, and with `resume` its epochs.
  std::int64_t begin_run(const RunRecord& record, bool resume = false);
  /// Metrics of an epoch (from 1) of a stage (from 0); an epoch written before is replaced.
  void add_epoch(std::int64_t run, std::int64_t stage, std::int64_t epoch,
                 const std::map<std::string, double>& metrics);
  /// For resume: forgets the epochs behind `epoch` of `stage`, and those of later stages.
  void forget_after(std::int64_t run, std::int64_t stage, std::int64_t epoch);
  void finish_run(std::int64_t run, const RunOutcome& outcome);

  /// All runs, newest first.
  std::vector<StoredRun> list() const;
  /// Metric -> its values in order of stage and epoch.
  std::map<std::string, std::vector<double>> curves(std::int64_t run) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nnq
