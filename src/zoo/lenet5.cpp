// LeNet-5 (LeCun et al. 1998) in its common form: ReLU, max pooling, biases.
#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

Graph lenet5(const Values& values, std::uint64_t seed) {
  const std::int64_t channels = values.integer("channels", 1, 1024), size = values.integer("size", 12, 1024),
                     classes = values.integer("classes", 1, 1000000);
  Builder b({channels, size, size}, seed);
  std::string x = b.conv("conv1", b.input, channels, 6, {.kernel = 5, .pad = 2, .bias = true});
  x = b.max_pool("pool1", b.relu("relu1", x), 2, 2);
  x = b.conv("conv2", x, 6, 16, {.kernel = 5, .pad = 0, .bias = true});
  x = b.max_pool("pool2", b.relu("relu2", x), 2, 2);
  const std::int64_t side = (size / 2 - 4) / 2;
  x = b.linear("fc1", b.flatten("flatten", x), 16 * side * side, 120);
  x = b.linear("fc2", b.relu("relu3", x), 120, 84);
  return b.finish(b.linear("fc3", b.relu("relu4", x), 84, classes));
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(lenet5) {
  return {Network{.entry = {"lenet5",
                            "LeNet-5 (LeCun et al. 1998), with ReLU and max pooling",
                            {{"channels", "1", "1..1024", "input channels"},
                             {"size", "28", "12..1024", "input height and width"},
                             {"classes", "10", "1..", "outputs"}}},
                  .build = lenet5}};
}
