// Model-local functions are inlined; those that would never end are refused.
#include "models.h"

namespace nnq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Import, FunctionsAreInlined) {
  onnx::ModelProto model = one_node("Outer");
  model.mutable_graph()->mutable_node(0)->set_domain("custom");
  add_function(model, "Outer", "Inner");
  add_function(model, "Inner", "Relu");
  const Graph graph = import_model(model);
  ASSERT_EQ(graph.nodes.size(), 1u);
  EXPECT_TRUE(graph.nodes[0].is("Relu"));
  const Tensor x = Tensor::of<float>({2, 3}, std::vector<float>{-1, 2, -3, 4, -5, 6});
  EXPECT_EQ(interpret(graph, {{"x", x}})[0], Tensor::of<float>({2, 3}, std::vector<float>{0, 2, 0, 4, 0, 6}));
}

TEST(Import, AttributesOfACallReachTheBody) {
  onnx::ModelProto model = one_node("MyFlatten");
  auto& call = *model.mutable_graph()->mutable_node(0);
  call.set_domain("custom");
  add_attribute(call, "from", 2);
  add_function(model, "MyFlatten", "Relu");
  auto& inner = *model.mutable_functions(0)->mutable_node(0);
  inner.set_op_type("Flatten");
  auto& axis = *inner.add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::INT);
  axis.set_ref_attr_name("from");
  EXPECT_EQ(import_model(model).nodes[0].get_int("axis", 0), 2);
  call.clear_attribute();
  EXPECT_EQ(import_model(model).nodes[0].get_int("axis", -7), -7);  // left out: the operator's default
}

TEST(Import, FunctionsThatCallEachOtherWithoutEnd) {
  onnx::ModelProto model = one_node("F");
  model.mutable_graph()->mutable_node(0)->set_domain("custom");
  add_function(model, "F", "G");
  add_function(model, "G", "F");
  EXPECT_THAT(error_of(model), AllOf(HasSubstr("without end"), HasSubstr("function")));
}

TEST(Import, FunctionsThatDoubleAtEveryLevel) {
  onnx::ModelProto model = one_node("F0");
  model.mutable_graph()->mutable_node(0)->set_domain("custom");
  for (int i = 0; i < 30; ++i) {
    const std::string next = "F" + std::to_string(i + 1);
    add_function(model, "F" + std::to_string(i), i == 29 ? "Relu" : next);
    auto& nodes = *model.mutable_functions(i)->mutable_node();
    nodes.Mutable(0)->set_output(0, "half");
    auto& second = add_node(nodes, i == 29 ? "Relu" : next, {"half"}, "b");
    if (i < 29) second.set_domain("custom");
  }
  const long before = peak_kilobytes();
  EXPECT_THAT(error_of(model), HasSubstr("nodes after inlining"));
  model.mutable_functions(29)->clear_node();  // 2^30 calls of nothing
  EXPECT_THAT(error_of(model), HasSubstr("nodes after inlining"));
  expect_growth_below(512 * 1024, before);
}

TEST(Import, FunctionsThatRepeatALargeTensor) {
  onnx::ModelProto model = one_node("F");
  add_function(model, "F", "Relu");
  auto& constant = *model.mutable_functions(0)->add_node();
  constant.set_op_type("Constant");
  constant.add_output("c");
  auto& value = *constant.add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  value.mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
  value.mutable_t()->add_dims(1 << 18);
  value.mutable_t()->set_raw_data(std::string(1 << 20, '\0'));
  model.mutable_graph()->clear_node();
  for (int i = 0; i < 2000; ++i) add_node(model, "F", {"x"}, "y" + std::to_string(i)).set_domain("custom");
  const long before = peak_kilobytes();
  EXPECT_THAT(error_of(model), HasSubstr("bytes after inlining"));
  expect_growth_below(1024 * 1024, before);
}

TEST(Import, FunctionsCalledWithTooManyInputs) {
  onnx::ModelProto model = one_node("F", {"x", "x"});
  model.mutable_graph()->mutable_node(0)->set_domain("custom");
  add_function(model, "F", "Relu");
  EXPECT_THAT(error_of(model), HasSubstr("more inputs"));
}

TEST(Import, ControlFlowIsRefusedByName) {
  onnx::ModelProto model = one_node("Relu");
  auto& body = *model.mutable_graph()->mutable_node(0)->add_attribute();
  body.set_name("body");
  body.set_type(onnx::AttributeProto::GRAPH);
  body.mutable_g()->set_name("inner");
  EXPECT_THAT(error_of(model), AllOf(HasSubstr("sub-graph"), HasSubstr("y_node")));
}

}  // namespace
}  // namespace nnq::test
