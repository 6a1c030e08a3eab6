#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <thread>
#include <utility>

#include "cli/performance_page.h"
#include "cli/reproduction.h"
#include "cli/results_page.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "core/atomic_file.h"
#include "core/text.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

using nlohmann::ordered_json;

ordered_json limit(const std::optional<double>& value) { return value ? ordered_json(*value) : ordered_json(nullptr); }

ordered_json to_json(const Claim& claim) {
  return {{"claim", claim.claim},
          {"published", claim.published},
          {"setting", claim.setting},
          {"recipe", claim.recipe.string()},
          {"scale", name_of(claim.scale)},
          {"expect", name_of(claim.expect)},
          {"better_than", claim.better_than.empty() ? ordered_json(nullptr) : ordered_json(claim.better_than.string())},
          {"attack", claim.attack ? ordered_json(claim.attack->attacks.front()) : ordered_json(nullptr)},
          {"epsilon", claim.attack ? ordered_json(claim.attack->epsilons.front()) : ordered_json(nullptr)},
          {"at_most", limit(claim.at_most)},
          {"at_least", limit(claim.at_least)}};
}

ordered_json to_json(const std::vector<SeedResult>& seeds) {
  ordered_json rows = ordered_json::array();
  for (const SeedResult& seed : seeds) {
    rows.push_back({{"seed", seed.seed},
                    {"value", seed.value},
                    {"drop", seed.has_drop ? ordered_json(seed.drop) : ordered_json(nullptr)},
                    {"run", seed.run.string()},
                    {"trained", seed.trained}});
  }
  return rows;
}

ordered_json to_json(const Claim& claim, const ClaimResult& result) {
  ordered_json row = to_json(claim);
  row["metric"] = result.metric;
  row["ours"] = result.value;
  row["drop"] = result.has_drop ? ordered_json(result.drop) : ordered_json(nullptr);
  const bool gain = claim.expect == Claim::Expect::gain;
  row["gain"] = gain ? ordered_json(result.gain()) : ordered_json(nullptr);
  row["spread"] = result.seeds.size() > 1 ? ordered_json(result.spread) : ordered_json(nullptr);
  row["holds"] = result.holds;
  row["seeds"] = to_json(result.seeds);
  row["other_seeds"] = to_json(result.others);
  return row;
}

class Reproduce final : public Verb {
 public:
  std::string name() const override { return "reproduce"; }
  std::string summary() const override { return "run a paper's experiment: published beside measured"; }
  std::vector<std::string> examples() const override {
    return {"nnq reproduce", "nnq reproduce dorefa", "nnq reproduce --all --scale quick --record results/reproduce",
            "nnq reproduce --page docs/results.md", "nnq reproduce --performance-page docs/performance.md"};
  }
  void options(CLI::App& app) override {
    auto* paper = app.add_option("PAPER", paper_, "id of the paper; without it the experiments are listed");
    app.add_flag("--all", all_, "run the experiments of all papers")->excludes(paper);
    app.add_flag("--list", list_, "list the experiments")->excludes(paper);
    app.add_option("--scale", scale_, "quick: minutes a claim; full: the paper's own setting (default: quick)")
        ->check(CLI::IsMember({"quick", "full"}));
    app.add_option("--set", options_.overrides, "KEY=VALUE: changes every recipe that runs")->type_name("KEY=VALUE");
    app.add_option("--runs", options_.runs, "where runs go, and are gone on with (default: runs/reproduce)");
    app.add_option("--record", record_, "write FOLDER/PAPER.json, what docs/results.md is made from");
    app.add_option("--page", page_, "run nothing: write the page of everything in results/ to FILE");
    app.add_option("--performance-page", performance_page_,
                   "run nothing: write the page of results/performance (bench/peers) to FILE");
    app.add_option("--jobs", jobs_, "trainings at a time (default: what cores and threads allow; full scale: 1)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--threads", threads_,
                   "threads of a training or attack; numbers depend on them (default: 1; full scale: all cores)")
        ->check(CLI::Range(1, 1024));
  }

  int run(bool json, ordered_json& document) override {
    if (!page_.empty()) return write_page(page_, results_page("results"), json, document);
    if (!performance_page_.empty())
      return write_page(performance_page_, performance_page("results/performance"), json, document);
    const std::vector<Experiment> experiments = all_experiments();
    if (list_ || (paper_.empty() && !all_)) return list(experiments, json, document);
    std::vector<Experiment> chosen;
    std::vector<std::string> known;
    for (const Experiment& experiment : experiments) {
      known.push_back(experiment.paper);
      if (all_ || experiment.paper == paper_) chosen.push_back(experiment);
    }
    if (chosen.empty())
      throw Error("there is no experiment of the paper '" + paper_ + "'", {}, suggestion(paper_, known));
    return run_experiments(chosen, json, document);
  }

 private:
  static int list(const std::vector<Experiment>& experiments, bool json, ordered_json& document) {
    document["experiments"] = ordered_json::array();
    Table table({{"paper"}, {"scale"}, {"claim"}, {"expected of ours"}});
    for (const Experiment& experiment : experiments) {
      ordered_json claims = ordered_json::array();
      for (const Claim& claim : experiment.claims) {
        claims.push_back(to_json(claim));
        table.row({experiment.paper, name_of(claim.scale), claim.claim, claim.expected()});
      }
      document["experiments"].push_back({{"paper", experiment.paper}, {"title", experiment.title}, {"claims", claims}});
    }
    if (!json) fmt::print("{}\nnext: nnq reproduce PAPER runs its experiment\n", table.text());
    return done;
  }

