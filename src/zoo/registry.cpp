#include "zoo/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "core/text.h"
#include "nnq/error.h"

#define NNQ_ROW(id)                     \
  namespace nnq::zoo {                  \
  std::vector<Network> register_##id(); \
  }
#include "nnq_registry/zoo.inc"
#undef NNQ_ROW

namespace nnq {
namespace zoo {
namespace {

const std::vector<Network>& networks() {
  static const std::vector<Network> all = [] {
    std::vector<Network> list;
    const auto append = [&](std::vector<Network> family) {
      std::move(family.begin(), family.end(), std::back_inserter(list));
    };
#define NNQ_ROW(id) append(register_##id());
#include "nnq_registry/zoo.inc"
#undef NNQ_ROW
    std::sort(list.begin(), list.end(), [](const Network& a, const Network& b) { return a.entry.name < b.entry.name; });
    return list;
  }();
  return all;
}

[[noreturn]] void bad(const std::string& network, const std::string& key, const std::string& value,
                      const std::string& expected) {
  throw Error("parameter " + key + ": expected " + expected + ", got '" + value + "'", "network " + network);
}

}  // namespace

std::int64_t Values::integer(const std::string& key, std::int64_t low, std::int64_t high) const {
  const std::string& text = values_.at(key);
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < low || value > high)
    bad(network_, key, text, fmt::format("a whole number {}..{}", low, high));
  return value;
}

double Values::number(const std::string& key, double low, double high) const {
  const std::string& text = values_.at(key);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= low && value <= high))
    bad(network_, key, text, fmt::format("a number {}..{}", low, high));
  return value;
}

std::string Values::choice(const std::string& key, const std::vector<std::string>& allowed) const {
  const std::string& text = values_.at(key);
  if (std::find(allowed.begin(), allowed.end(), text) == allowed.end())
    bad(network_, key, text, fmt::format("one of {}", fmt::join(allowed, ", ")));
  return text;
}

std::vector<std::int64_t> Values::integers(const std::string& key, std::int64_t low, std::int64_t high) const {
  const std::string& text = values_.at(key);
  std::vector<std::int64_t> list;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    list.push_back(Values(network_, {{key, text.substr(begin, end - begin)}}).integer(key, low, high));
    begin = end + 1;
  }
  return list;
}

}  // namespace zoo

std::vector<ZooEntry> all_zoo() {
  std::vector<ZooEntry> entries;
  for (const zoo::Network& network : zoo::networks()) entries.push_back(network.entry);
  return entries;
}

Graph build_zoo(const std::string& name, const std::map<std::string, std::string>& parameters, std::uint64_t seed) {
  std::vector<std::string> names;
  for (const zoo::Network& network : zoo::networks()) {
    names.push_back(network.entry.name);
    if (network.entry.name != name) continue;
    std::map<std::string, std::string> values;
    std::vector<std::string> known;
    for (const ZooParameter& p : network.entry.parameters) {
      values[p.name] = p.default_value;
      known.push_back(p.name);
    }
    for (const auto& [key, value] : parameters) {
      if (!values.contains(key))
        throw Error("there is no parameter '" + key + "'", "network " + name, suggestion(key, known));
      values[key] = value;
    }
    Graph graph = network.build(zoo::Values(name, std::move(values)), seed);
    graph.name = name;
    graph.metadata["nnq.model"] = name;
    return graph;
  }
  throw Error("there is no network '" + name + "'", {}, suggestion(name, names));
}

std::int64_t trainable_parameters(const Graph& graph) {
  std::set<std::string> statistics;
  for (const Node& node : graph.nodes) {
    if (node.is("BatchNormalization") && node.inputs.size() == 5) statistics.insert({node.inputs[3], node.inputs[4]});
  }
  std::int64_t total = 0;
  for (const auto& [name, tensor] : graph.initializers) {
    // A tensor without axes is a bound of a Clip or the like.
    if (tensor.dtype() == DType::f32 && tensor.rank() > 0 && !statistics.contains(name)) total += tensor.count();
  }
  return total;
}

}  // namespace nnq
