// Every network of the zoo: builds, verifies, infers, runs; refuses what it does not know; a function of its seed.
#include "nnq/zoo.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/random.h"
#include "nnq/error.h"

namespace nnq {
namespace {

using Parameters = std::map<std::string, std::string>;

/// Settings under which a network is small enough for the reference interpreter.
const std::map<std::string, Parameters> tiny = {
    {"attacked_cnn", {{"kernels", "3"}}},
    {"mlp", {{"hidden", "7,5"}, {"size", "6"}}},
    {"lenet5", {{"size", "12"}, {"classes", "3"}}},
    {"vgg_small", {{"width", "0.05"}, {"size", "8"}, {"fc", "9"}}},
    {"resnet8", {{"width", "0.25"}, {"size", "8"}}},
    {"resnet20", {{"width", "0.25"}, {"size", "8"}}},
    {"resnet32", {{"width", "0.25"}, {"size", "8"}}},
    {"resnet44", {{"width", "0.25"}, {"size", "8"}}},
    {"resnet56", {{"width", "0.25"}, {"size", "8"}}},
    {"resnet18", {{"size", "32"}, {"classes", "4"}}},
    {"mobilenet_v1", {{"alpha", "0.05"}, {"size", "32"}, {"classes", "5"}}},
    {"distillation_teacher", {{"size", "8"}}},
    {"distillation_student1", {{"size", "8"}}},
    {"distillation_student2", {{"size", "8"}}},
    {"distillation_student3", {{"size", "8"}}},
    {"distillation_deep", {{"size", "8"}}},
    {"lstm_lm", {{"vocabulary", "11"}, {"hidden", "6"}, {"layers", "2"}}},
    {"gru_lm", {{"vocabulary", "11"}, {"hidden", "6"}, {"layers", "2"}}},
};

Parameters tiny_of(const std::string& name) {
  const auto it = tiny.find(name);
  EXPECT_NE(it, tiny.end()) << "give " << name << " tiny settings in this test";
  return it == tiny.end() ? Parameters() : it->second;
}

/// A batch of two for the graph's only input; free dimensions are 2.
Tensor some_input(const Graph& graph) {
  const GraphInput& input = graph.inputs.at(0);
  Shape shape;
  for (const Dim& dim : input.type.shape) shape.push_back(dim.known() ? dim.value : 2);
  Tensor tensor(input.type.dtype, shape);
  Random random(3);
  if (input.type.dtype == DType::i64) {
    for (std::int64_t& v : tensor.mutable_values<std::int64_t>()) v = static_cast<std::int64_t>(random.below(11));
  } else {
    for (float& v : tensor.mutable_values<float>()) v = random.uniform(-1.0f, 1.0f);
  }
  return tensor;
}

std::string refusal(const std::string& name, const Parameters& parameters) {
  try {
    (void)build_zoo(name, parameters);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}
testing::AssertionResult holds(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not hold '" << part << "'";
}

TEST(Zoo, IsListedSortedWithEveryParameterDescribed) {
  std::vector<std::string> names;
  for (const ZooEntry& entry : all_zoo()) {
    names.push_back(entry.name);
    EXPECT_FALSE(entry.description.empty()) << entry.name;
    for (const ZooParameter& p : entry.parameters)
      EXPECT_TRUE(!p.name.empty() && !p.range.empty() && !p.description.empty()) << entry.name << " " << p.name;
  }
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST(Zoo, EveryNetworkVerifiesInfersAndRuns) {
  for (const ZooEntry& entry : all_zoo()) {
    SCOPED_TRACE(entry.name);
    const Graph graph = build_zoo(entry.name, tiny_of(entry.name));
    EXPECT_NO_THROW(verify(graph));
    EXPECT_EQ(graph.name, entry.name);
    EXPECT_EQ(graph.metadata.at("nnq.model"), entry.name);
    const auto types = infer_types(graph);
    const ValueType& logits = types.at(graph.outputs.at(0));
    ASSERT_TRUE(logits.ranked);
    EXPECT_EQ(std::count(logits.shape.begin(), logits.shape.end(), Dim(std::string("N"))), 1) << logits.to_string();
    for (const Node& node : graph.nodes) {
      for (const std::string& output : node.outputs) EXPECT_TRUE(output.empty() || types.contains(output)) << output;
    }
    const Tensor input = some_input(graph);
    const Tensor out = interpret(graph, {{graph.inputs[0].name, input}})[0];
    const auto known = infer_types(graph, {{graph.inputs[0].name, ValueType::of(input.dtype(), input.shape())}});
    EXPECT_EQ(out.shape(), known.at(graph.outputs[0]).static_shape());
    float largest = 0;
    for (const float v : out.values<float>()) {
      ASSERT_TRUE(std::isfinite(v));
      largest = std::max(largest, std::abs(v));
    }
    EXPECT_GT(largest, 1e-4f) << "the signal dies";
    EXPECT_LT(largest, 1e4f) << "the signal explodes";
  }
}

TEST(Zoo, WeightsAreAFunctionOfTheSeed) {
  for (const ZooEntry& entry : all_zoo()) {
    const Parameters parameters = tiny_of(entry.name);
    const Graph a = build_zoo(entry.name, parameters, 7), b = build_zoo(entry.name, parameters, 7),
                c = build_zoo(entry.name, parameters, 8);
    EXPECT_EQ(a.initializers, b.initializers) << entry.name;
    EXPECT_EQ(to_text(a), to_text(b));
    EXPECT_EQ(to_text(a), to_text(c)) << "the seed changes the weights, not the network";
    EXPECT_NE(a.initializers, c.initializers) << entry.name;
  }
}

// Sub-streams are named by the layer, so no two layers may have the same weights.
TEST(Zoo, NoTwoLayersShareTheirRandomNumbers) {
  const Graph graph = build_zoo("resnet20", tiny_of("resnet20"));
  std::set<float> firsts;
  std::size_t weights = 0;
  for (const auto& [name, tensor] : graph.initializers) {
    if (!name.ends_with(".weight")) continue;
    ++weights;
    firsts.insert(tensor.as<float>()[0] / tensor.as<float>()[1]);
  }
  EXPECT_EQ(weights, 20u);
  EXPECT_EQ(firsts.size(), weights);
}

TEST(Zoo, InitialWeightsHaveTheirDeviation) {
  const Graph graph = build_zoo("vgg_small", {{"width", "0.5"}});
  const auto deviation = [&](const std::string& name) {
    double squares = 0;
    const Tensor& tensor = *graph.initializer(name);
    for (const float v : tensor.values<float>()) squares += static_cast<double>(v) * static_cast<double>(v);
    return std::sqrt(squares / static_cast<double>(tensor.count()));
  };
  EXPECT_NEAR(deviation("conv2.weight"), std::sqrt(2.0 / (9 * 64)), 0.001);          // He, fan out
  EXPECT_NEAR(deviation("fc2.weight"), std::sqrt(6.0 / 2048) / std::sqrt(3), 1e-4);  // Glorot, uniform
  for (const float v : graph.initializer("bn1.gamma")->values<float>()) ASSERT_EQ(v, 1.0f);
  for (const float v : graph.initializer("bn1.mean")->values<float>()) ASSERT_EQ(v, 0.0f);
}

TEST(Zoo, UnknownNamesNameTheNearest) {
  EXPECT_TRUE(holds(refusal("resnet-20", {}), "there is no network 'resnet-20' (did you mean 'resnet20'?)"));
  EXPECT_TRUE(holds(refusal("transformer_xl_large", {}), "known: attacked_cnn, distillation_deep"));
  EXPECT_TRUE(holds(refusal("resnet20", {{"clases", "10"}}),
                    "network resnet20: there is no parameter 'clases' (did you mean 'classes'?)"));
}

TEST(Zoo, ValuesOutOfRangeAreNamed) {
  EXPECT_TRUE(holds(refusal("resnet20", {{"classes", "0"}}), "network resnet20: parameter classes: expected a whole "));
  for (const char* value : {"", "ten", "10x", "1e3", "99999999999999999999", "-1"})
    EXPECT_TRUE(holds(refusal("resnet20", {{"classes", value}}), std::string("got '") + value + "'"));
  EXPECT_TRUE(holds(refusal("mobilenet_v1", {{"alpha", "nan"}}), "expected a number 0.05..4, got 'nan'"));
  EXPECT_TRUE(holds(refusal("resnet20", {{"shortcut", "C"}}), "expected one of A, B, got 'C'"));
  EXPECT_TRUE(holds(refusal("mlp", {{"hidden", "512,,3"}}), "parameter hidden"));
  EXPECT_TRUE(holds(refusal("mlp", {{"hidden", "512,x"}}), "got 'x'"));
}

TEST(Zoo, MorePoolingThanPixelsIsRefused) {
  EXPECT_TRUE(holds(refusal("vgg_small", {{"size", "4"}, {"stages", "3"}, {"width", "0.01"}, {"fc", ""}}), "pool"));
}

TEST(Zoo, OptionsChangeTheNetworkAsTheySay) {
  const Graph bnn = build_zoo("vgg_small", {{"width", "0.05"}, {"size", "8"}, {"fc", ""}, {"head", "average"}});
  const auto ops = [](const Graph& graph) {
    std::string all;
    for (const Node& node : graph.nodes) all += node.op + " ";
    return all;
  };
  const std::string half = "Conv BatchNormalization Clip Conv MaxPool BatchNormalization Clip ";
  EXPECT_EQ(ops(bnn), half + half + half + "GlobalAveragePool Flatten Gemm BatchNormalization ");
  const Graph given = build_zoo("vgg_small", {{"stage_channels", "8,16,24"}, {"depth", "1"}, {"fc", ""}});
  EXPECT_EQ(given.initializers.at("conv3.weight").shape(), (Shape{24, 16, 3, 3}));
  EXPECT_EQ(given.initializers.at("fc1.weight").shape(), (Shape{10, 24 * 4 * 4}));
  const Graph standard = build_zoo("vgg_small", {{"width", "0.05"},
                                                 {"size", "8"},
                                                 {"fc", ""},
                                                 {"stages", "1"},
                                                 {"depth", "1"},
                                                 {"order", "standard"},
                                                 {"activation", "relu"},
                                                 {"last_norm", "no"}});
  EXPECT_EQ(ops(standard), "Conv BatchNormalization Relu MaxPool Flatten Gemm ");
  EXPECT_EQ(ops(build_zoo("mlp", {{"hidden", ""}, {"last_norm", "no"}, {"size", "2"}})), "Flatten Gemm ");
  EXPECT_EQ(build_zoo("resnet20", {{"shortcut", "A"}}).initializers.contains("layer2.0.shortcut.weight"), false);
  EXPECT_EQ(build_zoo("resnet20", {{"shortcut", "B"}}).initializers.contains("layer2.0.shortcut.weight"), true);
}

}  // namespace
}  // namespace nnq
