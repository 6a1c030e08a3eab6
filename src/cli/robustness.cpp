#include "cli/robustness.h"

#include <algorithm>
#include <filesystem>

#include "cli/engine.h"
#include "cli/training.h"
#include "cli/transfer_plot.h"
#include "core/text.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

namespace fs = std::filesystem;

const RobustnessApi& robustness() {
  const auto* api = dynamic_cast<const RobustnessApi*>(&training());
  if (api == nullptr) throw Error("this build of libnnq_train.so knows no attacks", {}, "install nnq as a whole", true);
  return *api;
}

std::vector<double> budgets(const std::vector<std::string>& texts) {
  std::vector<double> values;
  for (const std::string& text : texts) {
    const auto value = parse_fraction(text);
    if (!value || !(*value > 0 && *value <= 1))
      throw Error("'" + text + "' is not an attack budget", "--epsilon",
                  "above 0 and at most 1, pixels being 0..1: e.g. 8/255 or 0.3");
    values.push_back(*value);
  }
  return values;
}

/// The graph that a .nnq was written from, when it lies beside it under the same name.
Graph graph_beside(const std::string& file) {
  const fs::path beside = fs::path(file).replace_extension(".onnx");
  return fs::exists(beside) ? load_model(beside.string()).graph : Graph{};
}

Graph graph_of(const std::string& file) {
  LoadedModel model = load_model(file);
  if (model.packed) throw Error("integers have no gradient", file, "--source takes an .onnx");
  return std::move(model.graph);
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// What was mistyped is said before what the model lacks.
void check_names(const AttackSettings& settings) {
  if (!contains({"auto", "executor", "runtime"}, settings.backend))
    throw Error("there is no backend '" + settings.backend + "'", "--backend", "known: auto, executor, runtime");
  if (!contains({"own", "mask", "clip", "smooth"}, settings.gradient))
    throw Error("there is no gradient '" + settings.gradient + "'", "--gradient", "known: own, mask, clip, smooth");
  for (const std::string& attack : settings.attacks)
    if (!contains(known_attacks(), attack))
      throw Error("there is no attack '" + attack.substr(0, 64) + "'", "--attack", suggestion(attack, known_attacks()));
}

}  // namespace

std::vector<std::string> known_attacks() {
  return {
#define NNQ_ROW(stem) #stem,
#include "nnq_registry/attacks.inc"
#undef NNQ_ROW
  };
}

AttackReport attack_file(const std::string& file, const AttackSettings& settings) {
  AttackRequest request;
  request.name = file;
  request.epsilons = budgets(settings.epsilons);
  request.parameters = parse_parameters(settings.parameters);
  check_names(settings);
  const LoadedModel model = load_model(file);
  request.packed = model.packed;
  request.model = model.packed ? graph_beside(file) : model.graph;
  request.runtime = settings.backend == "runtime" || (settings.backend == "auto" && model.packed != nullptr);
  if (!settings.source.empty()) request.source = graph_of(settings.source);
  request.attacks = settings.attacks;
  request.preprocessing = preprocessing_for(model.metadata(), settings.mean, settings.std);
  if (settings.mean.empty() && settings.std.empty() && !model.metadata().contains("nnq.input.mean"))
    throw Error("does not say how its input is normalised", file,
                "give it: --mean and --std (0 and 1 when pixels 0..1 go in as they are)");
  std::string data = settings.data;
  if (const auto it = model.metadata().find("nnq.data"); data.empty() && it != model.metadata().end())
    data = it->second;
  if (data.empty()) throw Error("does not say what it was trained on", file, "give a data set: --data (nnq data)");
  request.samples = load_dataset(data, Split::test);
  request.count = sample_count(request.samples, settings.limit);
  request.gradient = settings.gradient;
  request.beta = settings.beta;
  request.draws = settings.draws;
  request.diagnose = settings.diagnose;
  request.seed = static_cast<std::uint64_t>(settings.seed);
  request.threads = settings.threads;
  return robustness().attack(request);
}

}  // namespace nnq::cli
