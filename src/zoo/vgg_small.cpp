// The VGG-like CIFAR ConvNet of BNN (Courbariaux et al. 2016, arXiv:1602.02830): two 3x3 convolutions a stage, channels
// doubling, max pooling, then fully connected layers.
#include <algorithm>
#include <cmath>

#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

/// One convolution with its pooling, batch norm and activation in either order: BNN pools before the batch norm (conv,
/// pool, BN, act), common networks behind the activation (conv, BN, act, pool).
std::string block(Builder& b, const std::string& n, std::string x, std::int64_t in, std::int64_t out, bool pool,
                  bool bnn_order, const std::string& kind) {
  x = b.conv("conv" + n, x, in, out);
  if (pool && bnn_order) x = b.max_pool("pool" + n, x, 2, 2);
  x = b.activation("act" + n, kind, b.batch_norm("bn" + n, x, out));
  if (pool && !bnn_order) x = b.max_pool("pool" + n, x, 2, 2);
  return x;
}

/// Output channels of each stage.
std::vector<std::int64_t> channels_of(const Values& values) {
  std::vector<std::int64_t> given = values.integers("stage_channels", 1, 1 << 16);
  if (!given.empty()) return given;
  const double width = values.number("width", 0.01, 16);
  for (std::int64_t s = 0; s < values.integer("stages", 1, 6); ++s)
    given.push_back(std::max<std::int64_t>(1, std::llround(128.0 * width * std::pow(2.0, static_cast<double>(s)))));
  return given;
}

Graph vgg_small(const Values& values, std::uint64_t seed) {
  const std::int64_t channels = values.integer("channels", 1, 1024), size = values.integer("size", 4, 1024),
                     classes = values.integer("classes", 1, 1000000);
  const std::int64_t depth = values.integer("depth", 1, 8);
  const bool bnn_order = values.choice("order", {"bnn", "standard"}) == "bnn";
  const std::string kind = values.choice("activation", {"relu", "hardtanh"});
  const bool last_norm = values.choice("last_norm", {"yes", "no"}) == "yes";
  Builder b({channels, size, size}, seed);
  std::string x = b.input;
  std::int64_t in = channels, side = size;
  int layer = 1;
  for (const std::int64_t out : channels_of(values)) {
    for (std::int64_t d = 0; d < depth; ++d) {
      x = block(b, std::to_string(layer++), x, in, out, d + 1 == depth, bnn_order, kind);
      in = out;
    }
    side /= 2;
  }
  const std::vector<std::int64_t> hidden = values.integers("fc", 1, 1 << 20);
  if (values.choice("head", {"flatten", "average"}) == "average") {
    x = b.global_average_pool("gap", x);
  } else {
    x = b.flatten("flatten", x);
    in *= side * side;
  }
  int fc = 1;
  for (const std::int64_t units : hidden) {
    const std::string n = std::to_string(fc++);
    x = b.linear("fc" + n, x, in, units, false);
    x = b.activation("fc_act" + n, kind, b.batch_norm("fc_bn" + n, x, units));
    in = units;
  }
  x = b.linear("fc" + std::to_string(fc), x, in, classes, !last_norm);
  return b.finish(last_norm ? b.batch_norm("fc_bn" + std::to_string(fc), x, classes) : x);
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(vgg_small) {
  return {Network{
      .entry = {"vgg_small",
                "BNN's CIFAR-10 ConvNet (arXiv:1602.02830): 128-128-256-256-512-512, fc 1024-1024-10",
                {{"width", "1", "0.01..16", "factor on the 128, 256, 512 channels"},
                 {"stages", "3", "1..6", "stages, each ending in 2x2 max pooling"},
                 {"stage_channels", "", "widths", "channels of each stage, e.g. 8,16,24; empty: from width and stages"},
                 {"depth", "2", "1..8", "convolutions a stage"},
                 {"fc", "1024,1024", "widths", "hidden fully connected layers; empty = none"},
                 {"head", "flatten", "flatten, average", "how the last feature map becomes a vector"},
                 {"order", "bnn", "bnn, standard", "bnn: conv, pool, norm, act; standard: conv, norm, act, pool"},
                 {"activation", "hardtanh", "relu, hardtanh", "activation"},
                 {"last_norm", "yes", "yes, no", "batch norm behind the last layer"},
                 {"channels", "3", "1..1024", "input channels"},
                 {"size", "32", "4..1024", "input height and width"},
                 {"classes", "10", "1..", "outputs"}}},
      .build = vgg_small}};
}
