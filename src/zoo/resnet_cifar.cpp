// Residual networks for 32x32 images (He et al. 2015, arXiv:1512.03385, section 4.2): 6n+2 layers.
#include <algorithm>
#include <cmath>

#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

/// Option A: every second pixel, new channels zero; no parameters.
std::string pad_shortcut(Builder& b, const std::string& name, const std::string& x, std::int64_t in, std::int64_t out) {
  const auto constant = [&](const std::string& key, const std::vector<std::int64_t>& v) {
    b.graph.initializers.try_emplace(key, Tensor::of<std::int64_t>({static_cast<std::int64_t>(v.size())}, v));
    return key;
  };
  const std::string start = constant("shortcut.starts", {0, 0}), end = constant("shortcut.ends", {1 << 30, 1 << 30});
  const std::string axes = constant("shortcut.axes", {2, 3}), steps = constant("shortcut.steps", {2, 2});
  Node slice{.name = name + ".slice",
             .op = "Slice",
             .domain = "",
             .inputs = {x, start, end, axes, steps},
             .outputs = {name + ".slice.out"},
             .attributes = {}};
  const std::int64_t before = (out - in) / 2, after = out - in - before;
  const std::string pads = constant("shortcut.pads" + std::to_string(out), {0, before, 0, 0, 0, after, 0, 0});
  const std::string sliced = b.graph.add(slice);
  return b.graph.add(Node{.name = name + ".pad",
                          .op = "Pad",
                          .domain = "",
                          .inputs = {sliced, pads},
                          .outputs = {name + ".pad.out"},
                          .attributes = {{"mode", std::string("constant")}}});
}

std::string block(Builder& b, const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                  std::int64_t stride, bool option_a) {
  std::string y = b.batch_norm(name + ".bn1", b.conv(name + ".conv1", x, in, out, {.stride = stride}), out);
  y = b.conv(name + ".conv2", b.relu(name + ".relu1", y), out, out);
  y = b.batch_norm(name + ".bn2", y, out);
  std::string shortcut = x;
  if (stride != 1 || in != out) {
    shortcut =
        option_a ? pad_shortcut(b, name + ".shortcut", x, in, out)
                 : b.batch_norm(name + ".shortcut_bn",
                                b.conv(name + ".shortcut", x, in, out, {.kernel = 1, .stride = stride, .pad = 0}), out);
  }
  return b.relu(name + ".relu2", b.add(name + ".add", y, shortcut));
}

Graph resnet(std::int64_t blocks, const Values& values, std::uint64_t seed) {
  const std::int64_t channels = values.integer("channels", 1, 1024), size = values.integer("size", 4, 1024),
                     classes = values.integer("classes", 1, 1000000);
  const double width = values.number("width", 0.05, 64);
  const bool option_a = values.choice("shortcut", {"A", "B"}) == "A";
  Builder b({channels, size, size}, seed);
  std::int64_t in = std::max<std::int64_t>(1, std::llround(16 * width));
  std::string x = b.relu("relu1", b.batch_norm("bn1", b.conv("conv1", b.input, channels, in), in));
  for (std::int64_t stage = 0; stage < 3; ++stage) {
    const std::int64_t out = std::max<std::int64_t>(1, std::llround(16 * width)) << stage;
    for (std::int64_t i = 0; i < blocks; ++i) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(i);
      x = block(b, name, x, in, out, stage > 0 && i == 0 ? 2 : 1, option_a);
      in = out;
    }
  }
  return b.finish(b.linear("fc", b.global_average_pool("gap", x), in, classes));
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(resnet_cifar) {
  std::vector<Network> family;
  for (const std::int64_t blocks : {1, 3, 5, 7, 9}) {
    family.push_back(
        {.entry = {"resnet" + std::to_string(6 * blocks + 2),
                   "residual network for 32x32 images (arXiv:1512.03385, section 4.2)",
                   {{"shortcut", "A", "A, B", "A: strided slice and zero channels; B: 1x1 convolution"},
                    {"width", "1", "0.05..64", "factor on the 16, 32, 64 channels"},
                    {"channels", "3", "1..1024", "input channels"},
                    {"size", "32", "4..1024", "input height and width"},
                    {"classes", "10", "1..", "outputs"}}},
         .build = [blocks](const Values& values, std::uint64_t seed) { return resnet(blocks, values, seed); }});
  }
  return family;
}
