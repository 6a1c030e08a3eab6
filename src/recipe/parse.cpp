
#include "core/atomic_file.h"
#include "nnq/text.h"
#include "recipe/check_quantizer.h"
#include "recipe/read_keys.h"
#include "recipe/recipe.h"

namespace nnq::recipe {
namespace {

/// Recipes are a page long; the limits keep hostile text from exhausting stack or memory.
constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::ptrdiff_t kMostDots = 20000;

const toml::table& table_of(const Source& source, const std::string& key, const toml::node& node) {
  if (!node.is_table()) wrong_type(source, key, node, "a table");
  return *node.as_table();
}

/// A parameter of a zoo network: kept as text, the network's builder reads it.
std::string parameter_text(const Source& source, const std::string& key, const toml::node& node) {
  if (node.is_string()) return node.as_string()->get();
  if (node.is_integer()) return fmt::format("{}", node.as_integer()->get());
  if (node.is_floating_point()) return fmt::format("{}", node.as_floating_point()->get());
  if (node.is_boolean()) return node.as_boolean()->get() ? "true" : "false";
  wrong_type(source, key, node, "a string, a number, true or false");
}

/// A parameter of a method, as the attribute of the Quantizer node that it becomes.
Attribute method_parameter(const Source& source, const std::string& key, const toml::node& node) {
  if (node.is_string()) return node.as_string()->get();
  if (node.is_boolean()) return std::int64_t{node.as_boolean()->get() ? 1 : 0};
  if (node.is_integer()) return node.as_integer()->get();
  if (node.is_floating_point()) return read_value<float>(source, key, node, {});
  if (node.is_array()) {
    const bool floats = std::any_of(node.as_array()->begin(), node.as_array()->end(),
                                    [](const toml::node& element) { return element.is_floating_point(); });
    if (floats) return read_value<std::vector<float>>(source, key, node, {});
    return read_value<std::vector<std::int64_t>>(source, key, node, {});
  }
  wrong_type(source, key, node, "a string, a number, true, false or a list of numbers");
}

QuantizerSpec read_spec(const Source& source, const std::string& role, const toml::node& node) {
  QuantizerSpec spec;
  if (node.is_string() && node.as_string()->get() == "float") return spec;
  if (!node.is_table()) wrong_type(source, role, node, "\"float\" or a table like { method = \"uniform\", bits = 8 }");
  for (const auto& [name, value] : *node.as_table()) {
    const std::string word(name.str());
    if (const Key<QuantizerSpec>* key = find_key(quantizer_keys(), word))
      read_key(source, *key, value, spec);
    else
      spec.parameters[word] = method_parameter(source, word, value);
  }
  if (spec.method.empty())
    throw Error(role + " needs a method", source.at(node), "see `nnq methods`; \"float\" leaves them as they are");
  if (const std::optional<QuantizerFault> fault = find_fault(spec, role)) {
    const toml::node* blamed = node.as_table()->get(fault->key);
    throw fault->error.inside(source.at(blamed != nullptr ? *blamed : node));
  }
  return spec;
}

LayerRule read_rule(const Source& source, const toml::node& node) {
  const toml::table& table = table_of(source, "rule", node);
  LayerRule rule;
  std::vector<std::string> roles;
  for (const RoleKey& role : role_keys()) roles.emplace_back(role.name);
  read_keys(source, table, rule_keys(), "a rule", roles, rule);
  if (rule.glob.empty()) throw Error("a rule needs layers", source.at(node), "layers = \"*\" means all");
  for (const RoleKey& role : role_keys()) {
    if (const toml::node* spec = table.get(role.name)) rule.*role.spec = read_spec(source, role.name, *spec);
  }
  return rule;
}

StageKind read_kind(const Source& source, const toml::table& table) {
  std::vector<std::string> names;
  for (const StageKind kind : all_stage_kinds()) names.emplace_back(name_of(kind));
  const toml::node* node = table.get("kind");
  if (node == nullptr) throw Error("a stage needs a kind", source.at(table), suggestion("", names));
  const auto word = read_value<std::string>(source, "kind", *node, {});
  for (const StageKind kind : all_stage_kinds()) {
    if (word == name_of(kind)) return kind;
  }
  throw Error(fmt::format("'{}' is not a kind of stage", word), source.at(*node), suggestion(word, names));
}

void read_rules(const Source& source, const toml::table& table, const toml::node& node, Stage& stage) {
  const toml::node* rules = table.get("rule");
  if (rules != nullptr && !rules->is_array()) wrong_type(source, "rule", *rules, "[[stage.rule]] tables");
  if (rules == nullptr || rules->as_array()->empty())
    throw Error("a quantize stage needs a rule", source.at(node), "add [[stage.rule]] with layers and weights");
  for (const toml::node& rule : *rules->as_array()) stage.placement.rules.push_back(read_rule(source, rule));
}

void check_train(const Stage& stage, const Recipe& recipe, const std::string& where) {
  const train::ScheduleOptions& schedule = stage.train.schedule;
  if (schedule.kind == "multistep" && schedule.milestones.empty())
    throw Error("schedule = \"multistep\" needs milestones", where, "e.g. milestones = [10, 15]");
  if (!std::is_sorted(schedule.milestones.begin(), schedule.milestones.end()))
    throw Error("milestones must ascend", where);
  if (schedule.kind == "exponential" && schedule.final_factor <= 0)
    throw Error("schedule = \"exponential\" needs a final_factor above 0", where, "e.g. final_factor = 0.01");
  if (!stage.train.distillation.match_layers.empty() && stage.teacher.empty())
    throw Error("match_layers needs a teacher", where, "e.g. teacher = \"float\"");
  if (recipe.validation == 0 && (schedule.kind == "plateau" || stage.train.early_stop > 0))
    throw Error("plateau and early_stop watch the validation set, but validation = 0", where);
}

Stage read_stage(const Source& source, const toml::node& node, const Recipe& recipe) {
  const toml::table& table = table_of(source, "stage", node);
  Stage stage = default_stage(read_kind(source, table));
  std::vector<std::string> others = {"kind"};
  if (stage.kind == StageKind::quantize) others.emplace_back("rule");
  read_keys(source, table, stage_keys(stage.kind), fmt::format("a stage of kind {}", name_of(stage.kind)), others,
            stage);
  if (stage.kind == StageKind::train) {
    check_train(stage, recipe, source.at(node));
    stage.train.seed = recipe.seed;
    stage.train.augmentation = recipe.augmentation;
  }
  if (stage.file.find('/') != std::string::npos) throw Error("file must be a name without folder", source.at(node));
  if (stage.kind == StageKind::quantize) read_rules(source, table, node, stage);
  if (stage.kind == StageKind::set_bits && !stage.bits.method.empty()) {
    if (const std::optional<Error> error = find_method_fault(stage.bits.method))
      throw error->inside(source.at(*table.get("method")));
  }
  return stage;
}

void read_stages(const Source& source, const toml::table& root, Recipe& recipe) {
  const toml::node* stages = root.get("stage");
  if (stages == nullptr) throw Error("a recipe needs stages", source.name, "add [[stage]] with kind = \"train\"");
  if (!stages->is_array()) wrong_type(source, "stage", *stages, "[[stage]] tables");
  const toml::array& list = *stages->as_array();
  if (list.empty()) throw Error("a recipe needs stages", source.name, "add [[stage]] with kind = \"train\"");
  bool quantized = false;
  for (const toml::node& stage : list) {
    recipe.stages.push_back(read_stage(source, stage, recipe));
    if (recipe.stages.back().kind != StageKind::quantize) continue;
    if (quantized)
      throw Error("the network is quantized already", source.at(stage),
                  "one quantize stage holds all rules; later rules win");
    quantized = true;
  }
  // Post-training quantization wants the normalisation inside the layers; training wants it apart.
  bool train_follows = false;
  for (std::size_t i = list.size(); i-- > 0;) {
    if (!list.get_as<toml::table>(i)->contains("fold_batch_norm")) recipe.stages[i].fold_batch_norm = !train_follows;
    train_follows = train_follows || recipe.stages[i].kind == StageKind::train;
  }
}

void read_model(const Source& source, const toml::table& root, Recipe& recipe) {
  const toml::node* node = root.get("model");
  const char* const hint = "zoo = \"vgg_small\" or file = \"model.onnx\"";
  if (node == nullptr) throw Error("a recipe needs a [model]", source.name, hint);
  const toml::table& table = table_of(source, "model", *node);
  read_keys(source, table, model_keys(), "[model]", {"parameters"}, recipe);
  if (recipe.zoo.empty() == recipe.file.empty())
    throw Error("[model] needs one of zoo and file", source.at(*node), hint);
  const toml::node* parameters = table.get("parameters");
  if (parameters == nullptr) return;
  const toml::table& values = table_of(source, "parameters", *parameters);
  if (!recipe.file.empty() && !values.empty())
    throw Error("parameters are for networks of the zoo, not for a file", source.at(*parameters));
  for (const auto& [name, value] : values)
    recipe.parameters[std::string(name.str())] = parameter_text(source, std::string(name.str()), value);
}

void check_recipe(const Source& source, const Recipe& recipe) {
  const std::string allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  if (recipe.name.empty() || recipe.name.front() == '.' || recipe.name.size() > 100 ||
      recipe.name.find_first_not_of(allowed) != std::string::npos)
    throw Error(fmt::format("the name '{}' cannot name a folder", recipe.name), source.name,
                "letters, digits, _, - and . are allowed; a recipe without a name has its file's");
  if (recipe.data.empty()) throw Error("a recipe needs data", source.name, "e.g. data = \"fashion_mnist\"");
  const bool text = is_text(recipe.data);
  if (text && recipe.min_value)
    throw Error("min_value speaks of accuracy, but the data are text", source.name, "max_value limits perplexity");
  if (!text && recipe.max_value)
    throw Error("max_value speaks of perplexity, but the data are images", source.name, "min_value limits accuracy");
  const std::size_t means = recipe.preprocessing.mean.size(), stds = recipe.preprocessing.std.size();
  if (means == 0 || stds == 0 || (means != stds && means != 1 && stds != 1))
    throw Error(fmt::format("[input] has {} mean and {} std values", means, stds), source.name,
                "give one value, or one a channel");
}

}  // namespace

std::string_view article_of(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

toml::table parse_toml(std::string_view text, const std::string& name) {
  if (text.size() > kMostBytes) throw Error("is larger than 1 MiB: not a recipe", name);
  // Dotted keys nest without limit, and the tree is taken down by recursion.
  if (std::count(text.begin(), text.end(), '.') > kMostDots) throw Error("has too many dots: not a recipe", name);
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    throw Error(std::string(error.description()), fmt::format("{}:{}:{}", name, at.line, at.column));
  }
}

Recipe parse_recipe(std::string_view text, const std::string& name, const std::vector<std::string>& overrides) {
  Source source{.name = name, .said = {}};
  toml::table root = parse_toml(text, name);
  for (const std::string& override_text : overrides) apply_override(root, override_text, source);

  Recipe recipe;
  recipe.name = std::filesystem::path(name).stem().string();
  read_keys(source, root, recipe_keys(), "a recipe", {"model", "input", "require", "stage"}, recipe);
  read_model(source, root, recipe);
  if (const toml::node* node = root.get("input"))
    read_keys(source, table_of(source, "input", *node), input_keys(), "[input]", {}, recipe);
  if (const toml::node* node = root.get("require"))
    read_keys(source, table_of(source, "require", *node), require_keys(), "[require]", {}, recipe);
  check_recipe(source, recipe);
  read_stages(source, root, recipe);
  return recipe;
}

namespace {

/// Makes `model`, named in the recipe `file`, a path that opens.
void find_model(const std::filesystem::path& file, std::string& model) {
  const std::filesystem::path beside = file.parent_path() / model;
  if (std::filesystem::exists(beside))
    model = beside.lexically_normal().string();
  else if (!std::filesystem::exists(model))
    throw Error("the model file '" + model + "' is not there", file.string(),
                "looked beside the recipe and in the working directory");
}

}  // namespace

Recipe load_recipe(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, kMostBytes, bytes));  // names the file itself
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Recipe recipe = parse_recipe(text, file.string(), overrides);
  if (!recipe.file.empty()) find_model(file, recipe.file);
  for (Stage& stage : recipe.stages)
    if (!stage.teacher.empty() && stage.teacher != "float") find_model(file, stage.teacher);
  return recipe;
}

}  // namespace nnq::recipe
