// Perplexity of a language model, whatever computes it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nnq/tensor.h"
#include "nnq/text.h"

namespace nnq {

/// Runs the model on tokens i64 [T, 1] and the state before them; gives the logits [T, 1, vocabulary] and replaces the
/// state by the one behind them. `state` is empty at first: the state at the beginning of a text.
using RunPiece = std::function<Tensor(const Tensor& tokens, std::vector<Tensor>& state)>;

/// The whole text as one stream, `piece` tokens at a time, the state carried along: the value does not depend on piece.
/// `limit` > 0: only so many tokens. Throws nnq::Error when the text has fewer than two tokens, the logits do not fit
/// its vocabulary, or a logit is not finite. Progress titled `title`.
Perplexity measure_perplexity(const Text& corpus, std::int64_t limit, const std::string& title, const RunPiece& run,
                              std::int64_t piece = 64);

/// -log softmax(row)[label] in double.
double negative_log_likelihood(const float* row, std::int64_t count, std::int64_t label);

}  // namespace nnq
