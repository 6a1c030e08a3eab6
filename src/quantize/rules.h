// Which layer gets what: placement rules resolved to one rule a layer.
#pragma once

#include <map>
#include <string>

#include "nnq/quantize.h"

namespace nnq::quantize {

/// The last rule that matches each layer, by layer name; layers no rule matches are absent. Throws nnq::Error when a
/// rule matches no layer (naming the nearest layer) or asks for bits outside 1..8.
std::map<std::string, LayerRule> resolve_rules(const Graph& graph, const std::vector<LayerRule>& rules);

/// The activation spec of the last rule whose glob matches this node name (for residual adds); nullptr without one.
const QuantizerSpec* activation_rule(const std::vector<LayerRule>& rules, const std::string& node);

/// What placement has to know about a method beyond its node: set by the parameter of the same name, or here for the
/// methods that always need it.
/// True when the activation quantizer is the layer's nonlinearity itself (sign), so that a Relu or Clip before it goes.
bool replaces_activation(const QuantizerSpec& spec);
/// True when BatchNormalization behind the layer becomes ShiftBatchNormalization (BNN).
bool shift_batch_norm(const LayerRule& rule);

/// True for parameters that placement itself consumes; they are not written on the Quantizer node.
bool is_placement_parameter(const std::string& name);

}  // namespace nnq::quantize
