// place_quantizers(): which layers, which values, which attributes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "nnq/error.h"
#include "support.h"

namespace nnq::test {
namespace {

using ::testing::HasSubstr;

const Node* find(const Graph& graph, const std::string& name) {
  const auto it = std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) { return n.name == name; });
  return it == graph.nodes.end() ? nullptr : &*it;
}
std::vector<std::string> quantizers(const Graph& graph, const std::string& role) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes)
    if (node.op == "Quantizer" && node.get_string("role", "") == role) names.push_back(node.name);
  std::sort(names.begin(), names.end());
  return names;
}

Builder three_layers() {
  Builder b;
  std::string x = b.relu(b.conv("first_conv", b.input("x", {1, 3, 4, 4}), 3, 4));
  x = b.relu(b.conv("middle", x, 4, 4));
  b.graph.outputs = {b.conv("final", x, 4, 2)};
  return b;
}
const QuantizerSpec four{"uniform", 4, {}};

TEST(Place, RulesInOrderLaterWins) {
  PlacementOptions options{{{"*", four, four, {}}, {"first", {}, {}, {}}, {"fin?l", {"uniform", 2, {}}, {}, {}}},
                           false};
  const Graph placed = place_quantizers(three_layers().graph, options);
  EXPECT_EQ(quantizers(placed, "weight"),
            (std::vector<std::string>{"final.weight_quantizer", "middle.weight_quantizer"}));
  EXPECT_EQ(quantizers(placed, "activation"), (std::vector<std::string>{"first_conv.relu.quantizer"}));
  EXPECT_EQ(find(placed, "final.weight_quantizer")->get_int("bits", 0), 2);
  EXPECT_EQ(find(placed, "middle.weight_quantizer")->get_int("bits", 0), 4);
}

TEST(Place, UnknownLayerNamesTheNearest) {
  try {
    place_quantizers(three_layers().graph, {{{"midle", four, four, {}}}, false});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("midle"));
    EXPECT_THAT(error.hint(), HasSubstr("middle"));
  }
}

TEST(Place, BitsAreChecked) {
  for (const int bits : {0, 9, -1})
    EXPECT_THROW(place_quantizers(three_layers().graph, {{{"*", {"uniform", bits, {}}, {}, {}}}, false}), Error);
}

TEST(Place, ParametersBecomeAttributesAndPlacementParametersDoNot) {
  QuantizerSpec spec{"bnn", 1, {{"clip", 1.5F}, {"shift_batch_norm", std::int64_t{0}}}};
  const Graph placed = place_quantizers(three_layers().graph, {{{"middle", spec, spec, {}}}, false});
  const Node* quantizer = find(placed, "middle.weight_quantizer");
  ASSERT_NE(quantizer, nullptr);
  EXPECT_EQ(quantizer->get_float("clip", 0), 1.5F);
  EXPECT_EQ(quantizer->get_string("method", ""), "bnn");
  EXPECT_FALSE(quantizer->has("shift_batch_norm"));
}

TEST(Place, OneQuantizerForAValueWithSeveralReaders) {
  Builder b;
  const std::string x = b.relu(b.conv("stem", b.input("x", {1, 3, 4, 4}), 3, 4));
  b.graph.outputs = {b.conv("a", x, 4, 2), b.conv("b", x, 4, 2), b.conv("c", x, 4, 2)};
  PlacementOptions options{{{"*", four, four, {}}, {"c", four, {"uniform", 2, {}}, {}}}, false};
  const Graph placed = place_quantizers(b.graph, options);
  EXPECT_EQ(find(placed, "a")->inputs[0], find(placed, "b")->inputs[0]);
  EXPECT_NE(find(placed, "a")->inputs[0], find(placed, "c")->inputs[0]);
  EXPECT_EQ(quantizers(placed, "activation"),
            (std::vector<std::string>{"stem.relu.quantizer", "stem.relu.quantizer_1", "x.quantizer"}));
}

TEST(Place, TwiceIsOnce) {
  const PlacementOptions options{{{"*", four, four, {}}}, false};
  const Graph once = place_quantizers(three_layers().graph, options);
  EXPECT_EQ(to_text(place_quantizers(once, options)), to_text(once));
}

