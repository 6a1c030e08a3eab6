// What the executor promises beyond its operators: parameters, determinism, folding, memory, errors.
#include "train/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nnq/error.h"
#include "train/threads.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

using ::testing::HasSubstr;
using Ints = std::vector<std::int64_t>;

/// Conv, BatchNormalization, Relu, residual Add, pool, Dropout, Gemm.
Graph small_network(unsigned seed) {
  std::mt19937 random(seed);
  testing::GraphWriter writer;
  std::string x = writer.input("x", {4, 3, 8, 8});
  writer.graph.inputs[0].type.shape[0] = Dim("N");
  const auto parameter = [&](const std::string& name, const Shape& shape, float low, float high) {
    writer.graph.initializers[name] = testing::random_floats(shape, random, low, high);
    return name;
  };
  const auto norm = [&](const std::string& in, const std::string& stem) {
    return writer.node("BatchNormalization",
                       {in, parameter(stem + ".gamma", {6}, 0.5f, 1), parameter(stem + ".beta", {6}, -1, 1),
                        parameter(stem + ".mean", {6}, 0, 0), parameter(stem + ".var", {6}, 1, 1)});
  };
  x = writer.node("Conv", {x, parameter("conv1.w", {6, 3, 3, 3}, -1, 1), parameter("conv1.b", {6}, -1, 1)},
                  {{"pads", Ints{1, 1, 1, 1}}});
  x = writer.node("Relu", {norm(x, "bn1")});
  const std::string y =
      norm(writer.node("Conv", {x, parameter("conv2.w", {6, 6, 3, 3}, -1, 1)}, {{"pads", Ints{1, 1, 1, 1}}}), "bn2");
  x = writer.node("Relu", {writer.node("Add", {x, y})});
  x = writer.node("Flatten", {writer.node("GlobalAveragePool", {x})});
  x = writer.node("Dropout", {x, writer.constant(Tensor::scalar(0.5f))});
  writer.graph.outputs = {writer.node("Gemm", {x, parameter("fc.w", {5, 6}, -1, 1), parameter("fc.b", {5}, -1, 1)},
                                      {{"transB", std::int64_t{1}}})};
  return std::move(writer.graph);
}

TEST(Executor, ListsWhatTrains) {
  Executor executor(small_network(1), {});
  std::map<std::string, Parameter> by_name;
  for (const Parameter& parameter : executor.parameters()) by_name[parameter.name] = parameter;
  EXPECT_EQ(by_name.size(), 13u);
  EXPECT_TRUE(by_name.at("conv1.w").decay && by_name.at("conv1.w").trainable &&
              by_name.at("conv1.w").tensor->requires_grad());
  EXPECT_TRUE(by_name.at("fc.w").decay);
  for (const char* name : {"conv1.b", "fc.b", "bn1.gamma", "bn2.beta"})
    EXPECT_TRUE(by_name.at(name).trainable && !by_name.at(name).decay) << name;
  for (const char* name : {"bn1.mean", "bn2.var"})
    EXPECT_TRUE(!by_name.at(name).trainable && !by_name.at(name).tensor->requires_grad()) << name;
}

TEST(Executor, SharedWeightIsOneParameter) {
  std::mt19937 random(2);
  testing::GraphWriter writer;
  const std::string x = writer.input("x", {2, 4}), w = writer.constant(testing::random_floats({4, 4}, random));
  writer.graph.outputs = {writer.node("MatMul", {writer.node("MatMul", {x, w}), w})};
  Executor executor(writer.graph, {});
  EXPECT_EQ(executor.parameters().size(), 1u);
}

std::vector<Tensor> train(const Graph& graph, int steps, std::uint64_t seed) {
  Executor executor(graph, {.seed = seed});
  at::manual_seed(1);
  const at::Tensor x = at::randn({16, 3, 8, 8}), target = at::randn({16, 5});
  for (int step = 0; step < steps; ++step) {
    executor.set_step(step);
    at::sum(at::pow(executor.forward({{"x", x}}, true)[0] - target, 2)).backward();
    const at::NoGradGuard no_gradient;
    for (const Parameter& parameter : executor.parameters())
      if (parameter.trainable) {
        parameter.tensor->sub_(parameter.tensor->grad() * 1e-3);
        parameter.tensor->mutable_grad().reset();
      }
  }
  std::vector<Tensor> result;
  for (const auto& [name, value] : executor.graph().initializers) result.push_back(value);
  return result;
}

TEST(Executor, SameSeedSameBits) {
  set_threads(2);
  const Graph graph = small_network(3);
  const std::vector<Tensor> a = train(graph, 5, 1), b = train(graph, 5, 1), other = train(graph, 5, 2);
  EXPECT_TRUE(a == b);
  EXPECT_FALSE(a == other) << "the seed must reach dropout";
}

