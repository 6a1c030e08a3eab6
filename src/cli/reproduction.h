// Runs the experiments of papers: a recipe for each claim and seed, and whether what was measured is what was claimed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/experiment.h"

namespace nnq::cli {

/// One run of a claim's recipe.
struct SeedResult {
  std::int64_t seed = 0;
  std::filesystem::path run;  // or the model that was attacked
  std::string metric = "accuracy";
  double value = 0;  // accuracy, percent; or perplexity
  double drop = 0;   // points below the float network of the run; perplexity: percent above it
  bool has_drop = false;
  bool trained = false;  // now; false: a finished run was read back
};

/// The number that the claim speaks about, over its seeds.
struct ClaimResult {
  std::vector<SeedResult> seeds;
  double value = 0, drop = 0;  // means
  bool has_drop = false;
  double spread = 0;               // largest minus smallest value; 0 with one seed
  std::vector<SeedResult> others;  // expect = "gain": the other recipe's runs, seed by seed
  double other_value = 0;          // their mean
  std::string metric = "accuracy";

  /// How much better than the other recipe: points of accuracy above it, or perplexity below it.
  double gain() const { return metric == "perplexity" ? other_value - value : value - other_value; }
  bool holds = false;
};

/// How the recipes of an experiment run.
struct ReproduceOptions {
  std::filesystem::path runs = "runs/reproduce";  // where, by paper
  std::vector<std::string> overrides;             // "train.epochs=1", of every recipe
  int threads = 0;                                // of a training; 0: all cores
  int at_once = 1;                                // trainings that run at a time, each in a process of its own
  std::set<std::filesystem::path> trained = {};   // runs that train_ahead() trained and nobody has read yet
};

/// Where a recipe of `paper` runs with `seed`: <runs>/<paper>/<name of the recipe's file>-seed<seed>. Claims about the
/// same recipe share its runs.
std::filesystem::path run_directory(const ReproduceOptions& options, const std::string& paper,
                                    const std::filesystem::path& recipe, std::int64_t seed);

/// Trains what claims need and no run has finished yet, options.at_once runs at a time. With one at a time it leaves
/// that to reproduce_claim. Returns false when it was interrupted. Throws nnq::Error as reproduce_claim does.
bool train_ahead(ReproduceOptions& options, const std::vector<std::pair<std::string, Claim>>& claims);

/// Whether every run that the claim needs is finished.
bool runs_finished(const ReproduceOptions& options, const std::string& paper, const Claim& claim);

/// Runs what is not finished yet and judges the claim. Returns false when it was interrupted (Ctrl-C): the same call
/// goes on. Throws nnq::Error, also when a run directory holds another recipe's run.
bool reproduce_claim(ReproduceOptions& options, const std::string& paper, const Claim& claim, ClaimResult& result);

}  // namespace nnq::cli
