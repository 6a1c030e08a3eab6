#include "methods/search/interactions.h"

#include <algorithm>
#include <set>

#include "nnq/encoding.h"
#include "nnq/error.h"
#include "quantize/layers.h"

namespace nnq::methods {
namespace {

constexpr const char* kMark = ".interaction";

/// The Quantizer that made a value, past pooling and reshapes; nullptr when something else did.
const Node* quantizer_of(const Graph& graph, const std::string& value, const char* role) {
  std::int64_t made = graph.producer(value);
  while (made >= 0 && quantize::commutes_with_quantizers(graph.nodes[static_cast<std::size_t>(made)]))
    made = graph.producer(graph.nodes[static_cast<std::size_t>(made)].inputs[0]);
  if (made < 0) return nullptr;
  const Node& node = graph.nodes[static_cast<std::size_t>(made)];
  return quantize::is_quantizer(node, role) ? &node : nullptr;
}

bool is_sign(const Node* quantizer) { return quantizer != nullptr && quantizer->get_string("method", "") == "bnn"; }

/// Signs of the edges of one size of influence as a kernel [students, teachers, 1, 1] of -unit, 0, +unit.
std::string add_kernel(Graph& graph, const LayerInteractions& layer, int size, const std::string& name) {
  const std::int64_t channels = layer.graph.channels();
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(channels * channels), 1);
  for (const Interaction& e : layer.graph.edges())
    if (std::abs(e.influence) == size)
      codes[static_cast<std::size_t>(e.student * channels + e.teacher)] = e.influence > 0 ? 2 : 0;
  const std::vector<std::uint8_t> planes = pack_planes(codes, 2);
  const auto unit = static_cast<float>(layer.unit);
  const std::vector<float> scales{unit, 2 * unit}, offset{-unit};
  const std::vector<std::int64_t> shape{channels, channels, 1, 1};
  return graph.add(
      "BitPlanes",
      {graph.add_initializer(name + ".planes",
                             Tensor::of<std::uint8_t>({2, static_cast<std::int64_t>(planes.size()) / 2}, planes)),
       graph.add_initializer(name + ".plane_scale", Tensor::of<float>({1, 2}, scales)),
       graph.add_initializer(name + ".offset", Tensor::of<float>({1}, offset)),
       graph.add_initializer(name + ".shape", Tensor::of<std::int64_t>({4}, shape))},
      {}, name + ".signs", kNnqDomain);
}

/// The corrections that edges of one size of influence add.
std::string add_corrections(Graph& graph, const LayerInteractions& layer, int size, const std::string& p) {
  const std::string name = layer.layer + kMark + std::to_string(size);
  const float shift = 1.0F / (2 * static_cast<float>(size));  // boundaries belong to the interval below
  const auto width = static_cast<float>(2.0 * static_cast<double>(layer.range) / size);
  const std::int64_t half = (size - 1) / 2;
  int bits = 1;
  while ((1 << bits) < size) ++bits;
  const std::string shifted =
      graph.add("Sub", {p, graph.add_initializer(name + ".shift", Tensor::of<float>({1}, std::vector<float>{shift}))},
                {}, name + ".shifted");
  const std::string interval = graph.add(
      "Quantize", {shifted, graph.add_initializer(name + ".width", Tensor::of<float>({1}, std::vector<float>{width}))},
      {{"min", -half}, {"max", half}, {"bits", std::int64_t{bits}}}, name + ".interval", kNnqDomain);
  return graph.add("Conv", {interval, add_kernel(graph, layer, size, name)}, {}, name + ".corrections");
}

}  // namespace

std::vector<LayerInteractions> interaction_layers(const Graph& graph, double unit_share,
                                                  const ChannelGraph::Options& options) {
  std::vector<LayerInteractions> layers;
  for (const Node& node : graph.nodes) {
    if (!node.is("Conv") || node.get_int("group", 1) != 1 || (node.inputs.size() > 2 && !node.inputs[2].empty()))
      continue;
    const Node* weight = quantizer_of(graph, node.inputs[1], "weight");
    if (!is_sign(weight) || !is_sign(quantizer_of(graph, node.inputs[0], "activation"))) continue;
    const Tensor* values = graph.initializer(weight->inputs[0]);
    if (values == nullptr || values->rank() != 4 || values->count() == 0) continue;
    const std::int64_t range = values->count() / values->shape()[0];
    layers.push_back({node.name, range, interaction_unit(unit_share, range), {values->shape()[0], options}});
  }
  return layers;
}

Graph with_interactions(Graph graph, const std::vector<LayerInteractions>& layers) {
  for (const LayerInteractions& layer : layers) {
    if (layer.graph.edges().empty()) continue;
    const std::int64_t index = quantize::find_node(graph, layer.layer);
    NNQ_CHECK(index >= 0, "the graph has no layer of this name", "layer '" + layer.layer + "'");
    const std::string p = graph.nodes[static_cast<std::size_t>(index)].outputs[0];
    NNQ_CHECK(!graph.is_output(p), "the network's output carries no interactions", "layer '" + layer.layer + "'");
    std::set<int> sizes;
    for (const Interaction& e : layer.graph.edges()) sizes.insert(std::abs(e.influence));
    const std::vector<std::size_t> readers = graph.consumers(p);
    std::string corrected = p;
    for (const int size : sizes) {
      const std::string corrections = add_corrections(graph, layer, size, p);
      corrected = graph.add("Add", {corrected, corrections}, {}, layer.layer + kMark + std::to_string(size) + ".sum");
    }
    for (const std::size_t reader : readers)
      std::replace(graph.nodes[reader].inputs.begin(), graph.nodes[reader].inputs.end(), p, corrected);
  }
  graph.sort();
  verify(graph);
  return graph;
}

bool has_interactions(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [](const Node& node) { return node.name.find(kMark) != std::string::npos; });
}

}  // namespace nnq::methods
