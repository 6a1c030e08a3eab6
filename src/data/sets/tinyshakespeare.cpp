#include "data/registry.h"

// 1.1 MB of Shakespeare's plays as one file (Karpathy), characters.
NNQ_DATASET(tinyshakespeare) {
  return {.info = {"tinyshakespeare", "Shakespeare's plays, characters, vocabulary 65, cut 90 : 5 : 5", ""},
          .folders = {"tinyshakespeare", "."},
          .must_hold = {"tinyshakespeare.txt"},
          .text = [](const std::filesystem::path& folder, Split split) {
            return part_of_file(folder / "tinyshakespeare.txt", split, true);
          }};
}
