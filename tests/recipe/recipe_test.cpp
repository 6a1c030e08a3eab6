// Recipes: what is read, what is refused and how, overrides, the canonical text, and the page that documents them.
#include "recipe/recipe.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "nnq/error.h"

namespace nnq::recipe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string sample() { return read_text(std::filesystem::path(NNQ_SOURCE_DIR) / "fuzz/seeds/recipe/dorefa.toml"); }

const std::string head = "data = 'cifar10'\n[model]\nzoo = 'mlp'\n";

/// The message of the nnq::Error that this recipe is refused with.
std::string refusal(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse_recipe(text, "r.toml", overrides);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Recipe, ReadsEverySection) {
  const Recipe recipe = parse_recipe(sample(), "sample.toml");
  EXPECT_EQ(recipe.name, "dorefa-w2a2");
  EXPECT_EQ(recipe.seed, 7u);
  EXPECT_EQ(recipe.zoo, "vgg_small");
  EXPECT_EQ(recipe.parameters,
            (std::map<std::string, std::string>{{"width", "64"}, {"dropout", "0.5"}, {"pool", "max"}}));
  EXPECT_EQ(recipe.preprocessing.mean, std::vector<float>{0.286f});
  EXPECT_EQ(recipe.augmentation.shift, 2);
  EXPECT_EQ(recipe.max_drop, 1.5);
  EXPECT_FALSE(recipe.min_value.has_value());
  ASSERT_EQ(recipe.stages.size(), 6u);
  const Stage& train = recipe.stages[0];
  EXPECT_EQ(train.train.epochs, 12);
  EXPECT_EQ(train.train.optimizer.learning_rate, 0.05);
  EXPECT_EQ(train.train.schedule.milestones, (std::vector<std::int64_t>{8, 10}));
  EXPECT_EQ(train.train.seed, 7u);
  EXPECT_TRUE(train.train.augmentation.flip);
  const Stage& quantize = recipe.stages[1];
  ASSERT_EQ(quantize.placement.rules.size(), 2u);
  EXPECT_EQ(quantize.placement.rules[0].weights.method, "dorefa");
  EXPECT_EQ(quantize.placement.rules[0].activations.parameters.at("range"), Attribute(1.0f));
  EXPECT_EQ(quantize.placement.rules[1].glob, "last");
  EXPECT_EQ(quantize.placement.rules[1].weights.method, "");
  EXPECT_EQ(recipe.stages[2].images, 1024);
}

TEST(Recipe, BatchNormalizationIsFoldedUnlessTrainingFollows) {
  const std::string quantize = "[[stage]]\nkind='quantize'\nrule=[{layers='*', weights={method='uniform'}}]\n";
  const std::string train = "[[stage]]\nkind='train'\n";
  EXPECT_TRUE(parse_recipe(head + train + quantize, "r.toml").stages[1].fold_batch_norm);
  EXPECT_FALSE(parse_recipe(head + quantize + train, "r.toml").stages[0].fold_batch_norm);
  EXPECT_TRUE(
      parse_recipe(head + quantize + train, "r.toml", {"quantize.fold_batch_norm=true"}).stages[0].fold_batch_norm);
}

TEST(Recipe, UnknownKeysNameLineAndNearest) {
  EXPECT_THAT(refusal(head + "[[stage]]\nkind = 'train'\nepoch = 3\n"),
              AllOf(HasSubstr("r.toml:6"), HasSubstr("'epoch'"), HasSubstr("did you mean 'epochs'?")));
  EXPECT_THAT(refusal("sed = 3\n" + head), AllOf(HasSubstr("r.toml:1"), HasSubstr("did you mean 'seed'?")));
  EXPECT_THAT(refusal(head + "zo = 1\n"), AllOf(HasSubstr("r.toml:4"), HasSubstr("'zoo'")));
  EXPECT_THAT(refusal(head + "[[stage]]\nkind = 'trian'\n"), AllOf(HasSubstr("r.toml:5"), HasSubstr("'train'")));
  EXPECT_THAT(refusal(head + "[[stage]]\nkind='quantize'\n[[stage.rule]]\nlayer='*'\n"),
              AllOf(HasSubstr("r.toml:7"), HasSubstr("'layers'")));
  EXPECT_THAT(refusal(head + "[[stage]]\nkind='calibrate'\nepochs=3\n"), HasSubstr("stage of kind calibrate"));
}

