#include "cli/reproduction.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/processes.h"
#include "cli/training.h"
#include "nnq/error.h"
#include "nnq/report.h"

namespace nnq::cli {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A run that ended; one that was interrupted or killed is to be gone on with.
bool finished(const fs::path& run) {
  if (!fs::exists(run / "result.json")) return false;
  const auto result = nlohmann::json::parse(read_text(run / "result.json"), nullptr, false);
  return result.is_object() && !result.value("interrupted", false);
}

SeedResult result_of(const fs::path& run, std::int64_t seed, bool trained) {
  const RunSummary summary = read_run(run);
  if (!summary.has_value) throw Error("holds no accuracy", (run / "result.json").string());
  // A network that is quantized before it has learned anything has no float accuracy.
  const bool has_drop = summary.has_float && summary.float_value > 0;
  const bool text = summary.metric == "perplexity";
  const double lost = text ? 100 * (summary.value / summary.float_value - 1) : summary.float_value - summary.value;
  return {.seed = seed,
          .run = run,
          .metric = summary.metric,
          .value = summary.value,
          .drop = has_drop ? lost : 0,
          .has_drop = has_drop,
          .trained = trained};
}

/// Throws when the folder of a run holds another recipe's.
TrainRequest request_of(const ReproduceOptions& options, const fs::path& run, const fs::path& recipe,
                        std::int64_t seed) {
  TrainRequest request;
  request.recipe = recipe;
  request.overrides = options.overrides;
  request.overrides.push_back(fmt::format("seed={}", seed));
  request.run_directory = run;
  request.threads = options.threads;
  request.resume = fs::exists(run / "recipe.toml");
  if (request.resume && read_text(run / "recipe.toml") != training().recipe_text(request))
    throw Error(fmt::format("holds a run of another recipe than {} is now", recipe.string()), run.string(),
                "move the folder away to train it anew");
  return request;
}

/// Trains or resumes unless the run is finished; false when interrupted.
bool run_seed(ReproduceOptions& options, const fs::path& run, const fs::path& recipe, std::int64_t seed,
              SeedResult& result) {
  const TrainRequest request = request_of(options, run, recipe, seed);
  const bool train = !finished(run);
  if (train) {
    fmt::print(stderr, "{}: {}\n", run.string(), request.resume ? "going on" : "training");
    if (training().train(request).interrupted) return false;
  }
  const bool just_now = options.trained.erase(run) > 0;
  if (!train && !just_now) fmt::print(stderr, "{}: finished before, not run again\n", run.string());
  result = result_of(run, seed, train || just_now);
  return true;
}

/// The accuracy becomes that of `model` under attack, the drop what the attack costs.
void attack_model(const fs::path& model, AttackSettings settings, int threads, SeedResult& result) {
  settings.threads = threads;
  settings.seed = result.seed;
  const AttackReport report = attack_file(model.string(), settings);
  const AttackRow& row = report.rows.front();
  result.value = row.robust;
  result.drop = row.clean - row.robust;
  result.has_drop = true;
}

/// Runs of `recipe`, one a seed; a model that exists already has none and stands for itself.
bool run_seeds(ReproduceOptions& options, const std::string& paper, const fs::path& recipe, const Claim& claim,
               std::vector<SeedResult>& results) {
  for (const std::int64_t seed : claim.seeds) {
    SeedResult one;
    one.seed = seed;
    one.run = recipe;
    const bool model = is_model(recipe);
    if (!model && !run_seed(options, run_directory(options, paper, recipe, seed), recipe, seed, one)) return false;
    if (claim.attack) attack_model(model ? recipe : one.run / "model.nnq", *claim.attack, options.threads, one);
    results.push_back(one);
  }
  return true;
}

/// The number that the limits are for.
double judged_number(const Claim& claim, const ClaimResult& result) {
  switch (claim.expect) {
    case Claim::Expect::drop:
      return result.drop;
    case Claim::Expect::gain:
      return result.gain();
    case Claim::Expect::value:
    case Claim::Expect::perplexity:
      break;
  }
  return result.value;
}

void judge(const Claim& claim, ClaimResult& result) {
  const auto count = static_cast<double>(result.seeds.size());
  result.has_drop = true;
  result.metric = result.seeds.front().metric;
  double low = result.seeds.front().value, high = low;
  for (const SeedResult& seed : result.seeds) {
    result.value += seed.value / count;
    result.drop += seed.drop / count;
    result.has_drop = result.has_drop && seed.has_drop;
    low = std::min(low, seed.value);
    high = std::max(high, seed.value);
  }
  result.spread = high - low;
  for (const SeedResult& seed : result.others) result.other_value += seed.value / count;
  if (claim.expect == Claim::Expect::drop && !result.has_drop)
    throw Error("the run has no float network to compare with", result.seeds.front().run.string(),
                "expect = \"value\" for recipes that do not quantize");
  const bool text = result.metric == "perplexity";
  if ((claim.expect == Claim::Expect::perplexity && !text) || (claim.expect == Claim::Expect::value && text))
    throw Error("the run's metric is " + result.metric, result.seeds.front().run.string(),
                text ? "expect = \"perplexity\" for text" : "expect = \"value\" for images");
  for (const SeedResult& other : result.others)
    if (other.metric != result.metric)
      throw Error("the run's metric is " + other.metric + ", the claim's is " + result.metric, other.run.string());
  // Accuracies are hundredths of a percent; the sums above must not lose a claim to their last bit.
  constexpr double rounding = 1e-9;
  const double number = judged_number(claim, result);
  result.holds = (!claim.at_most || number <= *claim.at_most + rounding) &&
                 (!claim.at_least || number >= *claim.at_least - rounding);
}

}  // namespace

