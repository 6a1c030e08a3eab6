// Building small graphs and random tensors for the tests of this room.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "nnq/graph.h"
#include "train/executor.h"

namespace nnq::train::testing {

inline Tensor random_floats(const Shape& shape, std::mt19937& random, float low = -1, float high = 1) {
  std::uniform_real_distribution<float> uniform(low, high);
  Tensor t(DType::f32, shape);
  for (float& v : t.mutable_values<float>()) v = uniform(random);
  return t;
}

inline Tensor random_integers(const Shape& shape, std::mt19937& random, int low, int high) {
  std::uniform_int_distribution<int> uniform(low, high);
  Tensor t(DType::f32, shape);
  for (float& v : t.mutable_values<float>()) v = static_cast<float>(uniform(random));
  return t;
}

/// Every packed weight and every code is an integer: sums are exact whatever their order, so every evaluator has the
/// same bits.
inline bool integer_valued(const Graph& graph) {
  bool codes = false;
  for (const Node& node : graph.nodes) {
    codes = codes || node.is("Quantize", kNnqDomain) || node.is("Sign", kNnqDomain);
    for (const char* real : {"Levels", "Codebook", "BucketCodebook"})
      if (node.is(real, kNnqDomain)) return false;
    if (!node.is("BitPlanes", kNnqDomain)) continue;
    for (const std::size_t input : {1, 2}) {
      const at::Tensor scales = to_torch(graph.initializers.at(node.inputs[input]));
      if (!scales.eq(scales.round()).all().item<bool>()) return false;
    }
  }
  return codes;
}

/// How many elements differ by more than float sums in another order do.
inline std::int64_t far_apart(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).abs() > 2e-4 * (1 + want.abs())).sum().item<std::int64_t>();
}

/// A graph written node by node; values are named after their node.
struct GraphWriter {
  Graph graph;

  std::string input(const std::string& name, const Shape& shape, DType type = DType::f32) {
    graph.inputs.push_back({name, ValueType::of(type, shape)});
    return name;
  }
  std::string constant(Tensor value) {
    const std::string name = "c" + std::to_string(graph.initializers.size());
    graph.initializers[name] = std::move(value);
    return name;
  }
  std::string integers(const std::vector<std::int64_t>& values) {
    return constant(Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
  }
  std::string node(const std::string& op, std::vector<std::string> inputs,
                   std::map<std::string, Attribute> attributes = {}, const std::string& domain = "", int outputs = 1) {
    Node node{op + std::to_string(graph.nodes.size()), op, domain, std::move(inputs), {}, std::move(attributes)};
    for (int i = 0; i < outputs; ++i) node.outputs.push_back(node.name + ".out" + (i == 0 ? "" : std::to_string(i)));
    graph.nodes.push_back(std::move(node));
    return graph.nodes.back().outputs[0];
  }
};

inline std::vector<Tensor> run_torch(const Graph& graph, const std::map<std::string, Tensor>& inputs,
                                     bool training = false) {
  const at::NoGradGuard no_gradient;
  Executor executor(graph, {});
  std::map<std::string, at::Tensor> given;
  for (const auto& [name, value] : inputs) given[name] = to_torch(value);
  std::vector<Tensor> outputs;
  for (const at::Tensor& output : executor.forward(given, training)) outputs.push_back(from_torch(output));
  return outputs;
}

}  // namespace nnq::train::testing
