#include "data/registry.h"

// CIFAR-100: Krizhevsky, 2009. Binary version: a coarse and a fine label a record; the fine one counts.
NNQ_DATASET(cifar100) {
  return {.info = {"cifar100", "small photographs, 32x32 colour, 100 classes", ""},
          .folders = {"cifar-100-binary", "cifar100", "cifar-100"},
          .must_hold = {"train.bin", "test.bin"},
          .load = [](const std::filesystem::path& folder, Split split) {
            std::vector<std::string> classes;
            for (int i = 0; i < 100; ++i) classes.push_back("class " + std::to_string(i));
            return samples_from_cifar({folder / (split == Split::test ? "test.bin" : "train.bin")}, 2, classes);
          }};
}
