// Two language models on one text: do they predict the same tokens, each on its own and from the same state?
#pragma once

#include <cstdint>
#include <optional>

#include "data/perplexity.h"
#include "nnq/text.h"

namespace nnq::cli {

struct TextComparison {
  Perplexity a, b;                       // each carries its own state along the text
  double free_agreement = 0;             // percent of equal predictions, likewise
  std::optional<double> step_agreement;  // percent, B starting every token from A's state; none: other states than A's
  double largest = 0;  // difference of a logit, from A's state; where there is no such run: each its own
};

/// The first `limit` tokens (0: all). A tie goes to the lowest token. Throws nnq::Error when the text has fewer than
/// two tokens or a model another vocabulary.
TextComparison compare_text(const Text& text, std::int64_t limit, const RunPiece& a, const RunPiece& b);

}  // namespace nnq::cli
