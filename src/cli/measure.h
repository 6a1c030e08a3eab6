// What `nnq report --measure` finds out anew about a finished run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "cli/models.h"
#include "nnq/dataset.h"
#include "nnq/report.h"

namespace nnq::cli {

/// Measures models on the test split; data sets and results of models seen before are kept.
class Measurer {
 public:
  /// threads: for accuracies; times are always of one thread.
  explicit Measurer(int threads) : threads_(threads) {}

  /// The run's packed model: accuracy on the whole test split of `data`, median time of a batch-1 image on one thread,
  /// predictions equal to those of the run's model.onnx as training computes it. Throws nnq::Error naming the file.
  RunMeasurement packed(const RunSummary& run, const std::string& data);
  /// A float model on the same runtime: accuracy and time; agreement is 100 by definition.
  RunMeasurement reference(const std::string& file, const std::string& data);

 private:
  const Samples& samples(const std::string& data);

  int threads_;
  std::map<std::string, Samples> samples_;
  std::map<std::string, RunMeasurement> references_;
};

}  // namespace nnq::cli