TEST(Place, SignednessFollowsTheGraph) {
  Builder b;
  std::string x = b.conv("stem", b.input("x", {1, 3, 8, 8}), 3, 4);
  const std::string positive = b.max_pool(b.graph.add("Sigmoid", {x}, {}, "sigmoid"));
  const std::string both = b.graph.add("Add", {positive, b.max_pool(x)}, {}, "sum");
  b.graph.outputs = {b.conv("a", positive, 4, 2), b.conv("b", both, 4, 2)};
  const Graph placed = place_quantizers(b.graph, {{{"*", four, four, {}}}, false});
  EXPECT_EQ(find(placed, "sigmoid.pool.quantizer")->get_int("signed", -1), 0);
  EXPECT_EQ(find(placed, "sum.quantizer")->get_int("signed", -1), 1);
  EXPECT_EQ(find(placed, "x.quantizer")->get_int("signed", -1), 1);
}

TEST(Place, PlainPixelsAreTheirOwnCodes) {
  Builder b = three_layers();
  b.graph.metadata["nnq.input.mean"] = "0";
  b.graph.metadata["nnq.input.std"] = "1";
  const Graph placed = place_quantizers(b.graph, {{{"*", {"dorefa", 2, {}}, {"dorefa", 2, {}}, {}}}, false});
  const Node* input = find(placed, "x.quantizer");
  ASSERT_NE(input, nullptr);
  EXPECT_EQ(input->get_string("method", ""), "uniform");
  EXPECT_EQ(input->get_int("bits", 0), 8);
  EXPECT_EQ(input->get_int("signed", -1), 0);
  EXPECT_EQ(input->get_float("scale", 0), 1.0F / 255);
  for (int pixel = 0; pixel < 256; ++pixel)  // as the kernels and the interpreter compute it
    EXPECT_EQ(std::nearbyint((static_cast<float>(pixel) / 255) / (1.0F / 255)), static_cast<float>(pixel));
  b.graph.metadata["nnq.input.std"] = "0.5";
  EXPECT_FALSE(find(place_quantizers(b.graph, {{{"*", four, four, {}}}, false}), "x.quantizer")->has("scale"));
}

TEST(Place, SignReplacesTheActivationBeforeIt) {
  Builder b;
  std::string x = b.relu(b.norm("bn", b.conv("stem", b.input("x", {1, 3, 8, 8}), 3, 4), 4));
  const std::string pooled = b.max_pool(x);
  b.graph.outputs = {b.conv("a", pooled, 4, 2), x};
  const QuantizerSpec one{"bnn", 1, {}};
  const Graph placed = place_quantizers(b.graph, {{{"*", one, one, {}}}, false});
  const Node* sign = find(placed, "bn.relu.pool.quantizer");
  ASSERT_NE(sign, nullptr);
  const auto& pool = placed.nodes[static_cast<std::size_t>(placed.producer(sign->inputs[0]))];
  EXPECT_EQ(pool.op, "MaxPool");
  EXPECT_EQ(placed.nodes[static_cast<std::size_t>(placed.producer(pool.inputs[0]))].op, "BatchNormalization");
  EXPECT_TRUE(placed.is_output(x));  // whoever else reads the Relu still does
}

TEST(Place, GemmWeightsGetTheirOutputsFirst) {
  Builder b;
  b.graph.outputs = {b.gemm("fc", b.input("x", {2, 4}), 4, 3, false)};
  const std::vector<Tensor> expected = interpret(b.graph, b.feeds);
  const Graph placed = place_quantizers(b.graph, {{{"*", four, {}, {}}}, false});
  EXPECT_EQ(placed.initializer("fc.weight")->shape(), (Shape{3, 4}));
  EXPECT_EQ(interpret(placed, b.feeds)[0], expected[0]);  // a Quantizer stands for the identity here
}

TEST(Place, AddsShareOneEncoding) {
  Builder b;
  const std::string x = b.relu(b.conv("stem", b.input("x", {1, 3, 4, 4}), 3, 4));
  b.graph.outputs = {b.graph.add("Add", {b.conv("a", x, 4, 4), x}, {}, "add")};
  const Graph placed = place_quantizers(b.graph, {{{"*", four, four, {}}}, true});
  const Node* first = find(placed, "add.quantizer");
  const Node* second = find(placed, "add.quantizer_1");
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->get_string("shared_with", ""), "add.quantizer");
  EXPECT_EQ(first->get_int("bits", 0), 8);
  EXPECT_EQ(first->get_int("signed", 0), 1);
}

TEST(Place, GraphsWithoutLayersAreRefused) {
  Builder b;
  b.graph.outputs = {b.relu(b.input("x", {1, 4}))};
  EXPECT_THROW(place_quantizers(b.graph, {{{"*", four, {}, {}}}, false}), Error);
}

}  // namespace
}  // namespace nnq::test
