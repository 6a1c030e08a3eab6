// Reads one TOML table into an object by its key table.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "core/text.h"
#include "nnq/error.h"
#include "recipe/keys.h"
#include "recipe/source.h"

namespace nnq::recipe {

/// Throws the error for a value of the wrong type.
[[noreturn]] inline void wrong_type(const Source& source, const std::string& key, const toml::node& node,
                                    const std::string& wanted) {
  throw Error(fmt::format("{} must be {}, not {}", key, wanted, article_of(node.type())), source.at(node));
}

/// The node as a V, with the range of the key. Throws nnq::Error.
template <class V>
V read_value(const Source& source, const std::string& key, const toml::node& node, const Range& range) {
  const auto check = [&](double value) {
    if (!range.holds(value))
      throw Error(fmt::format("{} = {} is out of range", key, value), source.at(node), "allowed: " + range.text());
  };
  if constexpr (std::is_same_v<V, bool>) {
    if (!node.is_boolean()) wrong_type(source, key, node, "true or false");
    return node.as_boolean()->get();
  } else if constexpr (std::is_same_v<V, std::string>) {
    if (!node.is_string()) wrong_type(source, key, node, "a string");
    return node.as_string()->get();
  } else if constexpr (std::is_integral_v<V>) {
    if (!node.is_integer()) wrong_type(source, key, node, "an integer");
    const std::int64_t value = node.as_integer()->get();
    check(static_cast<double>(value));
    return static_cast<V>(value);
  } else if constexpr (std::is_floating_point_v<V>) {
    if (!node.is_number()) wrong_type(source, key, node, "a number");
    const double value =
        node.is_integer() ? static_cast<double>(node.as_integer()->get()) : node.as_floating_point()->get();
    check(value);
    if (!std::isfinite(static_cast<V>(value))) throw Error(key + " must be finite", source.at(node));
    // The check holds for what the field keeps: tiny values must not round to an excluded 0.
    check(static_cast<double>(static_cast<V>(value)));
    return static_cast<V>(value);
  } else if constexpr (std::is_same_v<V, std::optional<double>>) {
    return read_value<double>(source, key, node, range);
  } else {
    if (!node.is_array()) wrong_type(source, key, node, "a list");
    V values;
    for (const toml::node& element : *node.as_array())
      values.push_back(read_value<typename V::value_type>(source, "each value of " + key, element, range));
    return values;
  }
}

template <class T>
void read_key(const Source& source, const Key<T>& key, const toml::node& node, T& object) {
  std::visit(
      [&](auto field) {
        using V = std::remove_reference_t<std::invoke_result_t<decltype(field), T&>>;
        field(object) = read_value<V>(source, key.name, node, key.range);
      },
      key.field);
  if (key.choices.empty()) return;
  const std::string value = *node.value<std::string>();
  if (std::find(key.choices.begin(), key.choices.end(), value) == key.choices.end()) {
    std::string known;
    for (const std::string& choice : key.choices) known += (known.empty() ? "" : ", ") + choice;
    const std::string near = nearest(value, key.choices);
    throw Error(fmt::format("{} = \"{}\" is not known", key.name, value), source.at(node),
                (near.empty() ? "" : "did you mean '" + near + "'? ") + "allowed: " + known);
  }
}

/// Reads every key of `table` except those named in `others`, which the caller reads. Throws nnq::Error for unknown
/// keys; `what` says whose they are ("a train stage").
template <class T>
void read_keys(const Source& source, const toml::table& table, const std::vector<Key<T>>& keys, const std::string& what,
               const std::vector<std::string>& others, T& object) {
  for (const auto& [name, node] : table) {
    const std::string word(name.str());
    if (std::find(others.begin(), others.end(), word) != others.end()) continue;
    const Key<T>* key = find_key(keys, word);
    if (key == nullptr) {
      std::vector<std::string> known = names_of(keys);
      known.insert(known.end(), others.begin(), others.end());
      const std::string where = source.said.contains(&node) ? source.at(node) : source.at(name.source());
      throw Error(fmt::format("'{}' is not a key of {}", word, what), where, suggestion(word, known));
    }
    read_key(source, *key, node, object);
  }
}

}  // namespace nnq::recipe
