// Running one operator in a test.
#pragma once

#include <gtest/gtest.h>

#include "nnq/op.h"

namespace nnq::test {

inline Node make_node(const std::string& op, std::size_t inputs, std::map<std::string, Attribute> attributes = {},
                      const std::string& domain = {}, std::size_t outputs = 1) {
  Node node;
  node.name = "n";
  node.op = op;
  node.domain = domain;
  for (std::size_t i = 0; i < inputs; ++i) node.inputs.push_back("i" + std::to_string(i));
  for (std::size_t i = 0; i < outputs; ++i) node.outputs.push_back("o" + std::to_string(i));
  node.attributes = std::move(attributes);
  return node;
}

struct Result {
  Status status;
  std::vector<Tensor> outputs;
  const Tensor& operator[](std::size_t i) const { return outputs[i]; }
};

inline Result run(const std::string& op, const std::vector<Tensor>& inputs,
                  std::map<std::string, Attribute> attributes = {}, std::int64_t opset = kOnnxOpset,
                  const std::string& domain = {}, std::size_t outputs = 1) {
  Result result;
  result.status = evaluate_node(make_node(op, inputs.size(), std::move(attributes), domain, outputs), opset, inputs,
                                result.outputs);
  EXPECT_TRUE(result.status.ok()) << op << ": " << result.status.message();
  if (!result.status.ok()) result.outputs.assign(outputs, Tensor::of<float>({0}, std::vector<float>{}));
  return result;
}

/// The message of a node that must be refused; empty when it was not.
inline std::string refusal(const std::string& op, const std::vector<Tensor>& inputs,
                           std::map<std::string, Attribute> attributes = {}, std::int64_t opset = kOnnxOpset,
                           const std::string& domain = {}) {
  std::vector<Tensor> outputs;
  return evaluate_node(make_node(op, inputs.size(), std::move(attributes), domain), opset, inputs, outputs).message();
}

inline Tensor f32(Shape shape, const std::vector<float>& values) { return Tensor::of(std::move(shape), values); }
inline Tensor i64(const std::vector<std::int64_t>& values) {
  return Tensor::of({static_cast<std::int64_t>(values.size())}, values);
}
using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;

}  // namespace nnq::test
