#include "cli/experiment.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "cli/program_folder.h"
#include "core/text.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

namespace fs = std::filesystem;

/// One table of the file, with its keys checked.
class Reader {
 public:
  Reader(const fs::path& file, const toml::table& table, const std::vector<std::string>& keys)
      : file_(file), table_(table) {
    for (const auto& [key, node] : table) {
      const std::string word(key.str());
      if (std::find(keys.begin(), keys.end(), word) == keys.end())
        throw Error(fmt::format("'{}' is not a key of an experiment", word), at(node), suggestion(word, keys));
    }
  }

  std::string at(const toml::node& node) const {
    return fmt::format("{}:{}", file_.string(), node.source().begin.line);
  }
  [[noreturn]] void fail(const std::string& message, const std::string& hint = {}) const {
    throw Error(message, at(table_), hint);
  }

  std::string text(const std::string& key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) fail(key + " is missing");
    const auto value = node->value_exact<std::string>();
    if (!value || value->empty()) throw Error(key + " must be a string", at(*node));
    return *value;
  }

  std::optional<double> number(const std::string& key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    const auto value = node->is_number() ? node->value<double>() : std::nullopt;
    if (!value || !std::isfinite(*value)) throw Error(key + " must be a number", at(*node));
    return value;
  }

  std::vector<std::int64_t> seeds() const {
    const toml::node* node = table_.get("seeds");
    if (node == nullptr) return {1};
    std::vector<std::int64_t> seeds;
    if (const toml::array* list = node->as_array()) {
      for (const toml::node& element : *list) {
        const auto seed = element.value_exact<std::int64_t>();
        if (!seed || *seed < 0) throw Error("seeds must be whole numbers from 0 on", at(*node));
        if (std::find(seeds.begin(), seeds.end(), *seed) != seeds.end())
          throw Error(fmt::format("seed {} is named twice", *seed), at(*node));
        seeds.push_back(*seed);
      }
    }
    if (seeds.empty()) throw Error("seeds must be a list of numbers", at(*node), "e.g. seeds = [1, 2, 3]");
    return seeds;
  }

 private:
  const fs::path& file_;
  const toml::table& table_;
};

Claim::Expect read_expect(const Reader& reader) {
  const std::string word = reader.text("expect");
  for (const Claim::Expect expect :
       {Claim::Expect::drop, Claim::Expect::value, Claim::Expect::perplexity, Claim::Expect::gain}) {
    if (word == name_of(expect)) return expect;
  }
  reader.fail(fmt::format("expect = \"{}\" is not known", word), "allowed: drop, value, perplexity, gain");
}

Scale read_scale(const Reader& reader, const toml::table& table) {
  if (!table.contains("scale")) return Scale::quick;
  const std::string word = reader.text("scale");
  for (const Scale scale : {Scale::quick, Scale::full}) {
    if (word == name_of(scale)) return scale;
  }
  reader.fail(fmt::format("scale = \"{}\" is not known", word), "allowed: quick, full");
}

/// Runs are named after their recipe's file: one name may not mean two files.
void check_names(const Reader& reader, const std::vector<Claim>& claims) {
  std::map<std::string, fs::path> by_name;
  for (const Claim& claim : claims) {
    for (const fs::path& recipe : {claim.recipe, claim.better_than}) {
      const auto [it, added] = by_name.emplace(recipe.stem().string(), recipe);
      if (!added && it->second != recipe)
        reader.fail(fmt::format("{} and {} have the same name", it->second.string(), recipe.string()),
                    "runs are named after their recipes: rename one");
    }
  }
}

/// attack = "pgd", epsilon = "8/255", attack_parameters = "steps=20 restarts=2", attack_images = 1000.
std::optional<AttackSettings> read_attack(const Reader& reader, const toml::table& table) {
  if (!table.contains("attack")) {
    for (const char* key : {"epsilon", "attack_parameters", "attack_images"})
      if (table.contains(key)) reader.fail(std::string(key) + " is for claims with an attack");
    return std::nullopt;
  }
  AttackSettings settings;
  settings.attacks = {reader.text("attack")};
  if (table.contains("epsilon")) settings.epsilons = {reader.text("epsilon")};
  if (table.contains("attack_parameters")) {
    std::istringstream words(reader.text("attack_parameters"));
    for (std::string word; words >> word;) settings.parameters.push_back(word);
  }
  if (const auto images = reader.number("attack_images")) settings.limit = static_cast<std::int64_t>(*images);
  if (settings.limit < 1) reader.fail("attack_images must be at least 1");
  settings.diagnose = false;
  return settings;
}