fs::path run_directory(const ReproduceOptions& options, const std::string& paper, const fs::path& recipe,
                       std::int64_t seed) {
  return options.runs / paper / fmt::format("{}-seed{}", recipe.stem().string(), seed);
}

namespace {

/// Calls f(recipe, seed) for every run of a claim; claims about one recipe share them.
template <class F>
void each_run(const Claim& claim, F&& f) {
  for (const std::int64_t seed : claim.seeds) {
    if (!is_model(claim.recipe)) f(claim.recipe, seed);
    if (claim.expect == Claim::Expect::gain && !is_model(claim.better_than)) f(claim.better_than, seed);
  }
}

Process process_of(const ReproduceOptions& options, const std::string& paper, const TrainRequest& request) {
  const std::string run = request.run_directory->string();
  Process process{
      .title = run,
      .arguments = {"train", request.recipe.string(), "--run", run, "--threads", std::to_string(request.threads)},
      .log = options.runs / "logs" / fmt::format("{}-{}.log", paper, request.run_directory->filename().string())};
  for (const std::string& override : request.overrides)
    process.arguments.insert(process.arguments.end(), {"--set", override});
  if (request.resume) process.arguments.push_back("--resume");
  return process;
}

}  // namespace

bool runs_finished(const ReproduceOptions& options, const std::string& paper, const Claim& claim) {
  bool all = true;
  each_run(claim, [&](const fs::path& recipe, std::int64_t seed) {
    all = all && finished(run_directory(options, paper, recipe, seed));
  });
  return all;
}

bool train_ahead(ReproduceOptions& options, const std::vector<std::pair<std::string, Claim>>& claims) {
  if (options.at_once <= 1) return true;
  std::vector<Process> processes;
  std::set<fs::path> missing;
  for (const auto& [paper, claim] : claims) {
    each_run(claim, [&, &of = paper](const fs::path& recipe, std::int64_t seed) {
      const fs::path run = run_directory(options, of, recipe, seed);
      if (missing.contains(run)) return;
      const TrainRequest request = request_of(options, run, recipe, seed);
      if (!finished(run) && missing.insert(run).second) processes.push_back(process_of(options, of, request));
    });
  }
  if (processes.size() < 2) return true;
  fmt::print(stderr, "{} runs under {}, {} at a time, {} thread{} each\n", processes.size(), options.runs.string(),
             options.at_once, options.threads, options.threads == 1 ? "" : "s");
  if (!run_processes(processes, options.at_once)) return false;
  std::error_code not_empty;
  fs::remove(options.runs / "logs", not_empty);
  options.trained = std::move(missing);
  return true;
}

bool reproduce_claim(ReproduceOptions& options, const std::string& paper, const Claim& claim, ClaimResult& result) {
  result = {};
  if (!run_seeds(options, paper, claim.recipe, claim, result.seeds)) return false;
  if (claim.expect == Claim::Expect::gain && !run_seeds(options, paper, claim.better_than, claim, result.others))
    return false;
  judge(claim, result);
  return true;
}

}  // namespace nnq::cli
