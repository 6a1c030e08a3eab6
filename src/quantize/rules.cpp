#include "quantize/rules.h"

#include <set>

#include "core/text.h"
#include "nnq/error.h"
#include "quantize/layers.h"

namespace nnq::quantize {
namespace {

void check(const LayerRule& rule, const QuantizerSpec& spec, const char* role) {
  if (spec.method.empty()) return;
  NNQ_CHECK(spec.bits >= 1 && spec.bits <= 8,
            std::string("bits of ") + role + " must be 1 to 8, got " + std::to_string(spec.bits),
            "layer rule '" + rule.glob + "'");
}

bool flag(const QuantizerSpec& spec, const char* name, bool fallback) {
  const auto it = spec.parameters.find(name);
  if (it == spec.parameters.end()) return fallback;
  const std::int64_t* value = std::get_if<std::int64_t>(&it->second);
  NNQ_CHECK(value != nullptr && (*value == 0 || *value == 1), std::string(name) + " is 0 or 1",
            "method '" + spec.method + "'");
  return *value == 1;
}

}  // namespace

std::map<std::string, LayerRule> resolve_rules(const Graph& graph, const std::vector<LayerRule>& rules) {
  std::vector<std::string> names;
  for (const std::size_t layer : layers_of(graph)) names.push_back(graph.nodes[layer].name);
  std::map<std::string, LayerRule> resolved;
  for (const LayerRule& rule : rules) {
    check(rule, rule.weights, "weights");
    check(rule, rule.activations, "activations");
    check(rule, rule.gradients, "gradients");
    NNQ_CHECK(!names.empty(), "the graph has no layer with weights to quantize", "graph '" + graph.name + "'");
    if (rule.glob == "first" || rule.glob == "last") {
      resolved[rule.glob == "first" ? names.front() : names.back()] = rule;
      continue;
    }
    bool matched = false;
    for (const std::string& name : names) {
      if (!glob_match(rule.glob, name)) continue;
      resolved[name] = rule;
      matched = true;
    }
    if (!matched)
      throw Error("no layer with weights matches '" + rule.glob + "'", "layer rule", suggestion(rule.glob, names));
  }
  return resolved;
}

const QuantizerSpec* activation_rule(const std::vector<LayerRule>& rules, const std::string& node) {
  const QuantizerSpec* found = nullptr;
  for (const LayerRule& rule : rules)
    if (glob_match(rule.glob, node)) found = rule.activations.method.empty() ? nullptr : &rule.activations;
  return found;
}

bool replaces_activation(const QuantizerSpec& spec) { return flag(spec, "replaces_activation", spec.method == "bnn"); }

bool shift_batch_norm(const LayerRule& rule) {
  return (!rule.weights.method.empty() && flag(rule.weights, "shift_batch_norm", false)) ||
         (!rule.activations.method.empty() && flag(rule.activations, "shift_batch_norm", false));
}

bool is_placement_parameter(const std::string& name) {
  static const std::set<std::string> names{"replaces_activation", "shift_batch_norm"};
  return names.contains(name);
}

}  // namespace nnq::quantize
