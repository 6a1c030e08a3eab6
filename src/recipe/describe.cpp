// Stage kinds, their defaults, and the key table as rows of documentation.
#include <fmt/format.h>

#include <type_traits>

#include "recipe/keys.h"

namespace nnq::recipe {
namespace {

template <class T>
std::string type_text(const Key<T>& key) {
  return std::visit(
      [](auto field) -> std::string {
        using V = std::remove_reference_t<std::invoke_result_t<decltype(field), T&>>;
        if constexpr (std::is_same_v<V, bool>) return "true or false";
        if constexpr (std::is_same_v<V, std::string>) return "string";
        if constexpr (std::is_same_v<V, double> || std::is_same_v<V, std::optional<double>>) return "number";
        if constexpr (std::is_same_v<V, std::vector<std::int64_t>>) return "list of integers";
        if constexpr (std::is_same_v<V, std::vector<float>>) return "list of numbers";
        return "integer";
      },
      key.field);
}

template <class T>
void describe(std::vector<KeyDescription>& rows, const std::string& section, const std::vector<Key<T>>& keys,
              T defaults) {
  for (const Key<T>& key : keys) {
    std::string range = key.range.text();
    for (const std::string& choice : key.choices) range += (range.empty() ? "" : ", ") + choice;
    std::string value = key.default_note != nullptr ? key.default_note : value_text(key, defaults).value_or("none");
    rows.push_back({section, key.name, type_text(key), std::move(value), std::move(range), key.description});
  }
}

}  // namespace

const char* name_of(StageKind kind) {
  switch (kind) {
#define NNQ_ROW(kind, word) \
  case StageKind::kind:     \
    return word;
    NNQ_STAGE_KINDS(NNQ_ROW)
#undef NNQ_ROW
  }
  return "?";
}

std::vector<StageKind> all_stage_kinds() {
#define NNQ_ROW(kind, word) StageKind::kind,
  return {NNQ_STAGE_KINDS(NNQ_ROW)};
#undef NNQ_ROW
}

Stage default_stage(StageKind kind) {
  Stage stage;
  stage.kind = kind;
  if (kind == StageKind::calibrate) stage.images = 1024;
  if (kind == StageKind::correct_biases) stage.images = 512;
  if (kind == StageKind::reestimate_batch_norm) stage.batches = 50;
  if (kind == StageKind::redistribute_points) stage.batches = 5;
  return stage;
}

std::vector<KeyDescription> describe_keys() {
  std::vector<KeyDescription> rows;
  describe(rows, "recipe", recipe_keys(), Recipe{});
  describe(rows, "model", model_keys(), Recipe{});
  describe(rows, "input", input_keys(), Recipe{});
  describe(rows, "require", require_keys(), Recipe{});
  for (const StageKind kind : all_stage_kinds()) describe(rows, name_of(kind), stage_keys(kind), default_stage(kind));
  describe(rows, "rule", rule_keys(), LayerRule{});
  for (const RoleKey& role : role_keys())
    rows.push_back({"rule", role.name, "quantizer or \"float\"", "\"float\"", "", role.description});
  describe(rows, "quantizer", quantizer_keys(), QuantizerSpec{});
  return rows;
}

}  // namespace nnq::recipe
