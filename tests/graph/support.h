// Small graphs, random inputs, and what a refusal says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "nnq/error.h"
#include "nnq/graph.h"

namespace nnq::test {

using Ints = std::vector<std::int64_t>;

inline Tensor random_tensor(const Shape& shape, std::uint64_t seed) {
  Tensor tensor(DType::f32, shape);
  Random random(seed, "tensor");
  for (float& v : tensor.mutable_values<float>()) v = random.uniform(-1.0f, 1.0f);
  return tensor;
}
/// All in [0.5, 1.5): variances.
inline Tensor positive_tensor(const Shape& shape, std::uint64_t seed) {
  Tensor tensor(DType::f32, shape);
  Random random(seed, "positive");
  for (float& v : tensor.mutable_values<float>()) v = random.uniform(0.5f, 1.5f);
  return tensor;
}
inline Tensor ints(const Ints& values) { return Tensor::of({static_cast<std::int64_t>(values.size())}, values); }

inline ValueType type(const std::vector<Dim>& dims, DType dtype = DType::f32) {
  return {.dtype = dtype, .ranked = true, .shape = dims};
}
inline Dim free_dim(const char* symbol) { return Dim(std::string(symbol)); }

/// A graph of opset 17 with the float input "x".
inline Graph graph_of(const std::vector<Dim>& dims) {
  Graph graph;
  graph.opset = 17;
  graph.inputs.push_back({"x", type(dims)});
  return graph;
}

inline std::string add_batch_norm(Graph& graph, const std::string& x, std::int64_t channels, const std::string& stem,
                                  std::map<std::string, Attribute> attributes = {}) {
  const std::string scale = graph.add_initializer(stem + ".scale", random_tensor({channels}, 21)),
                    shift = graph.add_initializer(stem + ".shift", random_tensor({channels}, 22)),
                    mean = graph.add_initializer(stem + ".mean", random_tensor({channels}, 23)),
                    variance = graph.add_initializer(stem + ".variance", positive_tensor({channels}, 24));
  return graph.add("BatchNormalization", {x, scale, shift, mean, variance}, std::move(attributes), stem);
}

inline std::size_t count_of(const Graph& graph, const std::string& op) {
  return static_cast<std::size_t>(
      std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) { return node.op == op; }));
}

/// The graphs give the same outputs, within `tolerance` of the largest value, on random inputs of this shape.
inline void expect_same_outputs(const Graph& a, const Graph& b, const Shape& shape, double tolerance = 0) {
  ASSERT_EQ(a.outputs, b.outputs);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const std::map<std::string, Tensor> inputs = {{"x", random_tensor(shape, seed)}};
    const std::vector<Tensor> left = interpret(a, inputs), right = interpret(b, inputs);
    for (std::size_t i = 0; i < left.size(); ++i) {
      ASSERT_EQ(left[i].shape(), right[i].shape()) << a.outputs[i];
      ASSERT_EQ(left[i].dtype(), right[i].dtype()) << a.outputs[i];
      const std::vector<float> expected = left[i].to_float(), got = right[i].to_float();
      double largest = 1e-6;
      for (const float v : expected) largest = std::max(largest, static_cast<double>(std::abs(v)));
      for (std::size_t k = 0; k < expected.size(); ++k)
        ASSERT_NEAR(expected[k], got[k], tolerance * largest) << a.outputs[i] << " element " << k;
    }
  }
}

/// What the nnq::Error of `work` says; "" when it throws none.
template <class F>
std::string refusal(F&& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}
inline testing::AssertionResult holds(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not hold '" << part << "'";
}

}  // namespace nnq::test
