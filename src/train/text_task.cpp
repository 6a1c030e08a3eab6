// Continuous batching: the corpus is cut into `batch` streams of equal length that are read side by side, so that the
// state after one step is the state before the next (Zaremba et al. 2014, arXiv:1409.2329).
#include <fmt/format.h>

#include <algorithm>

#include "nnq/error.h"
#include "train/task.h"

namespace nnq::train {
namespace {

class Streams final : public BatchSource {
 public:
  Streams(const Text& corpus, std::int64_t streams, std::int64_t unroll)
      : corpus_(corpus),
        streams_(streams),
        unroll_(unroll),
        length_(static_cast<std::int64_t>(corpus.tokens.size()) / streams) {
    NNQ_CHECK(length_ >= 2,
              fmt::format("{} tokens are too few for {} streams of at least 2", corpus.tokens.size(), streams),
              corpus.source, "a smaller batch, or more text");
  }
  std::int64_t batches() const override { return (length_ - 2) / unroll_ + 1; }
  void start(std::int64_t, std::int64_t first) override { at_ = first; }
  bool next(Batch& batch) override {
    if (at_ >= batches()) return false;
    const std::int64_t begin = at_++ * unroll_, time = std::min(unroll_, length_ - 1 - begin);
    batch.input = Tensor(DType::i64, {time, streams_});
    batch.labels = Tensor(DType::i64, {time * streams_});
    auto* const inputs = batch.input.mutable_as<std::int64_t>();
    auto* const labels = batch.labels.mutable_as<std::int64_t>();
    for (std::int64_t t = 0; t < time; ++t) {
      for (std::int64_t n = 0; n < streams_; ++n) {
        const auto token = static_cast<std::size_t>(n * length_ + begin + t);
        inputs[t * streams_ + n] = corpus_.tokens[token];
        labels[t * streams_ + n] = corpus_.tokens[token + 1];
      }
    }
    return true;
  }

 private:
  const Text& corpus_;
  std::int64_t streams_, unroll_, length_, at_ = 0;
};

}  // namespace

std::map<std::string, std::string> TextTask::describe(const TrainOptions& options) const {
  return {{"text", fmt::format("{} tokens of {} {:016x}", train_.tokens.size(), train_.vocabulary.size(), train_.hash)},
          {"validation text", validation_ == nullptr ? "none" : fmt::format("{} tokens", validation_->tokens.size())},
          {"unroll", std::to_string(options.unroll)}};
}

std::unique_ptr<BatchSource> TextTask::source(const TrainOptions& options) const {
  NNQ_CHECK(options.batch > 0 && options.unroll > 0, "batch and unroll must be at least 1");
  return std::make_unique<Streams>(train_, options.batch, options.unroll);
}

double TextTask::validate(const Graph& graph, const TrainOptions&) const {
  return evaluate_perplexity(graph, *validation_, "validation").value;
}

}  // namespace nnq::train
