#include "quantize/hoist.h"

#include <algorithm>

#include "quantize/layers.h"

namespace nnq::quantize {
namespace {

bool pads_with_constant(const Graph& graph, const Node& node) {
  if (!node.is("Pad") || node.inputs.size() < 2 || node.get_string("mode", "constant") != "constant") return false;
  if (node.inputs.size() < 3 || node.inputs[2].empty()) return true;
  const Tensor* constant = graph.initializer(node.inputs[2]);
  return constant != nullptr && constant->dtype() == DType::f32 && constant->count() == 1;
}

/// x -> P -> Q -> y becomes x -> Q -> P -> y; P's data inputs are 0 .. data_inputs - 1.
void swap_with_producer(Graph& graph, std::size_t q, std::size_t p, std::size_t data_inputs) {
  Node quantizer = graph.nodes[q];
  const std::string between = graph.nodes[p].outputs[0];
  std::vector<Node> added;
  std::map<std::string, std::string> quantized;
  for (std::size_t i = 0; i < data_inputs; ++i) {
    const std::string input = graph.nodes[p].inputs[i];
    if (!quantized.contains(input)) {
      Node above = quantizer;
      above.inputs[0] = input;
      above.outputs = {between};
      if (!quantized.empty()) {
        above.attributes["shared_with"] = quantizer.get_string("shared_with", quantizer.name.c_str());
        above.name = graph.fresh(quantizer.name + ".copy" + std::to_string(i));
        above.outputs = {graph.fresh(between + ".copy" + std::to_string(i))};
      }
      quantized[input] = above.outputs[0];
      added.push_back(std::move(above));
    }
    graph.nodes[p].inputs[i] = quantized[input];
  }
  graph.nodes[p].outputs[0] = quantizer.outputs[0];
  graph.nodes[q] = std::move(added[0]);
  graph.nodes.insert(graph.nodes.end(), std::make_move_iterator(added.begin() + 1),
                     std::make_move_iterator(added.end()));
}

/// One swap, if there is one to make.
bool hoist_one(Graph& graph, const std::function<float(const Node&, float)>& value_of) {
  const GraphIndex index(graph);
  for (std::size_t q = 0; q < graph.nodes.size(); ++q) {
    if (!is_quantizer(graph.nodes[q], "activation")) continue;
    const std::string& between = graph.nodes[q].inputs[0];
    const auto made = index.producer.find(between);
    if (made == index.producer.end() || graph.is_output(between) || index.consumers.at(between).size() != 1) continue;
    const auto p = static_cast<std::size_t>(made->second);
    Node& producer = graph.nodes[p];
    if (producer.is("Concat")) {
      swap_with_producer(graph, q, p, producer.inputs.size());
    } else if (pads_with_constant(graph, producer)) {
      const Tensor* constant =
          producer.inputs.size() > 2 && !producer.inputs[2].empty() ? graph.initializer(producer.inputs[2]) : nullptr;
      const float border = value_of(graph.nodes[q], constant == nullptr ? 0.0F : constant->as<float>()[0]);
      const std::string name = graph.add_initializer(producer.name + ".border", Tensor::scalar(border));
      producer.inputs.resize(std::max<std::size_t>(producer.inputs.size(), 3));
      producer.inputs[2] = name;
      swap_with_producer(graph, q, p, 1);
    } else if (commutes_with_quantizers(producer)) {
      swap_with_producer(graph, q, p, 1);
    } else {
      continue;
    }
    return true;
  }
  return false;
}

}  // namespace

void hoist_quantizers(Graph& graph, const std::function<float(const Node&, float)>& value_of) {
  bool changed = false;
  while (hoist_one(graph, value_of)) changed = true;
  if (changed) graph.sort();
}

}  // namespace nnq::quantize
