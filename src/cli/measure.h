// What `nnq report --measure` finds out anew about a finished run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/models.h"
#include "nnq/dataset.h"
#include "nnq/report.h"

namespace nnq::cli {

/// Measures models on the test split; data sets and results of models seen before are kept.
class Measurer {
 public:
  /// threads: for accuracies; times are always of one thread.
  explicit Measurer(int threads) : threads_(threads) {}

  /// The run's packed model: accuracy on the whole test split of `data`, predictions equal to those of the run's
  /// model.onnx as training computes it. Throws nnq::Error naming the file.
  RunMeasurement packed(const RunSummary& run, const std::string& data);
  /// A float model on the same runtime: accuracy; agreement is 100 by definition.
  RunMeasurement reference(const std::string& file, const std::string& data);
  /// Median time of a real batch-1 image on one thread, by file, of all models measured so far: they take turns.
  std::map<std::string, double> milliseconds();

 private:
  struct Timed {
    std::unique_ptr<Session> session;
    std::vector<Tensor> inputs;
  };

  const Samples& samples(const std::string& data);
  /// A session to be timed; returns what it runs on.
  std::string prepare_timing(const LoadedModel& model, const Samples& samples, const Preprocessing& preprocessing);

  int threads_;
  std::map<std::string, Timed> timed_;  // by file
  std::map<std::string, Samples> samples_;
  std::map<std::string, RunMeasurement> references_;
};

}  // namespace nnq::cli