TEST(Recipe, WrongTypesAndRangesAreNamed) {
  const std::string train = head + "[[stage]]\nkind = 'train'\n";
  EXPECT_THAT(refusal(train + "epochs = 'many'\n"),
              AllOf(HasSubstr("r.toml:6"), HasSubstr("epochs must be an integer, not a string")));
  EXPECT_THAT(refusal(train + "epochs = 0\n"), AllOf(HasSubstr("r.toml:6"), HasSubstr("allowed: 1 to 100000")));
  EXPECT_THAT(refusal(train + "momentum = 1.0\n"), HasSubstr("at least 0, below 1"));
  EXPECT_THAT(refusal(train + "learning_rate = 0\n"), HasSubstr("above 0"));
  EXPECT_THAT(refusal(train + "learning_rate = nan\n"), HasSubstr("out of range"));
  EXPECT_THAT(refusal(train + "learning_rate = inf\n"), HasSubstr("must be finite"));
  EXPECT_THAT(refusal(train + "optimizer = 'adamv'\n"), AllOf(HasSubstr("did you mean"), HasSubstr("shift_adamax")));
  EXPECT_THAT(refusal(train + "schedule = 'multistep'\n"), HasSubstr("needs milestones"));
  EXPECT_THAT(refusal(train + "match_layers = '*.add'\n"), HasSubstr("needs a teacher"));
  EXPECT_THAT(refusal(train + "schedule='multistep'\nmilestones = [5, 3]\n"), HasSubstr("must ascend"));
  EXPECT_THAT(refusal(train + "schedule='exponential'\n"), HasSubstr("final_factor above 0"));
  EXPECT_THAT(refusal("validation = 0\n" + train + "early_stop = 2\n"), HasSubstr("validation = 0"));
  EXPECT_THAT(refusal(head + "[input]\nstd = [0]\n"), AllOf(HasSubstr("r.toml:5"), HasSubstr("above 0")));
  EXPECT_THAT(refusal(head + "[input]\nmean = [0, 0]\nstd = [1, 1, 1]\n"), HasSubstr("2 mean and 3 std"));
  EXPECT_THAT(refusal(head + "[[stage]]\nkind='quantize'\nrule=[{layers='*', weights={method='uniform', bits=9}}]\n"),
              HasSubstr("1 to 8"));
  EXPECT_THAT(refusal(head + "[[stage]]\nkind='quantize'\nrule=[{layers='*', weights={bits=2}}]\n"),
              HasSubstr("weights needs a method"));
}

TEST(Recipe, MissingPartsAreNamed) {
  EXPECT_THAT(refusal(""), HasSubstr("[model]"));
  EXPECT_THAT(refusal("[model]\nzoo = 'mlp'\n"), HasSubstr("needs data"));
  EXPECT_THAT(refusal("data = 'cifar10'\n[model]\nzoo = 'mlp'\nfile = 'x.onnx'\n"), HasSubstr("one of zoo and file"));
  EXPECT_THAT(refusal(head), HasSubstr("needs stages"));
  EXPECT_THAT(refusal("name = '../x'\n" + head), HasSubstr("cannot name a folder"));
  EXPECT_THAT(refusal(head + "[[stage]]\nkind='quantize'\n"), HasSubstr("needs a rule"));
  EXPECT_THAT(refusal("data = \n"), HasSubstr("r.toml:1:"));
}

TEST(Recipe, HostileTextIsRefused) {
  std::string deep = "a";
  for (int i = 0; i < 200000; ++i) deep += ".a";
  EXPECT_THAT(refusal(deep + " = 1\n"), HasSubstr("r.toml"));
  for (const int dots : {150, 500}) {
    std::string nested, ends;
    for (int level = 0; level < 120; ++level) {
      nested += "{a";
      for (int i = 0; i < dots; ++i) nested += ".a";
      nested += " = [\n";
      ends += "]}";
    }
    EXPECT_NE(refusal(head + "x = " + nested + ends + "\n"), "accepted");
  }
  EXPECT_NE(refusal(std::string(100000, '[')), "accepted");
}

