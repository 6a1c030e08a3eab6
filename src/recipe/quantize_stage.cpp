// The stage that places quantizers, and the same on trial before anything else runs.
#include <fmt/format.h>

#include <optional>

#include "nnq/error.h"
#include "nnq/passes.h"
#include "quantize/rules.h"
#include "recipe/runner.h"
#include "train/quantizer.h"

namespace nnq::recipe {
namespace {

/// Placement reads some parameters of a method; those that the recipe leaves out have the method's defaults.
void add_placement_defaults(QuantizerSpec& spec) {
  if (spec.method.empty()) return;
  for (const MethodParameter& parameter : train::find_method(spec.method).info.parameters)
    if (quantize::is_placement_parameter(parameter.name))
      spec.parameters.try_emplace(parameter.name, std::int64_t{parameter.default_value == "1" ? 1 : 0});
}

Graph placed(Graph graph, const Stage& stage) {
  PlacementOptions placement = stage.placement;
  for (LayerRule& rule : placement.rules)
    for (QuantizerSpec* spec : {&rule.weights, &rule.activations, &rule.gradients}) add_placement_defaults(*spec);
  return place_quantizers(std::move(graph), placement);
}

}  // namespace

void quantize_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(!state.quantized, "the network is quantized already", "quantize",
            "one quantize stage holds all rules; later rules win");
  state.reference = state.graph;
  if (stage.fold_batch_norm) state.graph = fold_batch_norm(std::move(state.graph));
  // Bias correction compares with the float network in the same form.
  if (stage.fold_batch_norm) state.reference = state.graph;
  state.graph = placed(std::move(state.graph), stage);
  state.quantized = true;
}

void check_placement(const Graph& graph, const std::vector<Stage>& stages) {
  std::optional<Graph> quantized;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Stage& stage = stages[i];
    if (stage.kind == StageKind::factorize) return;  // other layers from here on
    try {
      if (stage.kind == StageKind::quantize)
        quantized = placed(stage.fold_batch_norm ? fold_batch_norm(graph) : graph, stage);
      if (stage.kind == StageKind::set_bits) {
        NNQ_CHECK(quantized.has_value(), "there are no quantizers to set the bits of", "set_bits",
                  "put a quantize stage before it");
        quantized = train::change_bits_ahead(std::move(*quantized), stage.bits);
      }
    } catch (const Error& error) {
      throw error.inside(fmt::format("stage {} ({})", i + 1, name_of(stage.kind)));
    }
  }
}

}  // namespace nnq::recipe
