// Hostile and odd files: one nnq::Error that says where, never a crash, a hang or a large allocation.

#include "models.h"
#include "networks.h"

namespace nnq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string& small_file() {
  static const std::string bytes = export_onnx_bytes(
      frozen_network(build_zoo("mlp", {{"hidden", "4"}, {"size", "3"}, {"classes", "3"}}), 4, 4, true));
  return bytes;
}

/// Imports and, when that works, runs: both must end in a result or an nnq::Error.
void survive(const std::string& bytes) {
  try {
    const Graph graph = import_bytes(bytes);
    std::int64_t count = 0;
    for (const GraphInput& input : graph.inputs) {
      for (const Dim& dim : input.type.shape) count = std::max(count, dim.value);
      if (!input.type.ranked || input.type.shape.size() > 4 || input.type.dtype == DType::string) return;
    }
    if (count < 64) interpret(graph, feeds_for(graph, 1, 1));
  } catch (const Error&) {
  }
}

TEST(Import, TheSmallFileIsRead) { EXPECT_FALSE(import_bytes(small_file()).nodes.empty()); }

TEST(Import, TruncatedAnywhere) {
  const std::string& whole = small_file();
  for (std::size_t size = 0; size < whole.size(); size += size < 400 ? 1 : 13) survive(whole.substr(0, size));
  EXPECT_THAT(error_of([] { import_bytes(""); }), AllOf(HasSubstr("model.onnx"), HasSubstr("empty")));
  EXPECT_THAT(error_of([&] { import_bytes(whole.substr(0, whole.size() / 2)); }), HasSubstr("model.onnx"));
}

TEST(Import, BitsFlippedAnywhere) {
  Random random(11);
  const long before = peak_kilobytes();
  for (int i = 0; i < 1500; ++i) {
    std::string bytes = small_file();
    for (std::uint64_t flips = 1 + random.below(3); flips > 0; --flips)
      bytes[random.below(bytes.size())] ^= static_cast<char>(1 << random.below(8));
    survive(bytes);
  }
  expect_growth_below(512 * 1024, before);
}

TEST(Import, NotAModelAtAll) {
  EXPECT_THAT(error_of([] { import_bytes("#!/bin/sh\necho hello\n"); }), HasSubstr("model.onnx"));
  EXPECT_THAT(error_of([] { import_bytes(std::string(100000, '\0')); }), HasSubstr("model.onnx"));
  EXPECT_THAT(error_of([] { import_onnx("/nowhere/model.onnx"); }), HasSubstr("/nowhere/model.onnx"));
  EXPECT_THAT(error_of([] { import_onnx("/tmp"); }), HasSubstr("/tmp"));
  onnx::ModelProto no_graph = relu_model();
  no_graph.clear_graph();
  EXPECT_THAT(error_of(no_graph), HasSubstr("holds no graph"));
}

