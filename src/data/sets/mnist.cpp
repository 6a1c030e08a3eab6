#include "data/registry.h"

// Handwritten digits, LeCun, Cortes and Burges.
NNQ_DATASET(mnist) {
  return {.info = {"mnist", "handwritten digits, 28x28 grey, 10 classes (IDX)", ""},
          .folders = {"mnist", "MNIST", "MNIST/raw", "MNIST_data"},
          .must_hold = {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte",
                        "t10k-images-idx3-ubyte.gz"},
          .load = [](const std::filesystem::path& folder, Split split) {
            const std::string stem = split == Split::test ? "t10k" : "train";
            return samples_from_idx(plain_or_gzip(folder, stem + "-images-idx3-ubyte"),
                                    plain_or_gzip(folder, stem + "-labels-idx1-ubyte"),
                                    {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
          }};
}
