// "--set KEY=VALUE": changes the TOML tree before it is read, so that overrides are checked like the file.
#include <algorithm>
#include <charconv>
#include <deque>

#include "core/text.h"
#include "nnq/error.h"
#include "recipe/keys.h"
#include "recipe/source.h"

namespace nnq::recipe {
namespace {

using Path = std::deque<std::string>;

struct Override {
  std::string text, raw;  // "train.epochs=3", "3"
  Path path;              // segments not yet walked
  toml::table parsed;     // {v = value}; empty when the value is not TOML: then it is a plain word
  Source* source;

  [[noreturn]] void fail(const std::string& message, const std::string& hint = {}) const {
    throw Error(message, "--set " + text, hint);
  }
  std::string take() {
    std::string front = path.front();
    path.pop_front();
    return front;
  }
  /// A number in front is an index; -1: none, all are meant.
  int take_index() {
    if (path.empty()) return -1;
    int index = -1;
    const std::string& front = path.front();
    const auto [end, error] = std::from_chars(front.data(), front.data() + front.size(), index);
    if (error != std::errc() || end != front.data() + front.size() || index < 0) return -1;
    path.pop_front();
    return index;
  }
  /// Sets `key`, the last segment of the path.
  void set(toml::table& table, const std::string& key, bool text_wanted) const {
    if (!path.empty()) fail(fmt::format("'{}' has no keys below it", key));
    const toml::node* node = parsed.get("v");
    const toml::value<std::string> word(raw);
    if (node == nullptr || (text_wanted && !node->is_string())) node = &word;
    node->visit([&](const auto& value) { table.insert_or_assign(key, value); });
    source->said[table.get(key)] = text;
  }
};

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

Override split(const std::string& text, Source& source) {
  Override wanted{.text = text, .raw = {}, .path = {}, .parsed = {}, .source = &source};
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) wanted.fail("is not KEY=VALUE", "e.g. --set train.epochs=3");
  wanted.raw = trimmed(std::string_view(text).substr(equals + 1));
  const std::string path = trimmed(std::string_view(text).substr(0, equals));
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    wanted.path.push_back(trimmed(std::string_view(path).substr(begin, end - begin)));
    if (wanted.path.back().empty()) wanted.fail("has an empty key", "e.g. --set train.epochs=3");
    begin = end + 1;
  }
  if (wanted.path.size() > 8) wanted.fail("no key lies that deep");
  try {
    wanted.parsed = parse_toml("v = " + wanted.raw, "--set");
    if (wanted.parsed.size() != 1) wanted.parsed = {};
  } catch (const Error&) {
    wanted.parsed = {};  // a plain word: --set data=cifar10 needs no quotes
  }
  return wanted;
}

template <class T>
void set_key(Override& wanted, toml::table& table, const std::vector<Key<T>>& keys, const std::string& what,
             const std::vector<std::string>& others = {}) {
  std::vector<std::string> known = names_of(keys);
  known.insert(known.end(), others.begin(), others.end());
  if (wanted.path.empty()) wanted.fail(fmt::format("names no key of {}", what), suggestion("", known));
  const std::string word = wanted.take();
  const Key<T>* key = find_key(keys, word);
  if (key == nullptr) wanted.fail(fmt::format("'{}' is not a key of {}", word, what), suggestion(word, known));
  wanted.set(table, word, key->is_text());
}

toml::table& subtable(const Override& wanted, toml::table& table, const std::string& name) {
  if (!table.contains(name)) table.insert(name, toml::table{});
  toml::table* found = table.get(name)->as_table();
  if (found == nullptr) wanted.fail(fmt::format("'{}' is not a table in the recipe", name));
  return *found;
}

void set_in_model(Override& wanted, toml::table& root) {
  toml::table& model = subtable(wanted, root, "model");
  if (wanted.path.size() == 2 && wanted.path.front() == "parameters") {
    wanted.take();
    toml::table& parameters = subtable(wanted, model, "parameters");
    wanted.set(parameters, wanted.take(), false);
    return;
  }
  // Another model takes the place of the recipe's.
  if (!wanted.path.empty() && wanted.path.front() == "file") model.erase("zoo"), model.erase("parameters");
  if (!wanted.path.empty() && wanted.path.front() == "zoo") model.erase("file");
  set_key(wanted, model, model_keys(), "[model]", {"parameters"});
}