TEST(Overrides, ApplyToAllStagesOrOne) {
  const Recipe all = parse_recipe(sample(), "r.toml", {"train.epochs=3"});
  EXPECT_EQ(all.stages[0].train.epochs, 3);
  EXPECT_EQ(all.stages[3].train.epochs, 3);
  const Recipe one = parse_recipe(sample(), "r.toml", {"train.1.epochs = 3"});
  EXPECT_EQ(one.stages[0].train.epochs, 12);
  EXPECT_EQ(one.stages[3].train.epochs, 3);
}

TEST(Overrides, ReachEverySection) {
  const Recipe recipe = parse_recipe(
      sample(), "r.toml",
      {"seed=2", "data=images:some/where", "name=12", "model.parameters.width=96", "model.parameters.pool=average",
       "input.flip=false", "require.min_value=90", "quantize.rule.0.weights.bits=4", "quantize.rule.layers=conv1",
       "quantize.rule.1.activations={ method = 'uniform', bits = 3 }", "quantize.rule.0.activations=float",
       "train.0.milestones=[1, 2]", "seed=3"});
  EXPECT_EQ(recipe.seed, 3u);
  EXPECT_EQ(recipe.stages[0].train.seed, 3u);
  EXPECT_EQ(recipe.data, "images:some/where");
  EXPECT_EQ(recipe.name, "12");
  EXPECT_EQ(recipe.parameters.at("width"), "96");
  EXPECT_EQ(recipe.parameters.at("pool"), "average");
  EXPECT_FALSE(recipe.augmentation.flip);
  EXPECT_EQ(recipe.min_value, 90);
  const auto& rules = recipe.stages[1].placement.rules;
  EXPECT_EQ(rules[0].weights.bits, 4);
  EXPECT_EQ(rules[0].glob, "conv1");
  EXPECT_EQ(rules[0].activations.method, "");
  EXPECT_EQ(rules[1].activations.bits, 3);
  EXPECT_EQ(recipe.stages[0].train.schedule.milestones, (std::vector<std::int64_t>{1, 2}));
}

TEST(Overrides, AnotherModelReplacesTheRecipes) {
  const Recipe recipe = parse_recipe(sample(), "r.toml", {"model.file=x.onnx"});
  EXPECT_EQ(recipe.file, "x.onnx");
  EXPECT_EQ(recipe.zoo, "");
  EXPECT_TRUE(recipe.parameters.empty());
}

