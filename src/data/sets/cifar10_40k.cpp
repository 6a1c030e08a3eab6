#include "data/registry.h"

// The split for networks trained here where the official test images are not all to be had: train on four batches,
// report on the fifth, which nothing was trained on or chosen by.
NNQ_DATASET(cifar10_40k) {
  return {.info = {"cifar10_40k", "CIFAR-10, train = data_batch_1..4 (40,000), test = data_batch_5 (10,000)", ""},
          .folders = {"cifar-10-batches-bin", "cifar10", "cifar-10"},
          .must_hold = {"data_batch_1.bin"},
          .load = [](const std::filesystem::path& folder, Split split) {
            std::vector<std::filesystem::path> files = {folder / "data_batch_5.bin"};
            if (split != Split::test) {
              files.clear();
              for (int i = 1; i <= 4; ++i) files.push_back(folder / ("data_batch_" + std::to_string(i) + ".bin"));
            }
            return samples_from_cifar(
                files, 1, {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
          }};
}
