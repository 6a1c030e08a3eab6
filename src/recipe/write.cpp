// Recipes as canonical TOML: every key, in the table's order.
#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "recipe/keys.h"

namespace nnq::recipe {
namespace {

/// Digits that TOML reads as a float, never as an integer.
std::string as_float(std::string digits) {
  if (digits.find_first_of(".en") == std::string::npos) digits += ".0";
  return digits;
}

template <class T>
std::string list_text(const std::vector<T>& values) {
  std::string out = "[";
  for (const T& value : values) out += (out.size() > 1 ? ", " : "") + toml_text(value);
  return out + "]";
}

template <class T>
void write_keys(std::string& out, const std::vector<Key<T>>& keys, T object) {
  for (const Key<T>& key : keys) {
    if (const auto text = value_text(key, object)) out += fmt::format("{} = {}\n", key.name, *text);
  }
}

std::string attribute_text(const Attribute& attribute) {
  return std::visit(
      [](const auto& value) -> std::string {
        using V = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<V, Tensor>) {
          return "\"\"";  // recipes cannot say tensors, so no recipe holds one
        } else if constexpr (requires { value.begin(); } && !std::is_same_v<V, std::string>) {
          return list_text(value);
        } else {
          return toml_text(value);
        }
      },
      attribute);
}

std::string spec_text(QuantizerSpec spec) {
  if (spec.method.empty()) return "\"float\"";
  std::string out = "{ ";
  for (const Key<QuantizerSpec>& key : quantizer_keys())
    out += fmt::format("{}{} = {}", out.size() > 2 ? ", " : "", key.name, value_text(key, spec).value_or("\"\""));
  for (const auto& [name, value] : spec.parameters) out += ", " + toml_key(name) + " = " + attribute_text(value);
  return out + " }";
}

void write_stage(std::string& out, const Stage& stage) {
  out += fmt::format("\n[[stage]]\nkind = \"{}\"\n", name_of(stage.kind));
  write_keys(out, stage_keys(stage.kind), stage);
  if (stage.kind != StageKind::quantize) return;
  for (const LayerRule& rule : stage.placement.rules) {
    out += "\n[[stage.rule]]\n";
    write_keys(out, rule_keys(), rule);
    for (const RoleKey& role : role_keys()) out += fmt::format("{} = {}\n", role.name, spec_text(rule.*role.spec));
  }
}

}  // namespace

std::string toml_text(bool value) { return value ? "true" : "false"; }
std::string toml_text(std::int64_t value) { return fmt::format("{}", value); }
std::string toml_text(double value) { return as_float(fmt::format("{}", value)); }
std::string toml_text(float value) { return as_float(fmt::format("{}", value)); }

std::string toml_text(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_key(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? key : toml_text(key);
}

template <class T>
std::optional<std::string> value_text(const Key<T>& key, T& object) {
  return std::visit(
      [&](auto field) -> std::optional<std::string> {
        const auto& value = field(object);
        using V = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<V, std::optional<double>>) {
          return value ? std::optional(toml_text(*value)) : std::nullopt;
        } else if constexpr (std::is_same_v<V, int> || std::is_same_v<V, std::uint64_t>) {
          return toml_text(static_cast<std::int64_t>(value));
        } else if constexpr (std::is_same_v<V, std::vector<std::int64_t>> || std::is_same_v<V, std::vector<float>>) {
          return list_text(value);
        } else {
          return toml_text(value);
        }
      },
      key.field);
}

template std::optional<std::string> value_text(const Key<Recipe>&, Recipe&);
template std::optional<std::string> value_text(const Key<Stage>&, Stage&);
template std::optional<std::string> value_text(const Key<LayerRule>&, LayerRule&);
template std::optional<std::string> value_text(const Key<QuantizerSpec>&, QuantizerSpec&);

std::string to_toml(const Recipe& recipe) {
  std::string out;
  write_keys(out, recipe_keys(), recipe);
  out += "\n[model]\n";
  if (recipe.file.empty()) {
    out += fmt::format("zoo = {}\n", toml_text(recipe.zoo));
    if (!recipe.parameters.empty()) out += "\n[model.parameters]\n";
    for (const auto& [name, value] : recipe.parameters)
      out += fmt::format("{} = {}\n", toml_key(name), toml_text(value));
  } else {
    out += fmt::format("file = {}\n", toml_text(recipe.file));
  }
  out += "\n[input]\n";
  write_keys(out, input_keys(), recipe);
  if (recipe.min_value || recipe.max_drop) {
    out += "\n[require]\n";
    write_keys(out, require_keys(), recipe);
  }
  for (const Stage& stage : recipe.stages) write_stage(out, stage);
  return out;
}

std::string recipe_hash(const Recipe& recipe) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : to_toml(recipe)) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace nnq::recipe
