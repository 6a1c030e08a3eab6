// MobileNet v1 (Howard et al. 2017, arXiv:1704.04861): depthwise separable convolutions, width multiplier alpha.
#include <algorithm>
#include <cmath>

#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

Graph mobilenet(const Values& values, std::uint64_t seed) {
  const double alpha = values.number("alpha", 0.05, 4);
  const std::int64_t channels = values.integer("channels", 1, 1024), size = values.integer("size", 32, 4096),
                     classes = values.integer("classes", 1, 1000000);
  const auto scaled = [&](std::int64_t c) {
    return std::max<std::int64_t>(8, static_cast<std::int64_t>(std::floor(static_cast<double>(c) * alpha + 1e-9)));
  };
  Builder b({channels, size, size}, seed);
  std::int64_t in = scaled(32);
  std::string x = b.relu("relu0", b.batch_norm("bn0", b.conv("conv0", b.input, channels, in, {.stride = 2}), in));
  struct Layer {
    std::int64_t channels, stride;
  };
  constexpr Layer layers[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                              {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
  int i = 1;
  for (const Layer& layer : layers) {
    const std::string n = std::to_string(i++);
    const std::int64_t out = scaled(layer.channels);
    x = b.batch_norm("dw" + n + ".bn", b.conv("dw" + n, x, in, in, {.stride = layer.stride, .groups = in}), in);
    x = b.batch_norm("pw" + n + ".bn",
                     b.conv("pw" + n, b.relu("dw" + n + ".relu", x), in, out, {.kernel = 1, .pad = 0}), out);
    x = b.relu("pw" + n + ".relu", x);
    in = out;
  }
  return b.finish(b.linear("fc", b.global_average_pool("gap", x), in, classes));
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(mobilenet_v1) {
  return {Network{.entry = {"mobilenet_v1",
                            "MobileNet (arXiv:1704.04861), depthwise separable convolutions",
                            {{"alpha", "1", "0.05..4", "width multiplier (the paper: 1, 0.75, 0.5, 0.25)"},
                             {"channels", "3", "1..1024", "input channels"},
                             {"size", "224", "32..4096", "input height and width (the paper: 224, 192, 160, 128)"},
                             {"classes", "1000", "1..", "outputs"}}},
                  .build = mobilenet}};
}
