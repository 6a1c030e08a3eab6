// ResNet-18 (He et al. 2015, arXiv:1512.03385) and its form for binary training with a shortcut around every
// convolution (Bi-Real Net, Liu et al. 2018, arXiv:1808.00278).
#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

std::string projection(Builder& b, const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                       std::int64_t stride) {
  if (stride == 1 && in == out) return x;
  return b.batch_norm(name + "_bn", b.conv(name, x, in, out, {.kernel = 1, .stride = stride, .pad = 0}), out);
}

std::string plain_block(Builder& b, const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                        std::int64_t stride) {
  std::string y = b.batch_norm(name + ".bn1", b.conv(name + ".conv1", x, in, out, {.stride = stride}), out);
  y = b.batch_norm(name + ".bn2", b.conv(name + ".conv2", b.relu(name + ".relu1", y), out, out), out);
  return b.relu(name + ".relu2", b.add(name + ".add", y, projection(b, name + ".shortcut", x, in, out, stride)));
}

/// activation -> conv -> BN -> add, for each convolution on its own.
std::string bireal_block(Builder& b, const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                         std::int64_t stride) {
  std::string y = b.conv(name + ".conv1", b.hard_tanh(name + ".act1", x), in, out, {.stride = stride});
  y = b.add(name + ".add1", b.batch_norm(name + ".bn1", y, out), projection(b, name + ".shortcut", x, in, out, stride));
  std::string z = b.conv(name + ".conv2", b.hard_tanh(name + ".act2", y), out, out);
  return b.add(name + ".add2", b.batch_norm(name + ".bn2", z, out), y);
}

Graph resnet18(const Values& values, std::uint64_t seed) {
  const std::int64_t size = values.integer("size", 32, 4096), classes = values.integer("classes", 1, 1000000);
  const bool bireal = values.choice("shortcuts", {"per_block", "bireal"}) == "bireal";
  Builder b({3, size, size}, seed);
  std::string x = b.batch_norm("bn1", b.conv("conv1", b.input, 3, 64, {.kernel = 7, .stride = 2, .pad = 3}), 64);
  x = b.max_pool("pool1", b.relu("relu1", x), 3, 2, 1);
  std::int64_t in = 64;
  for (std::int64_t stage = 0; stage < 4; ++stage) {
    const std::int64_t out = std::int64_t{64} << stage;
    for (std::int64_t i = 0; i < 2; ++i) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(i);
      const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      x = bireal ? bireal_block(b, name, x, in, out, stride) : plain_block(b, name, x, in, out, stride);
      in = out;
    }
  }
  return b.finish(b.linear("fc", b.global_average_pool("gap", x), in, classes));
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(resnet18) {
  return {Network{.entry = {"resnet18",
                            "ResNet-18 (arXiv:1512.03385); shortcuts=bireal: Bi-Real Net's (arXiv:1808.00278)",
                            {{"shortcuts", "per_block", "per_block, bireal",
                              "bireal: one around every convolution, for binary training"},
                             {"size", "224", "32..4096", "input height and width"},
                             {"classes", "1000", "1..", "outputs"}}},
                  .build = resnet18}};
}
