// Cross-layer equalisation changes nothing the float network computes; bias correction restores the means.
#include "methods/post_training.h"

#include <gtest/gtest.h>

#include <cmath>

#include "quantize/support.h"

namespace nnq::test {
namespace {

Builder unbalanced() {
  Builder b(3);
  std::string x = b.relu(b.conv("a", b.input("x", {4, 3, 8, 8}), 3, 6, 3, true));
  x = b.max_pool(b.relu(b.conv("b", x, 6, 6, 3, true, 6)));  // depthwise
  x = b.relu(b.conv("c", x, 6, 8, 1));
  x = b.graph.add("GlobalAveragePool", {x}, {}, "gap");
  x = b.graph.add("Flatten", {x}, {}, "flat");
  b.graph.outputs = {b.gemm("fc", x, 8, 4, true)};
  float* w = b.graph.initializers["a.weight"].mutable_as<float>();
  for (int i = 0; i < 27; ++i) w[i] *= 64;  // channel 0 of layer a dwarfs the others
  return b;
}

float largest(const Tensor& t, std::int64_t begin, std::int64_t end) {
  float most = 0;
  for (std::int64_t i = begin; i < end; ++i) most = std::max(most, std::fabs(t.as<float>()[i]));
  return most;
}

TEST(EqualizeLayers, ComputesTheSameToTheBitWithNarrowerRanges) {
  const Builder b = unbalanced();
  const Graph equal = methods::equalize_layers(b.graph);
  EXPECT_EQ(interpret(equal, b.feeds)[0], interpret(b.graph, b.feeds)[0]);
  const auto spread = [](const Graph& graph) {
    const Tensor& w = *graph.initializer("a.weight");
    float low = 1e30F, high = 0;
    for (std::int64_t c = 0; c < 6; ++c) {
      low = std::min(low, largest(w, c * 27, c * 27 + 27));
      high = std::max(high, largest(w, c * 27, c * 27 + 27));
    }
    return high / low;
  };
  EXPECT_GE(spread(b.graph), 32);
  EXPECT_LE(spread(equal), 16);
  EXPECT_EQ(methods::equalize_layers(equal).initializers, equal.initializers) << "it has settled";
}

TEST(EqualizeLayers, LeavesPairsWithAnotherReaderAlone) {
  Builder b = unbalanced();
  b.graph.outputs.push_back("a.relu");
  b.graph.outputs.push_back("b.relu");
  b.graph.outputs.push_back("c.relu");
  EXPECT_EQ(methods::equalize_layers(b.graph).initializers, b.graph.initializers);
}

TEST(CorrectBiases, RestoresTheMeanOutputs) {
  const Builder b = unbalanced();
  const Graph placed = place_quantizers(b.graph, {{{"*", {"uniform", 2, {}}, {}, {}}}, false});
  const methods::RunGraph run = [&](const Graph& graph, const methods::Observe& observe) {
    interpret(simulation(graph), b.feeds, observe);
  };
  const auto means_of = [&](const Graph& graph) {
    std::map<std::string, std::vector<double>> means;
    run(graph, [&](const std::string& name, const Tensor& t) {
      if (t.rank() < 2) return;
      std::vector<double>& m = means[name];
      m.resize(static_cast<std::size_t>(t.shape()[1]), 0);
      const std::int64_t inner = t.count() / t.shape()[0] / t.shape()[1];
      for (std::int64_t i = 0; i < t.count(); ++i)
        m[static_cast<std::size_t>(i / inner % t.shape()[1])] +=
            static_cast<double>(t.as<float>()[i]) / static_cast<double>(t.count() / t.shape()[1]);
    });
    return means;
  };
  auto wanted = means_of(b.graph), before = means_of(placed);
  auto after = means_of(methods::correct_biases(placed, b.graph, run));
  for (const char* layer : {"a", "b", "c", "fc"}) {
    double lost = 0;
    for (std::size_t c = 0; c < wanted[layer].size(); ++c) {
      EXPECT_NEAR(after[layer][c], wanted[layer][c], 1e-4 * (1 + std::fabs(wanted[layer][c]))) << layer << " " << c;
      lost = std::max(lost, std::fabs(before[layer][c] - wanted[layer][c]));
    }
    EXPECT_GT(lost, 0.01) << layer;
  }
}

}  // namespace
}  // namespace nnq::test