  int run_experiments(const std::vector<Experiment>& experiments, bool json, ordered_json& document) {
    document[all_ ? "experiments" : "paper"] = nullptr;
    share_cores();
    const std::exception_ptr failure = train_all(experiments);
    const bool cut_short = interrupted_ || failure != nullptr;
    bool all_hold = true;
    ordered_json results = ordered_json::array();
    for (const Experiment& experiment : experiments) {
      const std::vector<Claim> claims = claims_of(experiment);
      if (claims.empty() && !all_)
        throw Error(fmt::format("the experiment of '{}' has no claim of this scale", paper_), "--scale " + scale_);
      // Papers whose runs are all there are not lost to what happened to another's.
      const bool complete = std::all_of(claims.begin(), claims.end(), [&](const Claim& claim) {
        return runs_finished(options_, experiment.paper, claim);
      });
      if (claims.empty() || (cut_short && !complete)) continue;
      results.push_back(judged(experiment, claims, json, all_hold));
      if (interrupted_ && !cut_short) break;
      if (!record_.empty()) write_record(record_, command(experiment.paper), results.back());
    }
    if (failure != nullptr) std::rethrow_exception(failure);
    fill(document, results);
    if (interrupted_) fmt::print(stderr, "interrupted: the same command goes on where it stopped\n");
    return all_hold && !interrupted_ ? done : not_met;
  }

  std::vector<Claim> claims_of(const Experiment& experiment) const {
    std::vector<Claim> claims;
    std::copy_if(experiment.claims.begin(), experiment.claims.end(), std::back_inserter(claims),
                 [&](const Claim& claim) { return name_of(claim.scale) == scale_; });
    return claims;
  }

  /// What several runs at a time can do before claims are judged; what went wrong with it.
  std::exception_ptr train_all(const std::vector<Experiment>& experiments) {
    std::vector<std::pair<std::string, Claim>> claims;
    for (const Experiment& experiment : experiments)
      for (const Claim& claim : claims_of(experiment)) claims.emplace_back(experiment.paper, claim);
    try {
      interrupted_ = !train_ahead(options_, claims);
    } catch (const Error&) {
      return std::current_exception();
    }
    return nullptr;
  }

  /// Runs what is missing, shows the table and gives the record.
  ordered_json judged(const Experiment& experiment, const std::vector<Claim>& claims, bool json, bool& all_hold) {
    ordered_json rows = ordered_json::array();
    Table table({{"claim"},
                 {"published"},
                 {"ours", Table::Align::right},
                 {"drop vs float", Table::Align::right},
                 {"gain", Table::Align::right},
                 {"spread", Table::Align::right},
                 {"expected"},
                 {"holds"}});
    for (const Claim& claim : claims) {
      ClaimResult result;
      if (!reproduce_claim(options_, experiment.paper, claim, result)) {
        interrupted_ = true;
        break;
      }
      all_hold = all_hold && result.holds;
      rows.push_back(to_json(claim, result));
      table.row({claim.claim, claim.published, fixed(result.value, 2), result.has_drop ? fixed(result.drop, 2) : "",
                 claim.expect == Claim::Expect::gain ? fixed(result.gain(), 2) : "",
                 result.seeds.size() > 1 ? fixed(result.spread, 2) : "one seed", claim.expected(),
                 result.holds ? "yes" : "NO"});
    }
    if (!json) print(experiment, table);
    return {{"paper", experiment.paper}, {"title", experiment.title}, {"claims", rows}};
  }

  /// Trainings of quick experiments are small: one thread each makes the best of the cores, and the same numbers on any
  /// number of them (LibTorch sums gradients by threads).
  void share_cores() {
    const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    const bool full = scale_ == "full";
    options_.threads = threads_ > 0 ? threads_ : full ? cores : 1;
    options_.at_once = jobs_ > 0 ? jobs_ : full ? 1 : std::max(1, cores / options_.threads);
  }

  static int write_page(const std::filesystem::path& file, const std::string& text, bool json, ordered_json& document) {
    write_file_atomically(file, text);
    document["page"] = file.string();
    document["bytes"] = text.size();
    if (!json) fmt::print("{}: made from results/\n", file.string());
    return done;
  }

  std::string command(const std::string& paper) const {
    std::string text = fmt::format("nnq reproduce {} --scale {}", paper, scale_);
    for (const std::string& override : options_.overrides) text += " --set " + override;
    if (threads_ > 0) text += fmt::format(" --threads {}", threads_);
    return text;
  }

  void fill(ordered_json& document, const ordered_json& results) const {
    if (all_) {
      document["experiments"] = results;
    } else if (!results.empty()) {
      document.update(results.front());
    } else {
      document["paper"] = paper_;
      document["claims"] = ordered_json::array();
    }
    document["interrupted"] = interrupted_;
  }

  void print(const Experiment& experiment, const Table& table) const {
    fmt::print("{}: {}\n\n{}\n", experiment.paper, experiment.title, table.text());
    fmt::print("ours:\n");
    for (const Claim& claim : experiment.claims)
      if (name_of(claim.scale) == scale_) fmt::print("  {}: {}\n", claim.claim, claim.setting);
    fmt::print("next: nnq report {}/*\n", (options_.runs / experiment.paper).string());
  }

  std::string paper_, scale_ = "quick";
  std::filesystem::path record_, page_, performance_page_;
  ReproduceOptions options_;
  int jobs_ = 0, threads_ = 0;  // 0: not said
  bool all_ = false, list_ = false, interrupted_ = false;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(reproduce) { return std::make_unique<nnq::cli::Reproduce>(); }
