#include "support.h"

namespace nnq {
namespace {

using test::free_dim;
using test::graph_of;
using test::holds;
using test::random_tensor;
using test::refusal;

std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> all;
  for (const Node& node : graph.nodes) all.push_back(node.name);
  return all;
}

TEST(Graph, FreshNamesAreOfNobody) {
  Graph graph = graph_of({2});
  EXPECT_EQ(graph.fresh("y"), "y");
  EXPECT_EQ(graph.fresh(""), "value");
  EXPECT_EQ(graph.fresh("x"), "x_1") << "an input";
  graph.add_initializer("x_1", Tensor::scalar(1.0f));
  EXPECT_EQ(graph.fresh("x"), "x_2") << "an initializer";
  graph.add(Node{.name = "node", .op = "Relu", .domain = "", .inputs = {"x"}, .outputs = {"x_2"}, .attributes = {}});
  EXPECT_EQ(graph.fresh("x"), "x_3") << "a node's output";
  EXPECT_EQ(graph.fresh("node"), "node_1") << "a node";
}

TEST(Graph, AddNamesNodesAndOutputs) {
  Graph graph = graph_of({2});
  EXPECT_EQ(graph.add("Relu", {"x"}, {}, "act"), "act");
  EXPECT_EQ(graph.add("Relu", {"act"}, {}, "act"), "act_1");
  EXPECT_EQ(graph.add("Neg", {"act_1"}), "Neg");
  EXPECT_EQ(names(graph), (std::vector<std::string>{"act", "act_1", "Neg"}));
  EXPECT_EQ(graph.add_initializer("act", Tensor::scalar(1.0f)), "act_2");
  EXPECT_EQ(graph.add_initializer("act", Tensor::scalar(2.0f)), "act_3");
  graph.outputs = {"Neg"};
  EXPECT_NO_THROW(verify(graph));
}

TEST(Graph, KnowsProducersAndConsumers) {
  Graph graph = graph_of({4});
  const std::string one = graph.add_initializer("one", Tensor::scalar(1.0f));
  graph.add("Relu", {"x"}, {}, "a");
  graph.add("Add", {"a", "a"}, {}, "b");
  graph.add("Add", {"a", one}, {}, "c");
  graph.outputs = {"b", "c"};
  EXPECT_EQ(graph.producer("a"), 0);
  EXPECT_EQ(graph.producer("c"), 2);
  EXPECT_EQ(graph.producer("x"), -1);
  EXPECT_EQ(graph.producer(one), -1);
  EXPECT_EQ(graph.producer(""), -1);
  EXPECT_EQ(graph.consumers("a"), (std::vector<std::size_t>{1, 2}));
  EXPECT_TRUE(graph.consumers("c").empty());
  EXPECT_NE(graph.initializer(one), nullptr);
  EXPECT_EQ(graph.initializer("a"), nullptr);
  EXPECT_TRUE(graph.is_output("b"));
  EXPECT_FALSE(graph.is_output("a"));
  const GraphIndex index(graph);
  EXPECT_EQ(index.producer.at("c"), 2);
  EXPECT_FALSE(index.producer.contains("x"));
  EXPECT_EQ(index.consumers.at("a"), (std::vector<std::size_t>{1, 2})) << "a node that reads twice counts once";
}

TEST(Graph, ReplaceUsesChangesReadersAndOutputs) {
  Graph graph = graph_of({4});
  graph.add("Relu", {"x"}, {}, "a");
  graph.add("Add", {"a", "a"}, {}, "b");
  graph.outputs = {"a", "b"};
  graph.replace_uses("a", "x");
  EXPECT_EQ(graph.nodes[1].inputs, (std::vector<std::string>{"x", "x"}));
  EXPECT_EQ(graph.outputs, (std::vector<std::string>{"x", "b"}));
  EXPECT_EQ(graph.nodes[0].outputs[0], "a") << "the producer keeps its name";
}

TEST(Graph, SortRestoresTopologicalOrder) {
  Graph graph = graph_of({4});
  graph.add("Relu", {"x"}, {}, "a");
  graph.add("Neg", {"x"}, {}, "b");
  graph.add("Add", {"a", "b"}, {}, "c");
  graph.add("Add", {"c", "a"}, {}, "d");
  graph.outputs = {"d"};
  const std::vector<std::string> order = names(graph);
  graph.sort();
  EXPECT_EQ(names(graph), order) << "a sorted graph stays as it is";
  std::reverse(graph.nodes.begin(), graph.nodes.end());
  EXPECT_TRUE(holds(refusal([&] { verify(graph); }), "before it is made"));
  graph.sort();
  EXPECT_NO_THROW(verify(graph));
  EXPECT_EQ(names(graph)[3], "d");
}

TEST(Graph, ACycleNamesANodeOfIt) {
  Graph graph = graph_of({4});
  graph.add("Relu", {"x"}, {}, "before");
  graph.add("Add", {"before", "last"}, {}, "first");
  graph.add("Relu", {"first"}, {}, "last");
  graph.outputs = {"last"};
  const std::string said = refusal([&] { graph.sort(); });
  EXPECT_TRUE(holds(said, "node 'first': is part of a cycle"));
  EXPECT_EQ(graph.nodes.size(), 3u) << "the graph is as it was";
}

// What hangs behind a cycle cannot be placed either, but it is not part of it.
TEST(Graph, ANodeBehindACycleIsNotBlamed) {
  Graph graph = graph_of({4});
  graph.add("Relu", {"loop2"}, {}, "behind");
  graph.add("Relu", {"loop2"}, {}, "loop1");
  graph.add("Relu", {"loop1"}, {}, "loop2");
  EXPECT_TRUE(holds(refusal([&] { graph.sort(); }), "node 'loop"));
  Graph alone = graph_of({4});
  alone.add("Add", {"self", "x"}, {}, "self");
  EXPECT_TRUE(holds(refusal([&] { alone.sort(); }), "node 'self': is part of a cycle"));
}

TEST(Graph, TextIsOneLineAValue) {
  Graph graph = graph_of({free_dim("N"), 3, 8, 8});
  graph.name = "small";
  graph.initializers["w"] = Tensor(DType::f32, {4, 3, 3, 3});
  graph.add("Conv", {"x", "w"}, {{"strides", test::Ints{1, 1}}, {"pads", test::Ints{1, 1, 1, 1}}}, "conv1");
  graph.add("Clip", {"conv1", "", ""}, {}, "clip");
  graph.add("LeakyRelu", {"clip"}, {{"alpha", 0.5f}}, "leaky");
  graph.outputs = {"leaky"};
  EXPECT_EQ(to_text(graph),
            "graph small (opset 17)\n"
            "  input %x : float32[N, 3, 8, 8]\n"
            "  @w : float32[4, 3, 3, 3]\n"
            "  %conv1 : float32[N, 4, 8, 8] = Conv(%x, @w) {pads=[1, 1, 1, 1], strides=[1, 1]}\n"
            "  %clip : float32[N, 4, 8, 8] = Clip(%conv1, _, _)\n"
            "  %leaky : float32[N, 4, 8, 8] = LeakyRelu(%clip) {alpha=0.5}\n"
            "  output %leaky : float32[N, 4, 8, 8]\n");
}

TEST(Graph, TextOfABrokenGraphIsStillPrinted) {
  Graph graph = graph_of({2});
  graph.add("NoSuchOperator", {"x"}, {{"mode", std::string("a")}}, "y");
  graph.outputs = {"y"};
  EXPECT_TRUE(holds(to_text(graph), "  %y = NoSuchOperator(%x) {mode=\"a\"}\n"));
}

TEST(Interpret, ShowsEveryValueAndKeepsWhatIsReadLater) {
  Graph graph = graph_of({2});
  graph.add("Neg", {"x"}, {}, "a");
  graph.add("Relu", {"a"}, {}, "b");
  graph.add("Add", {"a", "b"}, {}, "c");
  graph.outputs = {"c", "a", "x"};
  std::vector<std::string> seen;
  const auto outputs = interpret(graph, {{"x", Tensor::of<float>({2}, {-1, 2})}},
                                 [&](const std::string& name, const Tensor&) { seen.push_back(name); });
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(outputs[0].to_float(), (std::vector<float>{2, -2}));
  EXPECT_EQ(outputs[1].to_float(), (std::vector<float>{1, -2}));
  EXPECT_EQ(outputs[2].to_float(), (std::vector<float>{-1, 2})) << "an input may be an output";
}

TEST(Interpret, RefusesWrongInputs) {
  Graph graph = graph_of({free_dim("N"), 3});
  graph.add("Relu", {"x"}, {}, "y");
  graph.outputs = {"y"};
  EXPECT_TRUE(holds(refusal([&] { (void)interpret(graph, {}); }), "input 'x': is not given"));
  EXPECT_TRUE(holds(refusal([&] {
                      (void)interpret(graph, {{"x", random_tensor({2, 4}, 1)}});
                    }),
                    "input 'x': expected float32[N, 3], got float32[2, 4]"));
  EXPECT_TRUE(holds(refusal([&] { (void)interpret(graph, {{"x", random_tensor({3}, 1)}}); }), "got float32[3]"));
  EXPECT_TRUE(holds(refusal([&] { (void)interpret(graph, {{"x", Tensor(DType::i8, {2, 3})}}); }), "got int8[2, 3]"));
  graph.outputs = {"z"};
  EXPECT_TRUE(holds(refusal([&] { (void)interpret(graph, {{"x", random_tensor({2, 3}, 1)}}); }), "output 'z'"));
}

}  // namespace
}  // namespace nnq
