#include "cli/measure.h"

#include "cli/engine.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

/// Median milliseconds of one real image, one thread.
double image_milliseconds(const LoadedModel& model, const Samples& samples, const Preprocessing& preprocessing,
                          std::string& threads_text) {
  const std::unique_ptr<Session> session = make_session(model.deployed(), 1, model.file);
  const std::int64_t first = 0;
  const std::vector<Tensor> inputs = {make_batch(model, samples, preprocessing, {&first, 1})};
  threads_text = std::string("1 thread, ") + session->isa();
  return median_milliseconds(*session, inputs, /*seconds=*/0.3, /*least=*/20);
}

}  // namespace

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
  measured.milliseconds = image_milliseconds(model, test, preprocessing, measured.threads_text);
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
  measured.milliseconds = image_milliseconds(model, test, preprocessing, measured.threads_text);
  measured.done = true;
  return references_[file + "\n" + data] = measured;
}

}  // namespace nnq::cli
