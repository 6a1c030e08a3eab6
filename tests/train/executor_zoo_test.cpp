// Every network of the zoo, made small, runs, agrees with the interpreter and trains.
#include <gtest/gtest.h>

#include <cmath>

#include "nnq/zoo.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

/// Small values for whichever of these parameters a network has.
Graph small(const ZooEntry& entry) {
  const std::map<std::string, std::string> wanted{{"hidden", entry.name == "mlp" ? "32,32" : "16"},
                                                  {"width", "0.1"},
                                                  {"fc", "16"},
                                                  {"alpha", "0.1"},
                                                  {"size", entry.name == "lenet5" || entry.name == "mlp" ? "14" : "32"},
                                                  {"vocabulary", "30"}};
  std::map<std::string, std::string> parameters;
  for (const ZooParameter& parameter : entry.parameters)
    if (const auto it = wanted.find(parameter.name); it != wanted.end()) parameters.insert(*it);
  return build_zoo(entry.name, parameters);
}

Tensor input_for(const GraphInput& input, std::mt19937& random) {
  Shape shape;
  for (const Dim& dim : input.type.shape) shape.push_back(dim.known() ? dim.value : 3);
  return input.type.dtype == DType::i64 ? testing::random_integers(shape, random, 0, 29).cast(DType::i64)
                                        : testing::random_floats(shape, random);
}

class Zoo : public ::testing::TestWithParam<ZooEntry> {};

TEST_P(Zoo, AgreesWithTheInterpreterAndTrains) {
  const Graph graph = small(GetParam());
  std::mt19937 random(1);
  const Tensor x = input_for(graph.inputs[0], random);
  const std::vector<float> expected = interpret(graph, {{graph.inputs[0].name, x}})[0].to_float();
  const std::vector<float> ours = testing::run_torch(graph, {{graph.inputs[0].name, x}})[0].to_float();
  ASSERT_EQ(expected.size(), ours.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(expected[i], ours[i], 1e-3 * (1 + std::abs(expected[i])));
  Executor executor(graph, {});
  std::int64_t count = 0;
  at::pow(executor.forward({{graph.inputs[0].name, to_torch(x)}}, true)[0], 2).sum().backward();
  for (const Parameter& parameter : executor.parameters()) {
    if (!parameter.trainable) continue;
    count += parameter.tensor->numel();
    ASSERT_TRUE(parameter.tensor->grad().defined()) << parameter.name;
    EXPECT_TRUE(at::isfinite(parameter.tensor->grad()).all().item<bool>()) << parameter.name;
  }
  EXPECT_EQ(count, trainable_parameters(graph));
}

INSTANTIATE_TEST_SUITE_P(All, Zoo, ::testing::ValuesIn(all_zoo()),
                         [](const ::testing::TestParamInfo<ZooEntry>& entry) { return entry.param.name; });

}  // namespace
}  // namespace nnq::train
