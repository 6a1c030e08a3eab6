// Any bytes as an ONNX file: imported, shapes inferred, printed, exported again; small networks are run.
#include <algorithm>
#include <cstdint>

#include "nnq/error.h"
#include "nnq/onnx.h"

namespace {

/// Inputs of zeros with free dimensions as 1; false when they would be large or are no numbers.
bool feeds(const nnq::Graph& graph, std::map<std::string, nnq::Tensor>& out) {
  for (const nnq::GraphInput& input : graph.inputs) {
    nnq::Shape shape;
    for (const nnq::Dim& dim : input.type.shape) shape.push_back(dim.known() ? dim.value : 1);
    const auto count = nnq::checked_count(shape);
    if (!count || *count > 4096 || input.type.dtype == nnq::DType::string) return false;
    out[input.name] = nnq::Tensor(input.type.dtype, shape);
  }
  return true;
}

/// Whether every value is known to be small, so that running takes no time.
bool small(const nnq::Graph& graph) {
  const auto types = nnq::infer_types(graph);
  for (const nnq::Node& node : graph.nodes) {
    for (const std::string& output : node.outputs) {
      const auto it = types.find(output);
      if (output.empty()) continue;
      if (it == types.end() || !it->second.ranked) return false;
      std::int64_t count = 1;
      for (const nnq::Dim& dim : it->second.shape) {
        const std::int64_t d = dim.known() ? dim.value : 1;
        if (d > 4096 || count * d > 4096) return false;
        count *= d;
      }
    }
  }
  return graph.nodes.size() < 100;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const nnq::Graph graph = nnq::import_onnx_bytes(std::as_bytes(std::span(data, size)), "fuzz.onnx");
    nnq::to_text(graph);
    std::map<std::string, nnq::Tensor> inputs;
    if (small(graph) && feeds(graph, inputs)) {
      try {
        nnq::interpret(graph, inputs);
      } catch (const nnq::Error&) {  // shapes that only turn out wrong when the network runs
      }
    }
    nnq::export_onnx_bytes(graph);
  } catch (const nnq::Error&) {
  }
  return 0;
}
