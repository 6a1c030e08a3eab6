#include "data/registry.h"

// Fashion-MNIST: Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747.
NNQ_DATASET(fashion_mnist) {
  return {
      .info = {"fashion_mnist", "articles of clothing, 28x28 grey, 10 classes (IDX)", "dataset-fashion-mnist"},
      .folders = {"fashion-mnist", "fashion_mnist", "FashionMNIST", "FashionMNIST/raw"},
      .must_hold = {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte",
                    "t10k-images-idx3-ubyte.gz"},
      .load = [](const std::filesystem::path& folder, Split split) {
        const std::string stem = split == Split::test ? "t10k" : "train";
        return samples_from_idx(
            plain_or_gzip(folder, stem + "-images-idx3-ubyte"), plain_or_gzip(folder, stem + "-labels-idx1-ubyte"),
            {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"});
      }};
}
