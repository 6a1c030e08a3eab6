#include "quantize/canonical.h"

#include <cmath>

#include "nnq/error.h"
#include "quantize/layers.h"

namespace nnq::quantize {
namespace {

Tensor transposed(const Tensor& weight) {
  const std::int64_t rows = weight.shape()[0], columns = weight.shape()[1];
  Tensor out(DType::f32, {columns, rows});
  const float* from = weight.as<float>();
  float* to = out.mutable_as<float>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
  return out;
}

/// 1 / sqrt(variance + epsilon), float32.
Tensor inverse_deviation(const Tensor& variance, float epsilon) {
  Tensor out(DType::f32, variance.shape());
  const float* from = variance.as<float>();
  float* to = out.mutable_as<float>();
  for (std::int64_t i = 0; i < variance.count(); ++i)
    to[i] = static_cast<float>(1 / std::sqrt(static_cast<double>(from[i]) + static_cast<double>(epsilon)));
  return out;
}

}  // namespace

void put_output_channels_first(Graph& graph, Node& node, const std::map<std::string, ValueType>& types) {
  const Tensor* weight = graph.initializer(node.inputs[1]);
  if (weight == nullptr || weight->rank() != 2 || graph.is_output(node.inputs[1])) return;
  const std::vector<std::size_t> readers = graph.consumers(node.inputs[1]);
  if (readers.size() != 1 || node.inputs[0] == node.inputs[1]) return;
  if (node.is("Gemm")) {
    if (node.get_int("transB", 0) != 0) return;
  } else {
    const auto type = types.find(node.inputs[0]);
    if (type == types.end() || !type->second.ranked || type->second.shape.size() != 2) return;
    node.op = "Gemm";
  }
  graph.initializers[node.inputs[1]] = transposed(*weight);
  node.attributes["transB"] = std::int64_t{1};
}

std::pair<std::string, std::size_t> put_rows_first(Graph& graph, const std::string& name, std::size_t input) {
  const auto at = static_cast<std::size_t>(find_node(graph, name));
  const std::string weight = graph.nodes[at].inputs[input];
  const Tensor* stored = graph.initializer(weight);
  const bool recurrent = is_recurrent(graph.nodes[at]), matmul = graph.nodes[at].is("MatMul");
  const bool fits = stored != nullptr &&
                    ((recurrent && stored->rank() == 3 && stored->shape()[0] == 1) || (matmul && stored->rank() == 2));
  if (!fits || graph.is_output(weight) || graph.consumers(weight).size() != 1) return {name, input};
  Node back;
  back.name = graph.fresh(weight + ".back");
  back.outputs = {graph.fresh(weight + ".turned")};
  if (matmul) {
    graph.initializers[weight] = transposed(*stored);
    back.op = "Transpose";
    back.inputs = {weight};
    back.attributes["perm"] = std::vector<std::int64_t>{1, 0};
  } else {
    graph.initializers[weight] = stored->reshaped({stored->shape()[1], stored->shape()[2]});
    back.op = "Unsqueeze";
    back.inputs = {weight};
    if (graph.opset >= 13)
      back.inputs.push_back(
          graph.add_initializer(weight + ".axes", Tensor::of<std::int64_t>({1}, std::vector<std::int64_t>{0})));
    else
      back.attributes["axes"] = std::vector<std::int64_t>{0};
  }
  graph.nodes[at].inputs[input] = back.outputs[0];
  graph.nodes.push_back(std::move(back));
  return {graph.nodes.back().name, 0};
}

void use_shift_batch_norm(Graph& graph, const std::string& layer) {
  std::string value = graph.nodes[static_cast<std::size_t>(find_node(graph, layer))].outputs[0];
  for (;;) {
    const std::vector<std::size_t> readers = graph.consumers(value);
    if (readers.size() != 1) return;
    Node& node = graph.nodes[readers[0]];
    if (commutes_with_quantizers(node)) {
      value = node.outputs[0];
      continue;
    }
    if (!node.is("BatchNormalization") || node.inputs.size() != 5) return;
    const Tensor* variance = graph.initializer(node.inputs[4]);
    NNQ_CHECK(variance != nullptr && variance->dtype() == DType::f32, "the variance must be an initializer",
              "node '" + node.name + "' (BatchNormalization)");
    const float epsilon = node.get_float("epsilon", 1e-5F);
    const std::string inverse =
        graph.add_initializer(node.inputs[4] + ".inverse_std", inverse_deviation(*variance, epsilon));
    node.op = "ShiftBatchNormalization";
    node.domain = kNnqDomain;
    node.inputs[4] = inverse;
    node.outputs.resize(1);
    node.attributes = {{"epsilon", epsilon}, {"momentum", 0.875F}};  // the sheet: running <- 0.875 running + 0.125 new
    return;
  }
}

}  // namespace nnq::quantize
