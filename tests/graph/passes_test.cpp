#include "nnq/passes.h"

#include "support.h"

namespace nnq {
namespace {

using test::add_batch_norm;
using test::count_of;
using test::expect_same_outputs;
using test::free_dim;
using test::graph_of;
using test::Ints;
using test::random_tensor;

/// y = Relu(x + (1 + 2)), with a dead branch beside it.
Graph with_constants() {
  Graph graph = graph_of({free_dim("N"), 3});
  graph.initializers["one"] = Tensor::of<float>({3}, {1, 1, 1});
  graph.initializers["two"] = Tensor::of<float>({3}, {2, -2, 0});
  graph.initializers["unread"] = Tensor::scalar(1.0f);
  graph.add("Add", {"one", "two"}, {}, "three");
  graph.add("Neg", {"x"}, {}, "dead");
  graph.add("Exp", {"dead"}, {}, "dead_too");
  graph.add("Add", {"x", "three"}, {}, "sum");
  graph.add("Relu", {"sum"}, {}, "y");
  graph.outputs = {"y"};
  return graph;
}

TEST(FoldConstants, EvaluatesWhatOnlyReadsInitializers) {
  const Graph before = with_constants(), after = fold_constants(before);
  EXPECT_EQ(after.nodes.size(), before.nodes.size() - 1);
  ASSERT_NE(after.initializer("three"), nullptr);
  EXPECT_EQ(after.initializer("three")->to_float(), (std::vector<float>{3, -1, 1}));
  EXPECT_NO_THROW(verify(after));
  expect_same_outputs(before, after, {4, 3});
}

TEST(FoldConstants, ChainsFoldWholeAndLargeResultsStay) {
  Graph graph = graph_of({2, 2});
  graph.initializers["shape"] = test::ints({100, 100});
  graph.initializers["zero"] = Tensor::scalar(0.5f);
  graph.add("Expand", {"zero", "shape"}, {}, "large");
  graph.add("ReduceMax", {"large"}, {{"keepdims", std::int64_t{0}}}, "most");
  graph.add("Add", {"x", "most"}, {}, "y");
  graph.outputs = {"y"};
  EXPECT_EQ(fold_constants(graph).nodes.size(), 1u);
  EXPECT_EQ(fold_constants(graph, 100 * 100 * 4 - 1).nodes.size(), 3u);
  expect_same_outputs(graph, fold_constants(graph), {2, 2});
}

TEST(FoldConstants, AConstantOutputKeepsItsName) {
  Graph graph = graph_of({1});
  graph.initializers["a"] = Tensor::of<float>({1}, {3});
  graph.add("Neg", {"a"}, {}, "y");
  graph.add("Relu", {"x"}, {}, "z");
  graph.outputs = {"y", "z"};
  const Graph after = simplify(graph);
  EXPECT_EQ(after.nodes.size(), 1u);
  EXPECT_NO_THROW(verify(after));
  expect_same_outputs(graph, after, {1});
}

TEST(RemoveDeadNodes, KeepsWhatTheOutputsNeed) {
  const Graph before = with_constants(), after = remove_dead_nodes(before);
  EXPECT_EQ(after.nodes.size(), 3u);
  EXPECT_EQ(count_of(after, "Exp") + count_of(after, "Neg"), 0u);
  EXPECT_EQ(after.initializer("unread"), nullptr);
  EXPECT_NE(after.initializer("two"), nullptr);
  EXPECT_EQ(after.inputs.size(), 1u) << "inputs are the network's face and stay";
  EXPECT_NO_THROW(verify(after));
  expect_same_outputs(before, after, {4, 3});
}

TEST(RemoveNoOps, RemovesIdentityDropoutAndCastToTheSame) {
  Graph graph = graph_of({free_dim("N"), 4});
  graph.initializers["ratio"] = Tensor::scalar(0.5f);
  std::string x = graph.add("Identity", {"x"}, {}, "a");
  x = graph.add("Dropout", {x, "ratio"}, {}, "b");
  x = graph.add("Cast", {x}, {{"to", std::int64_t{1}}}, "c");
  x = graph.add("Relu", {x}, {}, "d");
  x = graph.add("Cast", {x}, {{"to", std::int64_t{7}}}, "integers");
  x = graph.add("Cast", {x}, {{"to", std::int64_t{1}}}, "floats");
  graph.add("Identity", {x}, {}, "y");
  graph.outputs = {"y"};
  const Graph after = remove_no_ops(graph);
  EXPECT_EQ(after.nodes.size(), 4u) << "Relu, the two casts that change the type, and the output's Identity";
  EXPECT_EQ(after.nodes[0].inputs[0], "x");
  EXPECT_NO_THROW(verify(after));
  expect_same_outputs(graph, after, {3, 4});
}

TEST(RemoveNoOps, KeepsADropoutWhoseMaskIsRead) {
  Graph graph = graph_of({4});
  graph.add(
      Node{.name = "d", .op = "Dropout", .domain = "", .inputs = {"x"}, .outputs = {"y", "mask"}, .attributes = {}});
  graph.add("Relu", {"y"}, {}, "z");
  graph.outputs = {"z", "mask"};
  const Graph after = remove_no_ops(graph);
  EXPECT_EQ(after.nodes.size(), 2u);
  expect_same_outputs(graph, after, {4});
}

/// Conv with or without bias, its norm, and Relu.
Graph conv_norm(bool bias, std::map<std::string, Attribute> norm_attributes = {}) {
  Graph graph = graph_of({free_dim("N"), 4, 6, 6});
  std::vector<std::string> inputs = {"x", graph.add_initializer("w", random_tensor({6, 2, 3, 3}, 1))};
  if (bias) inputs.push_back(graph.add_initializer("bias", random_tensor({6}, 2)));
  const std::string conv = graph.add("Conv", inputs, {{"group", std::int64_t{2}}}, "conv");
  graph.add("Relu", {add_batch_norm(graph, conv, 6, "norm", std::move(norm_attributes))}, {}, "y");
  graph.outputs = {"y"};
  return graph;
}

TEST(FoldBatchNorm, IntoConvolutionsWithAndWithoutBias) {
  for (const bool bias : {false, true}) {
    const Graph before = conv_norm(bias, {{"epsilon", 0.01f}}), after = fold_batch_norm(before);
    EXPECT_EQ(after.nodes.size(), 2u);
    EXPECT_EQ(count_of(after, "BatchNormalization"), 0u);
    EXPECT_EQ(after.initializers.size(), 2u) << "the old weights and statistics are gone";
    EXPECT_NO_THROW(verify(after));
    expect_same_outputs(before, after, {2, 4, 6, 6}, 1e-5);
  }
}

TEST(FoldBatchNorm, IntoGemmOfEitherOrientationAndConvTranspose) {
  for (const std::int64_t transposed : {0, 1}) {
    Graph graph = graph_of({free_dim("N"), 5});
    graph.initializers["w"] = random_tensor(transposed == 1 ? Shape{3, 5} : Shape{5, 3}, 1);
    graph.initializers["c"] = random_tensor({1, 3}, 2);
    const std::string fc = graph.add("Gemm", {"x", "w", "c"}, {{"transB", transposed}}, "fc");
    graph.outputs = {add_batch_norm(graph, fc, 3, "norm")};
    const Graph after = fold_batch_norm(graph);
    EXPECT_EQ(after.nodes.size(), 1u);
    expect_same_outputs(graph, after, {4, 5}, 1e-5);
  }
  Graph graph = graph_of({1, 4, 3, 3});
  graph.initializers["w"] = random_tensor({4, 2, 2, 2}, 1);
  const std::string up = graph.add("ConvTranspose", {"x", "w"}, {{"strides", Ints{2, 2}}}, "up");
  graph.outputs = {add_batch_norm(graph, up, 2, "norm")};
  EXPECT_EQ(fold_batch_norm(graph).nodes.size(), 1u);
  expect_same_outputs(graph, fold_batch_norm(graph), {1, 4, 3, 3}, 1e-5);
}

TEST(FoldBatchNorm, SharedWeightsAreScaledForEachReader) {
  Graph graph = graph_of({1, 2, 4, 4});
  graph.initializers["w"] = random_tensor({2, 2, 1, 1}, 1);
  const std::string a = add_batch_norm(graph, graph.add("Conv", {"x", "w"}, {}, "c1"), 2, "n1");
  const std::string b = graph.add("Conv", {a, "w"}, {}, "c2");
  graph.add("Relu", {b}, {}, "y");
  graph.outputs = {"y"};
  const Graph after = fold_batch_norm(graph);
  EXPECT_EQ(after.nodes.size(), 3u);
  EXPECT_NE(after.initializer("w"), nullptr) << "the second convolution still reads it";
  expect_same_outputs(graph, after, {1, 2, 4, 4}, 1e-5);
}

TEST(FoldBatchNorm, LeavesWhatItMustNotFold) {
  {
    Graph graph = conv_norm(false);  // the convolution's own output is wanted
    graph.outputs.push_back("conv");
    EXPECT_EQ(fold_batch_norm(graph).nodes.size(), 3u);
    expect_same_outputs(graph, fold_batch_norm(graph), {2, 4, 6, 6});
  }
  {
    Graph graph = conv_norm(false);  // another node reads it
    graph.outputs.push_back(graph.add("Neg", {"conv"}, {}, "other"));
    EXPECT_EQ(fold_batch_norm(graph).nodes.size(), 4u);
  }
  {
    const Graph graph = conv_norm(true, {{"training_mode", std::int64_t{1}}});  // statistics of the batch
    EXPECT_EQ(fold_batch_norm(graph).nodes.size(), 3u);
    expect_same_outputs(graph, fold_batch_norm(graph), {2, 4, 6, 6});
  }
  {
    Graph graph = graph_of({3, 5});  // a bias a row, not a channel
    graph.initializers["w"] = random_tensor({5, 3}, 1);
    graph.initializers["c"] = random_tensor({3, 1}, 2);
    const std::string fc = graph.add("Gemm", {"x", "w", "c"}, {}, "fc");
    graph.outputs = {add_batch_norm(graph, fc, 3, "norm")};
    expect_same_outputs(graph, fold_batch_norm(graph), {3, 5}, 1e-5);
  }
  {
    Graph graph = graph_of({4, 5});  // Gemm that scales
    graph.initializers["w"] = random_tensor({5, 3}, 1);
    const std::string fc = graph.add("Gemm", {"x", "w"}, {{"alpha", 2.0f}}, "fc");
    graph.outputs = {add_batch_norm(graph, fc, 3, "norm")};
    EXPECT_EQ(fold_batch_norm(graph).nodes.size(), 2u);
  }
}

Graph pad_conv(const Ints& pads, const std::string& mode, float value, Ints own = {}) {
  Graph graph = graph_of({free_dim("N"), 2, 5, 6});
  graph.initializers["pads"] = test::ints(pads);
  graph.initializers["value"] = Tensor::scalar(value);
  graph.initializers["w"] = random_tensor({3, 2, 3, 3}, 1);
  std::vector<std::string> inputs = {"x", "pads"};
  if (mode == "constant") inputs.push_back("value");
  graph.add("Pad", inputs, {{"mode", mode}}, "pad");
  std::map<std::string, Attribute> attributes;
  if (!own.empty()) attributes["pads"] = own;
  graph.add("Conv", {"pad", "w"}, attributes, "y");
  graph.outputs = {"y"};
  return graph;
}

TEST(FuseConvPad, TheConvolutionTakesThePadding) {
  for (const Ints& own : {Ints{}, Ints{1, 0, 2, 1}}) {
    const Graph before = pad_conv({0, 0, 1, 2, 0, 0, 3, 0}, "constant", 0, own), after = fuse_conv_pad(before);
    ASSERT_EQ(after.nodes.size(), 1u);
    EXPECT_EQ(after.nodes[0].get_ints("pads"), own.empty() ? (Ints{1, 2, 3, 0}) : (Ints{2, 2, 5, 1}));
    EXPECT_EQ(after.initializers.size(), 1u);
    EXPECT_NO_THROW(verify(after));
    expect_same_outputs(before, after, {2, 2, 5, 6});
  }
}

TEST(FuseConvPad, LeavesOtherPads) {
  const Ints sides = {0, 0, 1, 1, 0, 0, 1, 1};
  for (const Graph& graph : {pad_conv(sides, "constant", 0.5f), pad_conv(sides, "reflect", 0),
                             pad_conv(sides, "edge", 0), pad_conv({0, 0, -1, 0, 0, 0, 1, 1}, "constant", 0)}) {
    const Graph after = fuse_conv_pad(graph);
    EXPECT_EQ(after.nodes.size(), 2u);
    expect_same_outputs(graph, after, {1, 2, 5, 6});
  }
  Graph channels = pad_conv({0, 1, 0, 0, 0, 0, 0, 0}, "constant", 0);  // pads a channel
  channels.initializers["w"] = random_tensor({3, 3, 3, 3}, 1);
  EXPECT_EQ(fuse_conv_pad(channels).nodes.size(), 2u);
  Graph shared = pad_conv(sides, "constant", 0);  // the padded value is wanted too
  shared.outputs.push_back("pad");
  EXPECT_EQ(fuse_conv_pad(shared).nodes.size(), 2u);
  expect_same_outputs(shared, fuse_conv_pad(shared), {1, 2, 5, 6});
}

Graph matmul_add(const Shape& bias, bool swapped, std::vector<Dim> dims = {free_dim("N"), 4}) {
  Graph graph = graph_of(dims);
  graph.initializers["w"] = random_tensor({4, 3}, 1);
  graph.initializers["b"] = random_tensor(bias, 2);
  graph.add("MatMul", {"x", "w"}, {}, "product");
  graph.add("Add", swapped ? std::vector<std::string>{"b", "product"} : std::vector<std::string>{"product", "b"}, {},
            "y");
  graph.outputs = {"y"};
  return graph;
}

TEST(FuseMatMulAdd, BecomesGemm) {
  for (const bool swapped : {false, true}) {
    for (const Shape& bias : {Shape{3}, Shape{1, 3}}) {
      const Graph before = matmul_add(bias, swapped), after = fuse_matmul_add(before);
      ASSERT_EQ(after.nodes.size(), 1u);
      EXPECT_EQ(after.nodes[0].op, "Gemm");
      EXPECT_EQ(after.nodes[0].outputs[0], "y");
      EXPECT_NO_THROW(verify(after));
      expect_same_outputs(before, after, {5, 4}, 1e-6);
    }
  }
}

TEST(FuseMatMulAdd, LeavesOtherRanksBiasesAndReaders) {
  const Graph batched = matmul_add({3}, false, {2, 5, 4});
  EXPECT_EQ(fuse_matmul_add(batched).nodes.size(), 2u);
  EXPECT_EQ(fuse_matmul_add(matmul_add({1}, false)).nodes.size(), 2u);
  EXPECT_EQ(fuse_matmul_add(matmul_add({3, 1}, false, {3, 4})).nodes.size(), 2u);
  EXPECT_EQ(fuse_matmul_add(matmul_add({1, 1, 3}, false)).nodes.size(), 2u) << "Add would raise the rank";
  Graph shared = matmul_add({3}, false);
  shared.outputs.push_back("product");
  EXPECT_EQ(fuse_matmul_add(shared).nodes.size(), 2u);
}

TEST(Simplify, DoesAllOfItAndKeepsTheOutputs) {
  Graph graph = pad_conv({0, 0, 1, 1, 0, 0, 1, 1}, "constant", 0);
  graph.initializers["half"] = Tensor::scalar(0.25f);
  graph.add("Add", {"half", "half"}, {}, "shift");
  graph.add("Identity", {"y"}, {}, "same");
  graph.add("Add", {"same", "shift"}, {}, "out");
  graph.add("Exp", {"same"}, {}, "dead");
  graph.outputs = {"out"};
  const Graph after = simplify(graph);
  EXPECT_EQ(after.nodes.size(), 2u);
  EXPECT_EQ(after.initializers.size(), 2u);
  EXPECT_NO_THROW(verify(after));
  expect_same_outputs(graph, after, {2, 2, 5, 6});
  EXPECT_EQ(to_text(simplify(after)), to_text(after)) << "a second time changes nothing";
}

}  // namespace
}  // namespace nnq
