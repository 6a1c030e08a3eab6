// An experiment of a paper (recipes/reproduce/<paper>.toml): what the paper claims and the recipes that test it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/robustness.h"

namespace nnq::cli {

/// quick: what this project measures, minutes a claim. full: the paper's own setting, for people with the machine and
/// the data.
enum class Scale { quick, full };
std::string name_of(Scale scale);

/// One [[claim]]. It holds when the measured number, averaged over the seeds, is within the limits.
struct Claim {
  enum class Expect {
    drop,        // points of accuracy lost against the float network of the run; with `attack` to the attack. Text:
                 // percent of perplexity above it
    value,       // accuracy, percent; with `attack` under it
    perplexity,  // text: of the packed model on the test text
    gain,        // points of accuracy above the runs of another recipe with the same seeds. Text: perplexity below them
  };
  std::string claim;             // what is shown, in words
  std::string published;         // the paper's number and its setting
  std::string setting;           // ours: data set, network, epochs
  std::filesystem::path recipe;  // or, with `attack`, a model that is attacked as it is (.onnx, .nnq)
  Scale scale = Scale::quick;
  Expect expect = Expect::drop;
  std::filesystem::path better_than;        // gain: the other recipe or model; else empty
  std::optional<double> at_most, at_least;  // points or percent; at least one is given
  std::vector<std::int64_t> seeds = {1};
  std::optional<AttackSettings> attack;  // accuracies are those of the run's packed model under this attack

  /// "drop at most 1.5 points", "at least 10 points above ptq_w2"
  std::string expected() const;
};

/// Whether a claim's `recipe` or `better_than` is a model that exists already.
bool is_model(const std::filesystem::path& file);

/// The word that an experiment says: "drop", "value", "perplexity", "gain".
std::string name_of(Claim::Expect expect);

struct Experiment {
  std::string paper;  // id as in `nnq methods`
  std::string title;
  std::vector<Claim> claims;
};

/// Reads one experiment; `root` is the folder that its recipes' paths start from. Throws nnq::Error naming file and
/// line.
Experiment read_experiment(const std::filesystem::path& file, const std::filesystem::path& root);

/// Every experiment of ./recipes/reproduce and of the installed share folder (the first of a paper counts), by paper.
/// Throws nnq::Error when there is none.
std::vector<Experiment> all_experiments();

}  // namespace nnq::cli
