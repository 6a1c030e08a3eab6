// Text for language models: corpora found like image data sets, their vocabularies, and perplexity.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nnq/dataset.h"

namespace nnq {

/// A loaded split of a corpus.
struct Text : Corpus {
  bool characters = false;
  std::uint64_t hash = 0;  // of the files' contents, for the run's record
  std::string source;      // where it was found, for messages
};

/// Whether `spec` names text: a registered corpus ("ptb"), "text:FILE" (words) or "chars:FILE" (characters).
bool is_text(const std::string& spec);
/// One split of a corpus. The vocabulary is that of its training split: all of it, or with `words` > 0 the most
/// frequent words and "<unk>", `words` tokens together. Files without splits of their own are cut 90 : 5 : 5 into
/// training, validation and test. Throws nnq::Error when the text has fewer words than asked for, naming its file.
Text load_text(const std::string& spec, Split split, std::int64_t words = 0);
/// The same in the tokens of a vocabulary that exists, a model's: words it lacks are "<unk>". Throws nnq::Error naming
/// the first unknown word when it has no "<unk>".
Text load_text(const std::string& spec, Split split, const std::vector<std::string>& vocabulary);

struct Perplexity {
  double value = 0;        // exp of the mean negative log-likelihood of a token
  std::int64_t count = 0;  // tokens predicted: all but the first
};

/// A vocabulary as the metadata entry nnq.vocabulary of a model: one token a line, backslash and line break escaped.
std::string vocabulary_text(const std::vector<std::string>& vocabulary);
std::vector<std::string> vocabulary_from_text(const std::string& text);

}  // namespace nnq
