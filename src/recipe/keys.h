// The one table of the recipe language: parser, overrides, writer, messages and docs/recipes.md all come from it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "recipe/recipe.h"

namespace nnq::recipe {

/// Allowed numbers: low .. high, the ends included unless `above` / `below`.
struct Range {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool above = false, below = false;

  bool holds(double value) const {
    return (above ? value > low : value >= low) && (below ? value < high : value <= high);
  }
  std::string text() const;  // "1 to 512", "above 0"
};

/// Where in a T the value of a key lives; the alternative is the key's type.
template <class T>
using Field = std::variant<std::int64_t& (*)(T&), std::uint64_t& (*)(T&), int& (*)(T&), double& (*)(T&), bool& (*)(T&),
                           std::string& (*)(T&), std::vector<std::int64_t>& (*)(T&), std::vector<float>& (*)(T&),
                           std::optional<double>& (*)(T&)>;

template <class T>
struct Key {
  const char* name;
  Field<T> field;
  Range range;
  std::vector<std::string> choices;  // strings: the allowed words; empty: any
  const char* description;
  const char* default_note = nullptr;  // instead of the default object's value

  bool is_text() const { return std::holds_alternative<std::string& (*)(T&)>(field); }
};

const std::vector<Key<Recipe>>& recipe_keys();   // top level
const std::vector<Key<Recipe>>& model_keys();    // [model], without the free table `parameters`
const std::vector<Key<Recipe>>& input_keys();    // [input]
const std::vector<Key<Recipe>>& require_keys();  // [require]
const std::vector<Key<Stage>>& stage_keys(StageKind kind);
const std::vector<Key<LayerRule>>& rule_keys();           // [[stage.rule]], without its three roles
const std::vector<Key<QuantizerSpec>>& quantizer_keys();  // weights = {...}; other keys are the method's parameters

/// One role of a rule: weights, activations, gradients.
struct RoleKey {
  const char* name;
  QuantizerSpec LayerRule::*spec;
  const char* description;
};
const std::vector<RoleKey>& role_keys();

template <class T>
std::vector<std::string> names_of(const std::vector<Key<T>>& keys) {
  std::vector<std::string> names;
  for (const Key<T>& key : keys) names.emplace_back(key.name);
  return names;
}

template <class T>
const Key<T>* find_key(const std::vector<Key<T>>& keys, std::string_view name) {
  for (const Key<T>& key : keys) {
    if (name == key.name) return &key;
  }
  return nullptr;
}

/// A value as TOML text; doubles in the fewest digits that read back the same.
std::string toml_text(bool value);
std::string toml_text(std::int64_t value);
std::string toml_text(double value);
std::string toml_text(float value);
std::string toml_text(const std::string& value);
/// A key as TOML text: bare where it can be.
std::string toml_key(const std::string& key);

/// The value of a key in `object` as TOML text; nothing for an unset optional.
template <class T>
std::optional<std::string> value_text(const Key<T>& key, T& object);

}  // namespace nnq::recipe