TEST(Import, DeeplyNestedMessagesAreRefused) {
  std::string bytes;  // ModelProto.graph.node.attribute.g.node.attribute.g ...
  for (int i = 0; i < 5000; ++i) {
    for (const int field : {6, 5, 1}) {
      std::string outer(1, static_cast<char>(field << 3 | 2));
      for (std::size_t n = bytes.size();; n >>= 7) {
        outer.push_back(static_cast<char>((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
        if (n <= 0x7f) break;
      }
      bytes.insert(0, outer);
    }
    if (bytes.size() > 60000) break;
  }
  EXPECT_THAT(error_of([&] { import_bytes(std::string("\x3a", 1) + bytes); }), HasSubstr("model.onnx"));
}

TEST(Import, UnknownOperatorsAreNamedWithTheirNodeAndTheNearest) {
  EXPECT_THAT(error_of(one_node("Convv")), AllOf(HasSubstr("model.onnx"), HasSubstr("y_node"), HasSubstr("Convv"),
                                                 HasSubstr("did you mean 'Conv'?"), HasSubstr("docs/onnx.md")));
  EXPECT_THAT(error_of(one_node("Fantasy")), AllOf(HasSubstr("Fantasy"), Not(HasSubstr("did you mean"))));
  onnx::ModelProto foreign = one_node("Relu");
  foreign.mutable_graph()->mutable_node(0)->set_domain("com.microsoft");
  EXPECT_THAT(error_of(foreign), HasSubstr("com.microsoft::Relu"));
}

TEST(Import, OpsetsOutsideTheRange) {
  EXPECT_EQ(error_of(relu_model(7)), "");
  EXPECT_EQ(error_of(relu_model(21)), "");
  EXPECT_EQ(import_model(relu_model(6)).opset, 7);
  EXPECT_THAT(error_of(relu_model(22)), AllOf(HasSubstr("opset 22"), HasSubstr("21")));
  EXPECT_THAT(error_of(relu_model(0)), HasSubstr("opset 0"));
  EXPECT_THAT(error_of(relu_model(-5)), HasSubstr("opset -5"));
  EXPECT_THAT(error_of(relu_model(std::int64_t{1} << 60)), HasSubstr("opset"));
  onnx::ModelProto none = relu_model();
  none.clear_opset_import();
  EXPECT_THAT(error_of(none), HasSubstr("names no ONNX opset"));
}

TEST(Import, BrokenGraphs) {
  EXPECT_THAT(error_of(one_node("Add", {"x", "weights"})), AllOf(HasSubstr("'weights'"), HasSubstr("y_node")));
  onnx::ModelProto cycle = one_node("Add", {"x", "z"});
  add_node(cycle, "Relu", {"y"}, "z");
  EXPECT_THAT(error_of(cycle), HasSubstr("cycle"));
  onnx::ModelProto self = one_node("Add", {"x", "y"});
  EXPECT_THAT(error_of(self), HasSubstr("cycle"));
  onnx::ModelProto twice = relu_model();
  add_node(twice, "Abs", {"x"}, "y");
  EXPECT_THAT(error_of(twice), HasSubstr("exists already"));
  onnx::ModelProto no_output = relu_model();
  no_output.mutable_graph()->add_output()->set_name("nowhere");
  EXPECT_THAT(error_of(no_output), HasSubstr("nowhere"));
  onnx::ModelProto same_input = relu_model();
  set_input(same_input, "x", {2, 3});
  EXPECT_THAT(error_of(same_input), HasSubstr("'x'"));
  onnx::ModelProto same_initializer = relu_model();
  for (int i = 0; i < 2; ++i) add_initializer(same_initializer, "w", {1}).add_float_data(1);
  EXPECT_THAT(error_of(same_initializer), AllOf(HasSubstr("'w'"), HasSubstr("twice")));
  EXPECT_THAT(error_of(one_node("Relu", {})), HasSubstr("y_node"));
  EXPECT_THAT(error_of(one_node("Relu", {"x", "x", "x"})), HasSubstr("y_node"));
}

TEST(Import, NodesInAnyOrderAreSorted) {
  onnx::ModelProto model = one_node("Abs", {"z"});
  add_node(model, "Relu", {"x"}, "z");
  const Graph graph = import_model(model);
  EXPECT_EQ(graph.nodes[0].op, "Relu");
  EXPECT_EQ(graph.nodes[1].op, "Abs");
}

TEST(Import, NodesWithOneNameOrNoneGetUniqueNames) {
  onnx::ModelProto model = relu_model();
  model.mutable_graph()->mutable_node(0)->set_name("same");
  add_node(model, "Abs", {"y"}, "z").set_name("same");
  add_node(model, "Neg", {"z"}, "w").clear_name();
  model.mutable_graph()->mutable_output(0)->set_name("w");
  const Graph graph = import_model(model);
  EXPECT_EQ(graph.nodes[0].name, "same");
  EXPECT_NE(graph.nodes[1].name, "same");
  EXPECT_EQ(graph.nodes[2].name, "w");
}

TEST(Import, WrongTypes) {
  onnx::ModelProto integers = relu_model();
  integers.mutable_graph()->clear_input();
  set_input(integers, "x", {2, 3}, onnx::TensorProto::STRING);
  EXPECT_THAT(error_of(integers), HasSubstr("y_node"));
  onnx::ModelProto complex = relu_model();
  complex.mutable_graph()->clear_input();
  set_input(complex, "x", {2, 3}, onnx::TensorProto::COMPLEX64);
  EXPECT_THAT(error_of(complex), AllOf(HasSubstr("'x'"), HasSubstr("element type")));
  onnx::ModelProto mixed = one_node("Add", {"x", "n"});
  set_input(mixed, "n", {2, 3}, onnx::TensorProto::INT64);
  EXPECT_THAT(error_of(mixed), HasSubstr("y_node"));
  onnx::ModelProto attribute = one_node("Flatten");
  auto& axis = *attribute.mutable_graph()->mutable_node(0)->add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::STRING);
  axis.set_s("one");
  EXPECT_THAT(error_of(attribute), AllOf(HasSubstr("y_node"), HasSubstr("axis")));
  onnx::ModelProto twice = one_node("Flatten");
  for (int i = 0; i < 2; ++i) add_attribute(*twice.mutable_graph()->mutable_node(0), "axis", 1);
  EXPECT_THAT(error_of(twice), HasSubstr("twice"));
  onnx::ModelProto negative = relu_model();
  negative.mutable_graph()->clear_input();
  set_input(negative, "x", {2, -3});
  EXPECT_THAT(error_of(negative), HasSubstr("negative"));
  onnx::ModelProto sequence = relu_model();
  sequence.mutable_graph()->mutable_input(0)->mutable_type()->mutable_sequence_type();
  EXPECT_THAT(error_of(sequence), HasSubstr("not a tensor"));
}

TEST(Import, FilesAboveTheLimitAreRefused) {
  const std::string& bytes = small_file();
  const auto import = [&] {
    import_onnx_bytes(std::as_bytes(std::span(bytes)), "model.onnx", {.max_bytes = bytes.size() - 1});
  };
  EXPECT_THAT(error_of(import), HasSubstr("model.onnx"));
}

TEST(Import, OldBroadcastingAxes) {
  onnx::ModelProto model = one_node("Add", {"x", "w"});
  model.mutable_opset_import(0)->set_version(6);
  auto& node = *model.mutable_graph()->mutable_node(0);
  add_attribute(node, "broadcast", 1);
  add_attribute(node, "axis", 0);
  auto& w = add_initializer(model, "w", {2});
  w.add_float_data(10);
  w.add_float_data(20);
  const Tensor x = Tensor::of<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  EXPECT_EQ(interpret(import_model(model), {{"x", x}})[0],
            Tensor::of<float>({2, 3}, std::vector<float>{11, 12, 13, 24, 25, 26}));
  node.mutable_attribute(1)->set_i(5);
  EXPECT_THAT(error_of(model), AllOf(HasSubstr("axis 5"), HasSubstr("y_node")));
}

}  // namespace
}  // namespace nnq::test
