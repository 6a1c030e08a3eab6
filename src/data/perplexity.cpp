#include "data/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/progress.h"
#include "nnq/error.h"

namespace nnq {

double negative_log_likelihood(const float* row, std::int64_t count, std::int64_t label) {
  const float most = *std::max_element(row, row + count);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(std::exp(row[i] - most));
  return std::log(sum) + static_cast<double>(most) - static_cast<double>(row[label]);
}

Perplexity measure_perplexity(const Text& corpus, std::int64_t limit, const std::string& title, const RunPiece& run,
                              std::int64_t piece) {
  const auto all = static_cast<std::int64_t>(corpus.tokens.size());
  const std::int64_t total = limit > 0 ? std::min(all, limit) : all;
  NNQ_CHECK(total >= 2, fmt::format("perplexity needs at least 2 tokens, there are {}", total), corpus.source);
  const auto vocabulary = static_cast<std::int64_t>(corpus.vocabulary.size());
  std::vector<Tensor> state;
  Progress progress(title, total - 1);
  double sum = 0;
  for (std::int64_t first = 0; first + 1 < total; first += piece) {
    const std::int64_t time = std::min(piece, total - 1 - first);
    Tensor tokens(DType::i64, {time, 1});
    std::copy_n(corpus.tokens.begin() + first, time, tokens.mutable_as<std::int64_t>());
    const Tensor logits = run(tokens, state);
    NNQ_CHECK(logits.dtype() == DType::f32 && logits.count() == time * vocabulary,
              fmt::format("the network's output is {} for {} tokens and a vocabulary of {}", to_string(logits.shape()),
                          time, vocabulary),
              corpus.source, "the network and the text must have the same vocabulary");
    for (std::int64_t t = 0; t < time; ++t) {
      const std::int64_t label = corpus.tokens[static_cast<std::size_t>(first + t + 1)];
      const double loss = negative_log_likelihood(logits.as<float>() + t * vocabulary, vocabulary, label);
      NNQ_CHECK(std::isfinite(loss), fmt::format("the logits behind token {} are not finite", first + t),
                corpus.source);
      sum += loss;
    }
    progress.advance(time);
  }
  return {std::exp(sum / static_cast<double>(total - 1)), total - 1};
}

}  // namespace nnq
