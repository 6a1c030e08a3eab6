// Which initializers of a graph training changes.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nnq/graph.h"

namespace nnq::train {

enum class VariableKind { constant, buffer, weight, undecayed };  // undecayed: bias, normalisation

/// Readers of each value: (node index, input index), in node order.
using Readers = std::map<std::string, std::vector<std::pair<std::size_t, std::size_t>>>;
Readers readers_of(const Graph& graph);

/// What the float initializer `name` is to its readers. Looks through weight quantizers and re-shaping nodes.
VariableKind kind_of(const Graph& graph, const Readers& readers, const std::string& name);

/// Axis of the output channels of a weight, from the operator that reads it (possibly behind a quantizer).
std::int64_t channel_axis_of(const Graph& graph, const Readers& readers, const std::string& weight, std::int64_t rank);

}  // namespace nnq::train
