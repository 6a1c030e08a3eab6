// Multi-layer perceptrons; the default is BNN's MNIST network (Courbariaux et al. 2016, arXiv:1602.02830): 3 x 4096
// hidden.
#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

Graph mlp(const Values& values, std::uint64_t seed) {
  const std::int64_t channels = values.integer("channels", 1, 4096), size = values.integer("size", 1, 4096),
                     classes = values.integer("classes", 1, 1000000);
  const std::string kind = values.choice("activation", {"relu", "hardtanh"});
  const bool last_norm = values.choice("last_norm", {"yes", "no"}) == "yes";
  const bool norm = values.choice("norm", {"yes", "no"}) == "yes";
  const auto dropout = static_cast<float>(values.number("dropout", 0, 0.99));
  Builder b({channels, size, size}, seed);
  std::string x = b.flatten("flatten", b.input);
  std::int64_t in = channels * size * size;
  int i = 1;
  for (const std::int64_t width : values.integers("hidden", 1, 1 << 20)) {
    const std::string n = std::to_string(i++);
    x = b.linear("fc" + n, x, in, width, !norm);
    if (norm) x = b.batch_norm("bn" + n, x, width);
    x = b.dropout("dropout" + n, b.activation("act" + n, kind, x), dropout);
    in = width;
  }
  const std::string n = std::to_string(i);
  x = b.linear("fc" + n, x, in, classes, !last_norm);
  return b.finish(last_norm ? b.batch_norm("bn" + n, x, classes) : x);
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(mlp) {
  return {Network{.entry = {"mlp",
                            "perceptron with batch norm; default: BNN's MNIST network (arXiv:1602.02830)",
                            {{"hidden", "4096,4096,4096", "widths", "hidden layers"},
                             {"activation", "hardtanh", "relu, hardtanh", "activation behind each hidden layer"},
                             {"norm", "yes", "yes, no", "batch norm behind each hidden layer; no: a bias"},
                             {"dropout", "0", "0..0.99", "share of hidden values zeroed in training"},
                             {"last_norm", "yes", "yes, no", "batch norm behind the last layer"},
                             {"channels", "1", "1..4096", "input channels"},
                             {"size", "28", "1..4096", "input height and width"},
                             {"classes", "10", "1..", "outputs"}}},
                  .build = mlp}};
}
