// The small convolutional networks of Galloway, Taylor, Moussa 2018 (arXiv:1711.00449): three convolutions without
// padding inside, batch norm in front of the second and the third, where a binarized network takes its signs.
#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

Graph attacked_cnn(const Values& values, std::uint64_t seed) {
  const std::int64_t channels = values.integer("channels", 1, 1024), size = values.integer("size", 28, 1024),
                     classes = values.integer("classes", 1, 1000000), k = values.integer("kernels", 1, 4096);
  Builder b({channels, size, size}, seed);
  const std::int64_t one = (size - 2) / 2 + 1, two = (one - 6) / 2 + 1, three = two - 4;
  std::string x = b.relu("relu1", b.conv("conv1", b.input, channels, k, {.kernel = 8, .stride = 2, .pad = 3}));
  x = b.conv("conv2", b.batch_norm("bn2", x, k), k, 2 * k, {.kernel = 6, .stride = 2, .pad = 0});
  x = b.relu("relu2", x);
  x = b.conv("conv3", b.batch_norm("bn3", x, 2 * k), 2 * k, 2 * k, {.kernel = 5, .pad = 0});
  x = b.flatten("flatten", b.relu("relu3", x));
  return b.finish(b.linear("fc", x, 2 * k * three * three, classes, false));
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(attacked_cnn) {
  return {Network{.entry = {"attacked_cnn",
                            "network of Attacking Binarized Neural Networks (arXiv:1711.00449)",
                            {{"kernels", "64", "1..4096", "of the first convolution (64, 128, 256 in the paper)"},
                             {"channels", "1", "1..1024", "input channels"},
                             {"size", "28", "28..1024", "input height and width"},
                             {"classes", "10", "1..", "outputs"}}},
                  .build = attacked_cnn}};
}
