#include "cli/measure.h"

#include <algorithm>

#include "cli/engine.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

constexpr int rounds = 15;  // of all models in turns, so that a busy moment of the machine is not one model's alone
constexpr double seconds_a_round = 0.02;

}  // namespace

std::string Measurer::prepare_timing(const LoadedModel& model, const Samples& samples,
                                     const Preprocessing& preprocessing) {
  const std::int64_t first = 0;
  Timed timed{make_session(model.deployed(), 1, model.file), {make_batch(model, samples, preprocessing, {&first, 1})}};
  const std::string text = std::string("1 thread, ") + timed.session->isa();
  timed_[model.file] = std::move(timed);
  return text;
}

std::map<std::string, double> Measurer::milliseconds() {
  std::map<std::string, std::vector<double>> taken;
  for (int round = 0; round < rounds; ++round)
    for (auto& [file, timed] : timed_)
      taken[file].push_back(median_milliseconds(*timed.session, timed.inputs, seconds_a_round));
  std::map<std::string, double> medians;
  for (auto& [file, times] : taken) {
    const auto middle = times.begin() + rounds / 2;
    std::nth_element(times.begin(), middle, times.end());
    medians[file] = *middle;
  }
  return medians;
}

const Samples& Measurer::samples(const std::string& data) {
  const auto it = samples_.find(data);
  return it != samples_.end() ? it->second : samples_.emplace(data, load_dataset(data, Split::test)).first->second;
}

RunMeasurement Measurer::packed(const RunSummary& run, const std::string& data) {
  if (run.packed.empty()) throw Error("the run made no packed model", run.folder.string());
  const Samples& test = samples(data);
  const LoadedModel model = load_model(run.packed.string());
  const Preprocessing preprocessing = preprocessing_for(model.metadata(), {}, {});
  RunMeasurement measured;
  measured.count = sample_count(test, 0);
  const std::vector<std::int64_t> deployed =
      predict(*make_engine("program", model, threads_), model, test, preprocessing, measured.count);
  measured.value = accuracy(deployed, test);
  measured.threads_text = prepare_timing(model, test, preprocessing);
  measured.done = true;
  if (run.model.empty()) return measured;
  const LoadedModel trained = load_model(run.model.string());
  const std::vector<std::int64_t> simulated = predict(*make_engine("graph", trained, threads_), trained, test,
                                                      preprocessing_for(trained.metadata(), {}, {}), measured.count);
  measured.agreement = agreement(deployed, simulated);
  measured.has_agreement = true;
  return measured;
}

RunMeasurement Measurer::reference(const std::string& file, const std::string& data) {
  const auto known = references_.find(file + "\n" + data);
  if (known != references_.end()) return known->second;
  const Samples& test = samples(data);
  const LoadedModel model = load_model(file);
  const Preprocessing preprocessing = preprocessing_for(model.metadata(), {}, {});
  RunMeasurement measured;
  measured.count = sample_count(test, 0);
  measured.value =
      accuracy(predict(*make_engine("auto", model, threads_), model, test, preprocessing, measured.count), test);
  measured.threads_text = prepare_timing(model, test, preprocessing);
  measured.done = true;
  return references_[file + "\n" + data] = measured;
}

}  // namespace nnq::cli
