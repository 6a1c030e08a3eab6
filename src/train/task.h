// What a network learns from and is judged by: images with classes, or text. Torch-free header.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "nnq/dataset.h"
#include "nnq/graph.h"
#include "nnq/text.h"
#include "train/trainer.h"

namespace nnq::train {

/// Batches of an epoch in order. What a batch holds depends on (seed, epoch, position) alone.
class BatchSource {
 public:
  struct Batch {
    Tensor input;   // of the network
    Tensor labels;  // i64 [n]: the class of each row of scores
  };
  virtual ~BatchSource() = default;
  virtual std::int64_t batches() const = 0;
  /// Starts epoch `epoch` at batch `first` (for resume).
  virtual void start(std::int64_t epoch, std::int64_t first) = 0;
  /// False at the end of the epoch.
  virtual bool next(Batch& batch) = 0;
};

/// accuracy: percent of right classes, higher is better. perplexity: exp of the mean loss a token, lower is better.
enum class Metric { accuracy, perplexity };
const char* name_of(Metric metric);
/// A value as a score: higher is better.
inline double score_of(Metric metric, double value) { return metric == Metric::accuracy ? value : -value; }

class Task {
 public:
  virtual ~Task() = default;
  virtual Metric metric() const = 0;
  /// What makes two runs different, for checkpoints.
  virtual std::map<std::string, std::string> describe(const TrainOptions& options) const = 0;
  /// Batches of the training set. Throws nnq::Error when there are none.
  virtual std::unique_ptr<BatchSource> source(const TrainOptions& options) const = 0;
  virtual bool has_validation() const = 0;
  /// The metric of a network without quantizers on the validation set.
  virtual double validate(const Graph& graph, const TrainOptions& options) const = 0;
  /// How pixels become network input; nullptr where there are no pixels (text).
  virtual const Preprocessing* preprocessing() const { return nullptr; }
};

/// Images with classes. Keeps references to the samples.
class ImageTask final : public Task {
 public:
  ImageTask(const Samples& train, const Samples* validation, Preprocessing preprocessing)
      : train_(train), validation_(validation), preprocessing_(std::move(preprocessing)) {}
  Metric metric() const override { return Metric::accuracy; }
  std::map<std::string, std::string> describe(const TrainOptions& options) const override;
  std::unique_ptr<BatchSource> source(const TrainOptions& options) const override;
  bool has_validation() const override { return validation_ != nullptr; }
  double validate(const Graph& graph, const TrainOptions& options) const override;
  const Preprocessing* preprocessing() const override { return &preprocessing_; }

 private:
  const Samples& train_;
  const Samples* validation_;
  Preprocessing preprocessing_;
};

/// Text: `batch` streams side by side, `unroll` tokens of each a step, states carried from step to step. Keeps
/// references to the corpora.
class TextTask final : public Task {
 public:
  TextTask(const Text& train, const Text* validation) : train_(train), validation_(validation) {}
  Metric metric() const override { return Metric::perplexity; }
  std::map<std::string, std::string> describe(const TrainOptions& options) const override;
  std::unique_ptr<BatchSource> source(const TrainOptions& options) const override;
  bool has_validation() const override { return validation_ != nullptr; }
  double validate(const Graph& graph, const TrainOptions& options) const override;

 private:
  const Text& train_;
  const Text* validation_;
};

}  // namespace nnq::train