TEST(Executor, GraphHoldsTrainedValuesAndStatistics) {
  const Graph graph = small_network(4);
  Executor executor(graph, {});
  executor.forward({{"x", at::randn({8, 3, 8, 8})}}, true);
  EXPECT_FALSE(executor.graph().initializers.at("bn1.mean") == graph.initializers.at("bn1.mean"));
  EXPECT_TRUE(executor.graph().initializers.at("conv1.w") == graph.initializers.at("conv1.w"));
  {
    const at::NoGradGuard no_gradient;
    for (const Parameter& parameter : executor.parameters())
      if (parameter.name == "conv1.w") parameter.tensor->add_(1);
  }
  EXPECT_EQ(executor.graph().initializers.at("conv1.w").values<float>()[3],
            graph.initializers.at("conv1.w").values<float>()[3] + 1);
}

/// The short cuts (in-place Relu and Add) against the same pass with an observer, which takes none.
TEST(Executor, ShortCutsChangeNothing) {
  Executor a(small_network(5), {}), b(small_network(5), {});
  const at::Tensor x = at::randn({8, 3, 8, 8});
  std::size_t seen = 0;
  const at::Tensor fast = a.forward({{"x", x}}, true)[0],
                   slow = b.forward({{"x", x}}, true, [&](const std::string&, const at::Tensor&) { ++seen; })[0];
  EXPECT_TRUE(at::equal(fast, slow));
  EXPECT_EQ(seen, 12u);
  fast.sum().backward();
  slow.sum().backward();
  const auto p = a.parameters(), q = b.parameters();
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!p[i].trainable) continue;
    EXPECT_TRUE(at::equal(p[i].tensor->grad(), q[i].tensor->grad())) << p[i].name;
  }
}

TEST(Executor, AgreesWithTheInterpreterOnANetwork) {
  const Graph graph = small_network(6);
  std::mt19937 random(6);
  const Tensor x = testing::random_floats({4, 3, 8, 8}, random);
  const std::vector<float> expected = interpret(graph, {{"x", x}})[0].to_float(),
                           ours = testing::run_torch(graph, {{"x", x}})[0].to_float();
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(expected[i], ours[i], 1e-4);
}

TEST(Executor, FoldsShapeComputations) {
  testing::GraphWriter writer;
  const std::string x = writer.input("x", {2, 3, 4});
  const std::string shape =
      writer.node("Concat", {writer.integers({0}), writer.integers({12})}, {{"axis", std::int64_t{0}}});
  writer.graph.outputs = {writer.node("Reshape", {x, shape})};
  std::vector<std::string> seen;
  Executor executor(writer.graph, {});
  const at::Tensor y = executor.forward({{"x", at::ones({2, 3, 4})}}, false,
                                        [&](const std::string& name, const at::Tensor&) { seen.push_back(name); })[0];
  EXPECT_EQ(y.sizes(), at::IntArrayRef({2, 12}));
  EXPECT_EQ(seen, (std::vector<std::string>{"x", writer.graph.outputs[0]}));
}

TEST(Executor, RunsTheReferenceWhereLibTorchHasNoForm) {
  testing::GraphWriter writer;
  writer.input("x", {1, 2, 5, 5});
  writer.node("MaxPool", {"x"}, {{"kernel_shape", Ints{2, 2}}}, "", 2);
  writer.graph.outputs = writer.graph.nodes[0].outputs;
  std::mt19937 random(8);
  const Tensor x = testing::random_floats({1, 2, 5, 5}, random);
  EXPECT_EQ(testing::run_torch(writer.graph, {{"x", x}}), interpret(writer.graph, {{"x", x}}));
}

TEST(Executor, ErrorsSayWhere) {
  const auto message = [](auto f) -> std::string {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  Executor executor(small_network(7), {});
  EXPECT_THAT(message([&] { executor.forward({}, false); }), HasSubstr("input 'x'"));
  EXPECT_THAT(message([&] { executor.forward({{"z", at::ones({1})}}, false); }), HasSubstr("'z'"));
  EXPECT_THAT(message([&] { executor.forward({{"x", at::ones({1, 3, 8})}}, false); }), HasSubstr("[1, 3, 8]"));
  testing::GraphWriter writer;
  writer.input("x", {});
  writer.graph.inputs[0].type.ranked = false;
  writer.graph.outputs = {writer.node("MatMul", {"x", writer.constant(Tensor(DType::f32, {3, 2}))})};
  Executor product(writer.graph, {});
  EXPECT_THAT(message([&] { product.forward({{"x", at::ones({2, 5})}}, false); }), HasSubstr("MatMul0"));
  writer.node("NoSuchOperator", {"x"});
  EXPECT_THAT(message([&] { Executor(writer.graph, {}); }), HasSubstr("NoSuchOperator"));
}

TEST(Executor, UnknownMethodNamesTheNearest) {
  const auto& methods = all_methods();
  if (methods.empty()) GTEST_SKIP() << "no methods built";
  try {
    find_method(methods[0].info.id + "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.hint(), HasSubstr("'" + methods[0].info.id + "'"));
  }
}

}  // namespace
}  // namespace nnq::train
