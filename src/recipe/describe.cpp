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
    case StageKind::train:
      return "train";
    case StageKind::calibrate:
      return "calibrate";
    case StageKind::quantize:
      return "quantize";
    case StageKind::set_bits:
      return "set_bits";
    case StageKind::factorize:
      return "factorize";
    case StageKind::mine_interactions:
      return "mine_interactions";
    case StageKind::equalize:
      return "equalize";
    case StageKind::correct_biases:
      return "correct_biases";
    case StageKind::reestimate_batch_norm:
      return "reestimate_batch_norm";
    case StageKind::redistribute_points:
      return "redistribute_points";
    case StageKind::evaluate:
      return "evaluate";
    case StageKind::export_model:
      return "export";
  }
  return "?";
}

std::vector<StageKind> all_stage_kinds() {
  using enum StageKind;
  return {train,
          calibrate,
          quantize,
          set_bits,
          factorize,
          mine_interactions,
          equalize,
          correct_biases,
          reestimate_batch_norm,
          redistribute_points,
          evaluate,
          export_model};
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