Claim read_claim(const fs::path& file, const fs::path& root, const toml::table& table) {
  const Reader reader(file, table,
                      {"claim", "published", "setting", "recipe", "expect", "better_than", "at_most", "at_least",
                       "seeds", "attack", "epsilon", "attack_parameters", "attack_images", "scale"});
  Claim claim;
  claim.claim = reader.text("claim");
  claim.published = reader.text("published");
  claim.setting = reader.text("setting");
  const auto recipe = [&](const std::string& key) {
    const fs::path path = (root / reader.text(key)).lexically_normal();
    if (!fs::exists(path)) reader.fail("there is no recipe " + path.string());
    return path;
  };
  claim.recipe = recipe("recipe");
  claim.scale = read_scale(reader, table);
  claim.expect = read_expect(reader);
  if (claim.expect == Claim::Expect::gain) {
    claim.better_than = recipe("better_than");
    if (claim.better_than == claim.recipe) reader.fail("better_than names the claim's own recipe");
  } else if (table.contains("better_than")) {
    reader.fail("better_than is for expect = \"gain\"");
  }
  claim.attack = read_attack(reader, table);
  for (const fs::path& path : {claim.recipe, claim.better_than})
    if (is_model(path) && !claim.attack)
      reader.fail(path.string() + " is trained already: a claim about it needs an attack");
  if (claim.attack && claim.expect == Claim::Expect::perplexity) reader.fail("attacks change pixels; text has none");
  claim.at_most = reader.number("at_most");
  claim.at_least = reader.number("at_least");
  if (!claim.at_most && !claim.at_least) reader.fail("a claim needs at_most or at_least");
  claim.seeds = reader.seeds();
  return claim;
}

toml::table parse(const fs::path& file) {
  try {
    return toml::parse_file(file.string());
  } catch (const toml::parse_error& error) {
    throw Error(std::string(error.description()), fmt::format("{}:{}", file.string(), error.source().begin.line));
  }
}

}  // namespace

bool is_model(const fs::path& file) { return file.extension() == ".onnx" || file.extension() == ".nnq"; }

std::string name_of(Scale scale) { return scale == Scale::quick ? "quick" : "full"; }

std::string name_of(Claim::Expect expect) {
  switch (expect) {
    case Claim::Expect::drop:
      return "drop";
    case Claim::Expect::value:
      return "value";
    case Claim::Expect::perplexity:
      return "perplexity";
    case Claim::Expect::gain:
      return "gain";
  }
  return "?";
}

std::string Claim::expected() const {
  std::string limits;
  if (at_least) limits += fmt::format(" at least {}", *at_least);
  if (at_most) limits += fmt::format("{} at most {}", limits.empty() ? "" : ",", *at_most);
  const std::string under = attack ? " under " + attack->attacks.front() : "";
  if (expect == Expect::gain) return limits.substr(1) + " points above " + better_than.stem().string() + under;
  if (expect == Expect::perplexity) return "perplexity" + limits;
  return (expect == Expect::drop ? "drop" + limits + " points" : "accuracy" + limits + " %") + under;
}

Experiment read_experiment(const fs::path& file, const fs::path& root) {
  const toml::table table = parse(file);
  const Reader reader(file, table, {"paper", "title", "claim"});
  Experiment experiment{.paper = reader.text("paper"), .title = reader.text("title"), .claims = {}};
  if (experiment.paper != file.stem().string())
    reader.fail(fmt::format("paper = \"{}\", but the file is named {}", experiment.paper, file.filename().string()));
  const toml::array* claims = table["claim"].as_array();
  if (claims == nullptr || claims->empty() || !claims->is_array_of_tables())
    reader.fail("an experiment needs [[claim]] tables");
  for (const toml::node& claim : *claims) experiment.claims.push_back(read_claim(file, root, *claim.as_table()));
  check_names(reader, experiment.claims);
  return experiment;
}

std::vector<Experiment> all_experiments() {
  std::map<std::string, Experiment> by_paper;
  for (const fs::path& root : {fs::path(), program_folder() / "../share/nnq"}) {
    const fs::path folder = root / "recipes/reproduce";
    if (!fs::is_directory(folder)) continue;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string paper = entry.path().stem().string();
      if (entry.path().extension() == ".toml" && !by_paper.contains(paper))
        by_paper.emplace(paper, read_experiment(entry.path(), root));
    }
  }
  if (by_paper.empty())
    throw Error("there are no experiments", "recipes/reproduce",
                "run it in nnq's source tree, or install nnq with its share folder");
  std::vector<Experiment> experiments;
  for (auto& [paper, experiment] : by_paper) experiments.push_back(std::move(experiment));
  return experiments;
}

}  // namespace nnq::cli