/// The tables of an array that the path means: one by its index, or all. `word` is how the user called it.
std::vector<toml::table*> chosen(Override& wanted, std::vector<toml::table*> all, const std::string& word) {
  if (all.empty()) wanted.fail(fmt::format("the recipe has no {}", word));
  const int index = wanted.take_index();
  if (index < 0) return all;
  if (static_cast<std::size_t>(index) >= all.size())
    wanted.fail(fmt::format("the recipe has {} {}, counted from 0", all.size(), word));
  return {all[static_cast<std::size_t>(index)]};
}

std::vector<toml::table*> tables_in(toml::table& parent, const char* name) {
  std::vector<toml::table*> tables;
  if (toml::array* list = parent[name].as_array()) {
    for (toml::node& node : *list) {
      if (toml::table* table = node.as_table()) tables.push_back(table);
    }
  }
  return tables;
}

void set_in_rule(Override wanted, toml::table& rule) {
  if (wanted.path.empty()) wanted.fail("names no key of a rule", "e.g. quantize.rule.0.weights.bits=4");
  for (const RoleKey& role : role_keys()) {
    if (wanted.path.front() != role.name) continue;
    wanted.take();
    if (wanted.path.empty()) return wanted.set(rule, role.name, false);
    toml::table* spec = rule[role.name].as_table();
    if (spec == nullptr)
      wanted.fail(fmt::format("this rule has no quantizer for {}", role.name),
                  fmt::format("e.g. --set '...{}={{ method = \"uniform\", bits = 8 }}'", role.name));
    const std::string word = wanted.take();
    const Key<QuantizerSpec>* key = find_key(quantizer_keys(), word);
    return wanted.set(*spec, word, key != nullptr && key->is_text());
  }
  std::vector<std::string> roles;
  for (const RoleKey& role : role_keys()) roles.emplace_back(role.name);
  set_key(wanted, rule, rule_keys(), "a rule", roles);
}

void set_in_stages(Override& wanted, toml::table& root, StageKind kind) {
  std::vector<toml::table*> stages;
  for (toml::table* stage : tables_in(root, "stage")) {
    if ((*stage)["kind"].value_or(std::string()) == name_of(kind)) stages.push_back(stage);
  }
  for (toml::table* stage : chosen(wanted, stages, fmt::format("{} stages", name_of(kind)))) {
    Override mine = wanted;
    if (kind == StageKind::quantize && !mine.path.empty() && mine.path.front() == "rule") {
      mine.take();
      for (toml::table* rule : chosen(mine, tables_in(*stage, "rule"), "rules")) set_in_rule(mine, *rule);
    } else {
      set_key(mine, *stage, stage_keys(kind), fmt::format("a stage of kind {}", name_of(kind)));
    }
  }
}

}  // namespace

void apply_override(toml::table& root, const std::string& text, Source& source) {
  Override wanted = split(text, source);
  if (find_key(recipe_keys(), wanted.path.front()) != nullptr) return set_key(wanted, root, recipe_keys(), "a recipe");
  std::vector<std::string> known = names_of(recipe_keys());
  const std::string word = wanted.take();
  if (word == "model") return set_in_model(wanted, root);
  if (word == "input") return set_key(wanted, subtable(wanted, root, "input"), input_keys(), "[input]");
  if (word == "require") return set_key(wanted, subtable(wanted, root, "require"), require_keys(), "[require]");
  for (const StageKind kind : all_stage_kinds()) {
    if (word == name_of(kind)) return set_in_stages(wanted, root, kind);
    known.emplace_back(name_of(kind));
  }
  known.insert(known.end(), {"model", "input", "require"});
  wanted.fail(fmt::format("'{}' is neither a key of a recipe nor a kind of stage", word), suggestion(word, known));
}

}  // namespace nnq::recipe
