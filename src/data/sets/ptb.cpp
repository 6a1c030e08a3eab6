#include "data/registry.h"

// Penn Treebank as Mikolov prepared it for language models: 10,000 words, one sentence a line.
NNQ_DATASET(ptb) {
  return {.info = {"ptb", "Penn Treebank, words, vocabulary 10,000", ""},
          .folders = {"ptb", "penn-treebank", "simple-examples/data"},
          .must_hold = {"ptb.train.txt"},
          .text = [](const std::filesystem::path& folder, Split split) -> TextPart {
            const char* const name = split == Split::train ? "train" : split == Split::validation ? "valid" : "test";
            return {folder / (std::string("ptb.") + name + ".txt")};
          }};
}
