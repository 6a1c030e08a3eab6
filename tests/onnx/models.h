// Small ONNX models built by hand, for the tests of the importer, and the errors they end in.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "nnq/error.h"
#include "nnq/graph.h"
#include "nnq/onnx.h"
#include "onnx/tensors.h"

namespace nnq::test {

inline Graph import_bytes(const std::string& bytes) {
  return import_onnx_bytes(std::as_bytes(std::span(bytes)), "model.onnx");
}
inline Graph import_model(const onnx::ModelProto& model) { return import_bytes(model.SerializeAsString()); }

/// The error's line, which must be one line and not blame nnq; "" when there was none.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_FALSE(error.fault()) << error.what();
    EXPECT_THAT(error.what(), ::testing::Not(::testing::HasSubstr("\n")));
    return error.what();
  }
  return "";
}
inline std::string error_of(const onnx::ModelProto& model) {
  return error_of([&] { import_model(model); });
}

inline void set_input(onnx::ModelProto& model, const std::string& name, const Shape& shape, int type = 1) {
  auto* input = model.mutable_graph()->add_input();
  input->set_name(name);
  input->mutable_type()->mutable_tensor_type()->set_elem_type(type);
  for (const std::int64_t d : shape)
    input->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(d);
}
inline onnx::NodeProto& add_node(google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, const std::string& op,
                                 const std::vector<std::string>& inputs, const std::string& output) {
  auto& node = *nodes.Add();
  node.set_op_type(op);
  node.set_name(output + "_node");
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}
inline onnx::NodeProto& add_node(onnx::ModelProto& model, const std::string& op, const std::vector<std::string>& inputs,
                                 const std::string& output) {
  return add_node(*model.mutable_graph()->mutable_node(), op, inputs, output);
}
inline onnx::TensorProto& add_initializer(onnx::ModelProto& model, const std::string& name, const Shape& shape) {
  auto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  for (const std::int64_t d : shape) tensor.add_dims(d);
  return tensor;
}
inline void add_function(onnx::ModelProto& model, const std::string& name, const std::string& body_op) {
  auto& function = *model.add_functions();
  function.set_domain("custom");
  function.set_name(name);
  function.add_input("a");
  function.add_output("b");
  auto& node = add_node(*function.mutable_node(), body_op, {"a"}, "b");
  if (body_op != "Relu") node.set_domain("custom");
}
inline void add_attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

/// x float32[2, 3] -> Relu -> y.
inline onnx::ModelProto relu_model(std::int64_t opset = 17) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(opset);
  model.mutable_graph()->set_name("g");
  set_input(model, "x", {2, 3});
  add_node(model, "Relu", {"x"}, "y");
  model.mutable_graph()->add_output()->set_name("y");
  return model;
}
/// The same with `op` in place of Relu and further inputs.
inline onnx::ModelProto one_node(const std::string& op, const std::vector<std::string>& inputs = {"x"}) {
  onnx::ModelProto model = relu_model();
  model.mutable_graph()->clear_node();
  add_node(model, op, inputs, "y");
  return model;
}

/// The most memory this process ever held.
inline long peak_kilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

#if defined(__SANITIZE_ADDRESS__)
inline constexpr long memory_factor = 4;  // red zones and freed blocks kept in quarantine
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr long memory_factor = 4;
#else
inline constexpr long memory_factor = 1;
#endif
#else
inline constexpr long memory_factor = 1;
#endif

/// Fails unless the process' peak has grown by less than this since `before` (kilobytes).
inline void expect_growth_below(long kilobytes, long before) {
  EXPECT_LT(peak_kilobytes() - before, memory_factor * kilobytes);
}

}  // namespace nnq::test
