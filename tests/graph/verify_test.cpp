#include "support.h"

namespace nnq {
namespace {

using test::free_dim;
using test::graph_of;
using test::holds;
using test::random_tensor;
using test::refusal;

Graph good() {
  Graph graph = graph_of({free_dim("N"), 3, 8, 8});
  graph.initializers["w"] = random_tensor({4, 3, 3, 3}, 1);
  graph.add("Conv", {"x", "w"}, {}, "conv");
  graph.add("Relu", {"conv"}, {}, "relu");
  graph.outputs = {"relu"};
  return graph;
}

struct Fault {
  const char* name;
  void (*make)(Graph&);
  const char* message;
};

TEST(Verify, EveryInvariantBrokenOnceIsNamed) {
  EXPECT_NO_THROW(verify(good()));
  const Fault faults[] = {
      {"input without name",
       [](Graph& g) {
         g.inputs.push_back({"", {}});
       },
       "a graph input has no name"},
      {"two inputs", [](Graph& g) { g.inputs.push_back(g.inputs[0]); }, "input 'x': two inputs have this name"},
      {"undefined initializer", [](Graph& g) { g.initializers["w"] = Tensor(); }, "initializer 'w': the initializer"},
      {"input and initializer", [](Graph& g) { g.initializers["x"] = Tensor::scalar(1.0f); },
       "value 'x': is both an input and an initializer"},
      {"node without name", [](Graph& g) { g.nodes[1].name.clear(); }, "node '' (Relu): a node has no name"},
      {"two nodes", [](Graph& g) { g.nodes[1].name = "conv"; }, "node 'conv' (Relu): two nodes have this name"},
      {"missing value", [](Graph& g) { g.nodes[1].inputs[0] = "y"; },
       "node 'relu' (Relu): reads 'y', which nothing makes"},
      {"unsorted", [](Graph& g) { std::swap(g.nodes[0], g.nodes[1]); }, "reads 'conv' before it is made"},
      {"cycle", [](Graph& g) { g.nodes[0].inputs[0] = "relu"; }, "node 'conv' (Conv): reads 'relu' before it is made"},
      {"two producers", [](Graph& g) { g.nodes[1].outputs[0] = "conv"; }, "makes 'conv', which exists already"},
      {"output over input", [](Graph& g) { g.nodes[1].outputs[0] = "x"; }, "makes 'x', which exists already"},
      {"missing output", [](Graph& g) { g.outputs = {"z"}; }, "output 'z': nothing makes this graph output"},
      {"unknown operator", [](Graph& g) { g.nodes[1].op = "Rleu"; }, "operator Rleu is not supported"},
      {"unknown domain", [](Graph& g) { g.nodes[1].domain = "com.acme"; }, "operator com.acme::Relu is not supported"},
      {"contradiction",
       [](Graph& g) {
         g.initializers["w"] = random_tensor({4, 5, 3, 3}, 1);
       },
       "node 'conv' (Conv)"},
  };
  for (const Fault& fault : faults) {
    Graph graph = good();
    fault.make(graph);
    EXPECT_TRUE(holds(refusal([&] { verify(graph); }), fault.message)) << fault.name;
  }
}

TEST(Verify, LeftOutInputsAndOutputsAreNoValues) {
  Graph graph = good();
  graph.add("Clip", {"relu", "", ""}, {}, "clip");
  graph.nodes.back().outputs = {"clip"};
  Node dropout{.name = "d", .op = "Dropout", .domain = "", .inputs = {"clip"}, .outputs = {"y", ""}, .attributes = {}};
  graph.add(dropout);
  graph.outputs = {"y", "x", "w"};
  EXPECT_NO_THROW(verify(graph));
}

TEST(InferTypes, KeepsTheSymbolicBatch) {
  Graph graph = good();
  graph.add("MaxPool", {"relu"}, {{"kernel_shape", test::Ints{2, 2}}, {"strides", test::Ints{2, 2}}}, "pool");
  graph.add("Flatten", {"pool"}, {}, "flat");
  graph.initializers["fc"] = random_tensor({36, 10}, 2);
  graph.add("Gemm", {"flat", "fc"}, {}, "logits");
  graph.outputs = {"logits"};
  const auto types = infer_types(graph);
  EXPECT_EQ(types.at("conv").to_string(), "float32[N, 4, 6, 6]");
  EXPECT_EQ(types.at("pool").to_string(), "float32[N, 4, 3, 3]");
  EXPECT_EQ(types.at("flat").to_string(), "float32[N, 36]");
  EXPECT_EQ(types.at("logits").to_string(), "float32[N, 10]");
  EXPECT_EQ(types.at("fc").to_string(), "float32[36, 10]");
  const auto batch = infer_types(graph, {{"x", ValueType::of(DType::f32, {7, 3, 8, 8})}});
  EXPECT_EQ(batch.at("logits").static_shape(), (Shape{7, 10}));
  EXPECT_TRUE(batch.at("logits").fully_known());
}

TEST(InferTypes, FreeHeightAndWidthStayFreeUntilPooledAway) {
  Graph graph = graph_of({free_dim("N"), 3, free_dim("H"), free_dim("W")});
  graph.initializers["w"] = random_tensor({4, 3, 3, 3}, 1);
  graph.add("Conv", {"x", "w"}, {{"pads", test::Ints{1, 1, 1, 1}}, {"strides", test::Ints{2, 2}}}, "conv");
  graph.add("Relu", {"conv"}, {}, "relu");
  graph.add("GlobalAveragePool", {"relu"}, {}, "gap");
  graph.add("Flatten", {"gap"}, {}, "flat");
  graph.outputs = {"flat"};
  EXPECT_NO_THROW(verify(graph));
  const auto types = infer_types(graph);
  const ValueType& conv = types.at("conv");
  ASSERT_EQ(conv.shape.size(), 4u);
  EXPECT_EQ(conv.shape[0], free_dim("N"));
  EXPECT_EQ(conv.shape[1], Dim(4));
  EXPECT_FALSE(conv.shape[2].known());
  EXPECT_FALSE(conv.shape[3].known());
  EXPECT_EQ(types.at("gap").to_string(), "float32[N, 4, 1, 1]");
  EXPECT_EQ(types.at("flat").to_string(), "float32[N, 4]");
  const auto sized = infer_types(graph, {{"x", ValueType::of(DType::f32, {1, 3, 9, 16})}});
  EXPECT_EQ(sized.at("conv").static_shape(), (Shape{1, 4, 5, 8}));
  for (const Shape& shape : {Shape{1, 3, 9, 16}, Shape{2, 3, 4, 4}})
    EXPECT_EQ(interpret(graph, {{"x", random_tensor(shape, 1)}})[0].shape(), (Shape{shape[0], 4}));
}

TEST(InferTypes, FollowsShapeArithmetic) {
  Graph graph = graph_of({2, 3, 4});
  graph.initializers["first"] = test::ints({0});
  graph.initializers["rest"] = test::ints({-1});
  graph.add("Shape", {"x"}, {}, "shape");
  graph.add("Gather", {"shape", "first"}, {}, "batch");
  graph.add("Concat", {"batch", "rest"}, {{"axis", std::int64_t{0}}}, "target");
  graph.add("Reshape", {"x", "target"}, {}, "y");
  graph.add("Shape", {"x"}, {{"start", std::int64_t{-2}}, {"end", std::int64_t{100}}}, "tail");
  graph.add("Expand", {"x", "tail"}, {}, "z");
  graph.outputs = {"y", "z"};
  EXPECT_EQ(infer_types(graph).at("y").to_string(), "float32[2, 12]");
  EXPECT_EQ(infer_types(graph).at("z").to_string(), "float32[2, 3, 4]");
}

TEST(InferTypes, AnUnknownInputLeavesItsReadersUnknown) {
  Graph graph = graph_of({2});
  graph.add("Relu", {"nobody"}, {}, "y");
  EXPECT_FALSE(infer_types(graph).contains("y"));
}

}  // namespace
}  // namespace nnq
