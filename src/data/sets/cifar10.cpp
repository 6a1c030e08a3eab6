#include "data/registry.h"

// CIFAR-10: Krizhevsky, 2009. Binary version; a file may hold any whole number of records.
NNQ_DATASET(cifar10) {
  return {.info = {"cifar10", "small photographs, 32x32 colour, 10 classes; train = data_batch_1..5", ""},
          .folders = {"cifar-10-batches-bin", "cifar10", "cifar-10"},
          .must_hold = {"data_batch_1.bin", "test_batch.bin"},
          .load = [](const std::filesystem::path& folder, Split split) {
            std::vector<std::filesystem::path> files = {folder / "test_batch.bin"};
            if (split != Split::test) {
              files.clear();
              for (int i = 1; i <= 5; ++i) files.push_back(folder / ("data_batch_" + std::to_string(i) + ".bin"));
            }
            return samples_from_cifar(
                files, 1, {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
          }};
}
