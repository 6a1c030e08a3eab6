// Networks by name: builders that return a float Graph with freshly initialised weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq {

struct ZooParameter {
  std::string name, default_value, range, description;
};

struct ZooEntry {
  std::string name;         // "resnet20"
  std::string description;  // one line, with the source
  std::vector<ZooParameter> parameters;
};

/// Every network, sorted by name.
std::vector<ZooEntry> all_zoo();

/// Builds a network. Free batch dimension "N"; deterministic in (name, parameters, seed). Throws nnq::Error for an
/// unknown name or parameter (naming the nearest) and for values out of range.
Graph build_zoo(const std::string& name, const std::map<std::string, std::string>& parameters = {},
                std::uint64_t seed = 1);

/// Elements of all float initializers that train (running statistics excluded).
std::int64_t trainable_parameters(const Graph& graph);

}  // namespace nnq
