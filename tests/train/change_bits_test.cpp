#include "train/change_bits.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "nnq/error.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"
#include "train/executor.h"

namespace nnq::train {
namespace {

Graph calibrated(const std::string& method, int bits, const std::map<std::string, Attribute>& parameters = {}) {
  const QuantizerSpec spec{method, bits, parameters}, eight{"uniform", 8, {}};
  Graph graph = place_quantizers(build_zoo("mlp", {{"hidden", "24,16"}, {"size", "4"}, {"classes", "4"}}),
                                 {{{"*", spec, spec, {}}, {"last", eight, eight, {}}}, false});
  Executor executor(std::move(graph), {});
  at::manual_seed(1);
  executor.calibrate({at::randn({32, 1, 4, 4})});
  return executor.graph();
}

std::map<std::string, std::int64_t> bits_of(const Graph& graph) {
  std::map<std::string, std::int64_t> bits;
  for (const Node& node : graph.nodes)
    if (node.is("Quantizer", kNnqDomain))
      bits[node.get_string("method", "") + " " + node.get_string("role", "")] = node.get_int("bits", 0);
  return bits;
}

TEST(ChangeBits, ChangesTheChosenMethodAndKeepsItsIntervals) {
  const Graph five = calibrated("qil", 5);
  const Graph four = change_bits(five, {.method = "qil", .weights = 4, .activations = 3}, 1);
  const std::map<std::string, std::int64_t> bits = bits_of(four);
  EXPECT_EQ(bits.at("qil weight"), 4);
  EXPECT_EQ(bits.at("qil activation"), 3);
  EXPECT_EQ(bits.at("uniform weight"), 8);
  EXPECT_EQ(bits.at("uniform activation"), 8);
  EXPECT_EQ(four.initializers, five.initializers) << "weights and intervals stay";
  Executor executor(four, {});
  EXPECT_NO_THROW(executor.frozen());
}

TEST(ChangeBits, StepsOfUniformKeepTheirRange) {
  const Graph four = calibrated("uniform", 4);
  const Graph two = change_bits(four, {.layers = "fc[12]", .weights = 2, .activations = 2}, 1);
  int compared = 0;
  for (const Node& node : two.nodes) {
    if (!node.is("Quantizer", kNnqDomain) || node.get_int("bits", 0) != 2) continue;
    const Tensor *before = four.initializer(node.name + ".scale"), *after = two.initializer(node.name + ".scale");
    ASSERT_NE(after, nullptr) << node.name;
    const float wider = node.get_int("signed", 1) == 0 ? 15.0F / 3 : 8.0F / 2;
    for (std::int64_t i = 0; i < after->count(); ++i)
      EXPECT_FLOAT_EQ(after->as<float>()[i], before->as<float>()[i] * wider) << node.name;
    ++compared;
  }
  EXPECT_EQ(compared, 3) << "two weights and the value between them";
}

TEST(ChangeBits, ChoosesLayers) {
  const Graph five = calibrated("qil", 5);
  const Graph changed = change_bits(five, {.layers = "first", .weights = 2}, 1);
  int two = 0, others = 0;
  for (const Node& node : changed.nodes) {
    if (!node.is("Quantizer", kNnqDomain)) continue;
    (node.get_int("bits", 0) == 2 ? two : others) += 1;
  }
  EXPECT_EQ(two, 1);
  EXPECT_GE(others, 4);
}

TEST(ChangeBits, SaysWhatDoesNotFit) {
  const Graph five = calibrated("qil", 5);
  EXPECT_THROW(change_bits(five, {}, 1), Error);
  EXPECT_THROW(change_bits(five, {.method = "dorefa", .weights = 2}, 1), Error);
  EXPECT_THROW(change_bits(five, {.layers = "nothing.*", .weights = 2}, 1), Error);
  EXPECT_THROW(change_bits(five, {.method = "qil", .weights = 1}, 1), Error) << "QIL's weights take 2 bits or more";
  EXPECT_THROW(change_bits(build_zoo("mlp"), {.weights = 2}, 1), Error);
  EXPECT_THROW(change_bits(calibrated("uniform", 4), {.weights = 4, .activations = 1}, 1), Error);
}

}  // namespace
}  // namespace nnq::train
