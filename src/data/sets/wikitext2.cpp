#include "data/registry.h"

// WikiText-2 (Merity et al. 2016, arXiv:1609.07843), words.
NNQ_DATASET(wikitext2) {
  return {.info = {"wikitext2", "WikiText-2, words, vocabulary 33,278", ""},
          .folders = {"wikitext-2", "wikitext2"},
          .must_hold = {"wiki.train.tokens"},
          .text = [](const std::filesystem::path& folder, Split split) -> TextPart {
            const char* const name = split == Split::train ? "train" : split == Split::validation ? "valid" : "test";
            return {folder / (std::string("wiki.") + name + ".tokens")};
          }};
}