TEST(Overrides, AreCheckedLikeTheFile) {
  const auto refused = [](const std::string& text) { return refusal(sample(), {text}); };
  EXPECT_THAT(refused("train.epoch=3"), AllOf(HasSubstr("--set train.epoch=3"), HasSubstr("did you mean 'epochs'?")));
  EXPECT_THAT(refused("trian.epochs=3"), HasSubstr("did you mean 'train'?"));
  EXPECT_THAT(refused("train.epochs=0"), AllOf(HasSubstr("--set train.epochs=0"), HasSubstr("1 to 100000")));
  EXPECT_THAT(refused("train.epochs=many"), HasSubstr("must be an integer"));
  EXPECT_THAT(refused("train.2.epochs=3"), HasSubstr("2 train stages"));
  EXPECT_THAT(refused("equalize.x=3"), HasSubstr("no equalize stages"));
  EXPECT_THAT(refused("train.epochs"), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(refused("train..epochs=1"), HasSubstr("empty key"));
  EXPECT_THAT(refused("train=1"), HasSubstr("names no key"));
  EXPECT_THAT(refused("seed.x=1"), HasSubstr("no keys below"));
  EXPECT_THAT(refused("quantize.rule.1.weights.bits=2"), HasSubstr("no quantizer for weights"));
  EXPECT_THAT(refused("train.epochs=3\nseed = 4"), HasSubstr("must be an integer"));
}

TEST(CanonicalText, ReadsBackTheSame) {
  for (const char* file : {"dorefa.toml", "post_training.toml"}) {
    const Recipe recipe = parse_recipe(read_text(std::filesystem::path(NNQ_SOURCE_DIR) / "fuzz/seeds/recipe" / file),
                                       "seed.toml", {"seed=11"});
    const std::string text = to_toml(recipe);
    const Recipe again = parse_recipe(text, "other.toml");
    EXPECT_EQ(to_toml(again), text);
    EXPECT_EQ(again.name, recipe.name);
    EXPECT_EQ(again.stages.size(), recipe.stages.size());
    EXPECT_EQ(recipe_hash(again), recipe_hash(recipe));
  }
}

TEST(CanonicalText, HoldsEveryKeyAndAwkwardText) {
  Recipe recipe =
      parse_recipe(sample(), "r.toml", {"data=a\"b\\c\td", "train.epsilon=1e-300", "train.learning_rate=3"});
  recipe.stages[0].train.optimizer.momentum = 0.1 + 0.2;
  const Recipe again = parse_recipe(to_toml(recipe), "r.toml");
  EXPECT_EQ(again.data, "a\"b\\c\td");
  EXPECT_EQ(again.stages[0].train.optimizer.momentum, 0.1 + 0.2);
  EXPECT_EQ(again.stages[0].train.optimizer.epsilon, 1e-300);
  for (const KeyDescription& key : describe_keys()) {
    if (key.section == "train") {
      EXPECT_THAT(to_toml(recipe), HasSubstr("\n" + key.name + " = "));
    }
  }
}

TEST(CanonicalText, HashSeesEveryChange) {
  const std::string base = recipe_hash(parse_recipe(sample(), "r.toml"));
  EXPECT_EQ(base.size(), 16u);
  EXPECT_EQ(recipe_hash(parse_recipe("# a remark\n" + sample(), "r.toml")), base);
  EXPECT_NE(recipe_hash(parse_recipe(sample(), "r.toml", {"train.1.ema=0.5"})), base);
  EXPECT_NE(recipe_hash(parse_recipe(sample(), "r.toml", {"quantize.rule.0.activations.range=2.0"})), base);
}

TEST(LoadRecipe, LooksForTheModelBesideTheRecipe) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "nnq_load_recipe";
  std::filesystem::create_directories(folder / "models");
  std::ofstream(folder / "models" / "x.onnx") << "x";
  std::ofstream(folder / "r.toml") << "data='cifar10'\n[model]\nfile='models/x.onnx'\n[[stage]]\nkind='evaluate'\n";
  const Recipe recipe = load_recipe(folder / "r.toml");
  EXPECT_EQ(recipe.file, (folder / "models" / "x.onnx").lexically_normal().string());
  EXPECT_EQ(recipe.name, "r");
  EXPECT_THROW(load_recipe(folder / "r.toml", {"model.file=models/y.onnx"}), Error);
  EXPECT_THROW(load_recipe(folder / "absent.toml"), Error);
  const std::string stage = "[[stage]]\nkind='train'\nteacher='models/x.onnx'\n";
  std::ofstream(folder / "r.toml") << "data='cifar10'\n[model]\nzoo='mlp'\n" + stage;
  EXPECT_EQ(load_recipe(folder / "r.toml").stages[0].teacher,
            (folder / "models" / "x.onnx").lexically_normal().string());
  EXPECT_THROW(load_recipe(folder / "r.toml", {"train.teacher=models/y.onnx"}), Error);
  EXPECT_EQ(load_recipe(folder / "r.toml", {"train.teacher=float"}).stages[0].teacher, "float");
  std::filesystem::remove_all(folder);
}

TEST(Page, HasARowForEveryKey) {
  const std::string page = read_text(std::filesystem::path(NNQ_SOURCE_DIR) / "docs/recipes.md");
  ASSERT_FALSE(page.empty());
  for (const KeyDescription& key : describe_keys()) {
    const std::string row = fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, key.type, key.default_value,
                                        key.range.empty() ? "any" : key.range, key.description);
    EXPECT_THAT(page, HasSubstr(row)) << "docs/recipes.md, section of " << key.section;
  }
}

TEST(Page, ExampleIsARecipe) {
  const std::string page = read_text(std::filesystem::path(NNQ_SOURCE_DIR) / "docs/recipes.md");
  const auto begin = page.find("```toml\n");
  ASSERT_NE(begin, std::string::npos);
  const auto end = page.find("```", begin + 8);
  const Recipe recipe = parse_recipe(page.substr(begin + 8, end - begin - 8), "example.toml");
  EXPECT_GE(recipe.stages.size(), 4u);
}

}  // namespace
}  // namespace nnq::recipe
