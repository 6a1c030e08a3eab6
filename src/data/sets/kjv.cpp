#include "data/registry.h"

// The King James text as Debian's program `bible` prints it, one verse a line, words.
NNQ_DATASET(kjv) {
  return {.info = {"kjv", "King James Bible, words, cut 90 : 5 : 5", "bible-kjv-text"},
          .folders = {"kjv", "."},
          .must_hold = {"kjv.txt"},
          .text = [](const std::filesystem::path& folder,
                     Split split) { return part_of_file(folder / "kjv.txt", split, false); },
          .hint =
              "apt-get install bible-kjv, then: mkdir -p ~/.cache/nnq/data/kjv && bible -f gen1:1-rev22:21 | "
              "sed 's/^[^ ]* //' > ~/.cache/nnq/data/kjv/kjv.txt"};
}
