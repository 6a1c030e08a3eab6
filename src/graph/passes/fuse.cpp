// Passes that join neighbours: Pad into Conv, MatMul and Add into Gemm.
#include "nnq/passes.h"

namespace nnq {
namespace {

using Ints = std::vector<std::int64_t>;

/// Pads of a constant zero Pad of the spatial axes only, as Conv has them (begins, then ends); empty when it is another
/// Pad.
Ints spatial_pads(const Graph& graph, const Node& pad) {
  if (!pad.is("Pad") || pad.get_string("mode", "constant") != "constant") return {};
  Ints pads = pad.get_ints("pads");
  float value = pad.get_float("value", 0);
  if (graph.opset >= 11) {
    const Tensor* given = pad.inputs.size() > 1 ? graph.initializer(pad.inputs[1]) : nullptr;
    if (given == nullptr || (pad.inputs.size() > 3 && !pad.inputs[3].empty())) return {};
    pads = given->to_int64();
    if (pad.inputs.size() > 2 && !pad.inputs[2].empty()) {
      const Tensor* constant = graph.initializer(pad.inputs[2]);
      if (constant == nullptr || constant->count() != 1) return {};
      value = constant->to_float()[0];
    }
  }
  const std::size_t rank = pads.size() / 2;
  if (value != 0 || rank < 3 || pads[0] != 0 || pads[1] != 0 || pads[rank] != 0 || pads[rank + 1] != 0) return {};
  Ints spatial;
  for (const std::size_t half : {std::size_t{0}, rank}) {
    for (std::size_t i = 2; i < rank; ++i) spatial.push_back(pads[half + i]);
  }
  for (const std::int64_t p : spatial) {
    if (p < 0) return {};
  }
  return spatial;
}

/// The bias when `add` adds a constant vector [n] or [1, n] to `value`.
const Tensor* vector_bias(const Graph& graph, const Node& add, const std::string& value, std::int64_t n) {
  if (!add.is("Add") || add.inputs.size() != 2) return nullptr;
  const Tensor* bias = graph.initializer(add.inputs[0] == value ? add.inputs[1] : add.inputs[0]);
  const bool fits = bias != nullptr && bias->dtype() == DType::f32 && bias->rank() >= 1 && bias->rank() <= 2 &&
                    bias->count() == n && bias->shape().back() == n;
  return fits ? bias : nullptr;
}

}  // namespace

Graph fuse_conv_pad(Graph graph) {
  const GraphIndex index(graph);
  for (Node& conv : graph.nodes) {
    if (!conv.is("Conv") || conv.get_string("auto_pad", "NOTSET") != "NOTSET") continue;
    const auto producer = index.producer.find(conv.inputs[0]);
    if (producer == index.producer.end()) continue;
    const Node& pad = graph.nodes[static_cast<std::size_t>(producer->second)];
    const Ints more = spatial_pads(graph, pad);
    if (more.empty()) continue;
    Ints pads = conv.get_ints("pads", Ints(more.size(), 0));
    if (pads.size() != more.size()) continue;
    for (std::size_t i = 0; i < pads.size(); ++i) pads[i] += more[i];
    conv.attributes["pads"] = pads;
    conv.inputs[0] = pad.inputs[0];
  }
  return remove_dead_nodes(std::move(graph));
}

Graph fuse_matmul_add(Graph graph) {
  const auto types = infer_types(graph);
  const GraphIndex index(graph);
  for (const Node& matmul : graph.nodes) {
    if (!matmul.is("MatMul") || graph.is_output(matmul.outputs[0])) continue;
    const auto type = types.find(matmul.inputs[0]);
    const Tensor* weight = graph.initializer(matmul.inputs[1]);
    const auto readers = index.consumers.find(matmul.outputs[0]);
    const bool matrix = type != types.end() && type->second.ranked && type->second.shape.size() == 2 &&
                        type->second.dtype == DType::f32;
    if (!matrix || weight == nullptr || weight->rank() != 2 || readers == index.consumers.end() ||
        readers->second.size() != 1)
      continue;
    Node& add = graph.nodes[readers->second[0]];
    if (vector_bias(graph, add, matmul.outputs[0], weight->shape()[1]) == nullptr) continue;
    const std::string bias = add.inputs[0] == matmul.outputs[0] ? add.inputs[1] : add.inputs[0];
    add.op = "Gemm";
    add.inputs = {matmul.inputs[0], matmul.inputs[1], bias};
    add.attributes.clear();
  }
  return remove_dead_nodes(std::move(graph));
}

}  // namespace nnq
