#include <fmt/format.h>

#include "nnq/error.h"
#include "train/task.h"

namespace nnq::train {
namespace {

class ImageBatches final : public BatchSource {
 public:
  ImageBatches(const Samples& samples, Preprocessing preprocessing, BatchLoader::Options options)
      : loader_(samples, std::move(preprocessing), options) {}
  std::int64_t batches() const override { return loader_.batches(); }
  void start(std::int64_t epoch, std::int64_t first) override { loader_.start(epoch, first); }
  bool next(Batch& batch) override {
    BatchLoader::Batch loaded;
    if (!loader_.next(loaded)) return false;
    batch = {std::move(loaded.images), std::move(loaded.labels)};
    return true;
  }

 private:
  BatchLoader loader_;
};

std::string size_of(const Samples& s) { return s.images.defined() ? to_string(s.images.shape()) : "none"; }

}  // namespace

const char* name_of(Metric metric) { return metric == Metric::accuracy ? "accuracy" : "perplexity"; }

std::map<std::string, std::string> ImageTask::describe(const TrainOptions& options) const {
  std::string input;
  for (const auto& [key, value] : preprocessing_.to_metadata()) input += key + "=" + value + " ";
  return {{"samples", fmt::format("{} {:016x}", size_of(train_), train_.hash)},
          {"validation samples", validation_ == nullptr ? "none" : size_of(*validation_)},
          {"preprocessing", input},
          {"augmentation", fmt::format("shift {} flip {}", options.augmentation.shift, options.augmentation.flip)}};
}

std::unique_ptr<BatchSource> ImageTask::source(const TrainOptions& options) const {
  const std::int64_t count = train_.images.defined() ? train_.images.shape()[0] : 0;
  NNQ_CHECK(count > 0, "there are no samples to train on", train_.source);
  // Part batches make batch statistics noisy and epochs uneven; a set smaller than a batch is one batch.
  return std::make_unique<ImageBatches>(
      train_, preprocessing_,
      BatchLoader::Options{options.batch, true, count >= options.batch, options.seed, options.augmentation});
}

double ImageTask::validate(const Graph& graph, const TrainOptions& options) const {
  return evaluate_accuracy(graph, *validation_, preprocessing_, options.batch, "validation");
}

}  // namespace nnq::train
