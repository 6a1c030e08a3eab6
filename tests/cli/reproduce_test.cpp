// `nnq reproduce` on an experiment of its own: a small perceptron on made images, trained for one epoch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>
#include <string>

#include "cli/reproduction_folder.h"

namespace {

using nnq::test::Ran;
using nnq::test::slurp;

using Reproduce = nnq::test::ReproductionFolder;
using nnq::test::claim;
using nnq::test::training_recipe;

TEST_F(Reproduce, TrainsOnceAndGoesOnWithWhatIsFinished) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  experiment("tiny", claim("float", "expect = 'value'\nat_least = 0\nseeds = [1, 2]") +
                         claim("w8a8", "expect = 'drop'\nat_most = 100\nat_least = -100"));
  const Ran first = run("tiny --threads 1 --json");
  ASSERT_EQ(first.code, 0) << first.err;
  const auto document = first.document();
  EXPECT_EQ(document["paper"], "tiny");
  EXPECT_EQ(document["title"], "A made paper");
  EXPECT_EQ(document["interrupted"], false);
  ASSERT_EQ(document["claims"].size(), 2u);
  const auto& learned = document["claims"][0];
  EXPECT_EQ(learned["claim"], "it learns");
  EXPECT_EQ(learned["published"], "99 % (elsewhere)");
  EXPECT_EQ(learned["setting"], "made images");
  EXPECT_EQ(learned["holds"], true);
  ASSERT_EQ(learned["seeds"].size(), 2u);
  const double a = learned["seeds"][0]["value"], b = learned["seeds"][1]["value"];
  EXPECT_NEAR(learned["ours"].get<double>(), (a + b) / 2, 1e-9);
  EXPECT_NEAR(learned["spread"].get<double>(), std::abs(a - b), 1e-9);
  const auto& quantized = document["claims"][1];
  EXPECT_EQ(quantized["expect"], "drop");
  EXPECT_TRUE(quantized["spread"].is_null());
  ASSERT_TRUE(quantized["drop"].is_number());
  const auto result = nlohmann::json::parse(slurp(folder_ / "runs/reproduce/tiny/w8a8-seed1/result.json"));
  EXPECT_NEAR(quantized["drop"].get<double>(), result["float_value"].get<double>() - result["value"].get<double>(),
              1e-9);
  EXPECT_NEAR(quantized["ours"].get<double>(), result["value"].get<double>(), 1e-9);

  const std::string metrics = slurp(folder_ / "runs/reproduce/tiny/float-seed2/metrics.jsonl");
  EXPECT_NE(slurp(folder_ / "runs/reproduce/tiny/float-seed2/recipe.toml").find("seed = 2"), std::string::npos);
  const Ran second = run("tiny --threads 1 --json");
  EXPECT_EQ(second.code, 0) << second.err;
  const auto again = second.document();
  ASSERT_EQ(again["claims"].size(), 2u);
  for (const auto& row : again["claims"]) {
    for (const auto& seed : row["seeds"]) EXPECT_EQ(seed["trained"], false);
  }
  EXPECT_EQ(again["claims"][0]["ours"], learned["ours"]);
  EXPECT_EQ(slurp(folder_ / "runs/reproduce/tiny/float-seed2/metrics.jsonl"), metrics);
}

TEST_F(Reproduce, PerplexityIsJudgedAsPerplexity) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  std::ofstream text(folder_ / "abc.txt");
  for (int i = 0; i < 2000; ++i) text << "abcd"[i * i % 4];
  text.close();
  const std::string language = R"(name = "tiny"
data = "chars:abc.txt"
[model]
zoo = "gru_lm"
parameters = { hidden = 8 }
[[stage]]
kind = "train"
epochs = 1
batch = 4
unroll = 10
)";
  write("recipes/text.toml", language);
  write("recipes/text_w8.toml", language + R"([[stage]]
kind = "quantize"
[[stage.rule]]
layers = "*"
weights = { method = "alternating", bits = 4 }
)");
  const std::string than = "better_than = 'recipes/text.toml'";
  experiment("tiny", claim("text", "expect = 'perplexity'\nat_most = 100\nat_least = 1") +
                         claim("text_w8", "expect = 'drop'\nat_most = 100\nat_least = -100") +
                         claim("text_w8", "expect = 'gain'\nat_least = -100\n" + than));
  const Ran ran = run("tiny --threads 1 --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto claims = ran.document()["claims"];
  ASSERT_EQ(claims.size(), 3U);
  for (const auto& row : claims) EXPECT_EQ(row["metric"], "perplexity");
  const auto result = nlohmann::json::parse(slurp(folder_ / "runs/reproduce/tiny/text_w8-seed1/result.json"));
  const double value = result["value"], real = result["float_value"];
  EXPECT_NEAR(claims[1]["drop"].get<double>(), 100 * (value / real - 1), 1e-9) << "percent above the float network";
  EXPECT_NEAR(claims[2]["gain"].get<double>(), claims[0]["ours"].get<double>() - value, 1e-9) << "lower is better";
  EXPECT_NE(run("--list").out.find("perplexity at least 1, at most 100"), std::string::npos);

  experiment("tiny", claim("text", "expect = 'value'\nat_least = 0"));
  EXPECT_EQ(run("tiny --threads 1").code, 2) << "accuracy is not what this run measured";
  experiment("tiny", claim("text", "expect = 'perplexity'\nat_most = 9\nattack = 'fgsm'"));
  EXPECT_EQ(run("tiny").code, 2);
}

TEST_F(Reproduce, AGainIsTheDifferenceOfTwoRecipesMeansAndSharesTheirRuns) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const std::string than = "better_than = 'recipes/float.toml'\nseeds = [1, 2]\n";
  experiment("tiny", claim("float", "expect = 'value'\nat_least = 0\nseeds = [1, 2]") +
                         claim("w8a8", "expect = 'gain'\nat_least = -100\n" + than) +
                         claim("w8a8", "expect = 'gain'\nat_least = 101\n" + than));
  const Ran ran = run("tiny --threads 1 --json");
  EXPECT_EQ(ran.code, 1) << ran.err;
  const auto claims = ran.document()["claims"];
  ASSERT_EQ(claims.size(), 3u);
  EXPECT_TRUE(claims[0]["gain"].is_null());
  EXPECT_TRUE(claims[0]["other_seeds"].empty());
  EXPECT_EQ(claims[1]["better_than"], "recipes/float.toml");
  EXPECT_NEAR(claims[1]["gain"].get<double>(), claims[1]["ours"].get<double>() - claims[0]["ours"].get<double>(), 1e-9);
  EXPECT_EQ(claims[1]["holds"], true);
  EXPECT_EQ(claims[2]["holds"], false);
  ASSERT_EQ(claims[1]["other_seeds"].size(), 2u);
  EXPECT_EQ(claims[1]["other_seeds"][0]["trained"], false) << "the first claim's run is read back";
  EXPECT_EQ(claims[1]["other_seeds"][1]["run"], claims[0]["seeds"][1]["run"]);
  EXPECT_NE(run("").out.find("at least 101 points above float"), std::string::npos);
}

TEST_F(Reproduce, AClaimThatDoesNotHoldIsExitCodeOne) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  experiment("tiny",
             claim("float", "expect = 'value'\nat_least = 0") + claim("float", "expect = 'value'\nat_most = -1"));
  const Ran ran = run("tiny --threads 1");
  EXPECT_EQ(ran.code, 1) << ran.err;
  EXPECT_NE(ran.out.find("  yes\n"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("  NO\n"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("99 % (elsewhere)"), std::string::npos) << ran.out;

  // A changed recipe is not answered with the old run.
  write("recipes/float.toml", std::string(training_recipe) + "learning_rate = 0.2\n");
  const Ran changed = run("tiny --threads 1");
  EXPECT_EQ(changed.code, 2);
  EXPECT_NE(changed.err.find("runs/reproduce/tiny/float-seed1"), std::string::npos) << changed.err;
}

TEST_F(Reproduce, ListsExperimentsAndNamesTheNearest) {
  experiment("tiny", claim("float", "expect = 'value'\nat_least = 50"));
  const Ran list = run("");
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_NE(list.out.find("accuracy at least 50 %"), std::string::npos) << list.out;
  EXPECT_EQ(run("--json").document()["experiments"][0]["claims"][0]["at_least"], 50);
  const Ran unknown = run("tinny");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_NE(unknown.err.find("did you mean 'tiny'?"), std::string::npos) << unknown.err;
  EXPECT_EQ(run("tiny --all").code, 2);
}

TEST_F(Reproduce, WrongExperimentsNameTheLine) {
  const auto refusal = [&](const std::string& claims) {
    experiment("tiny", claims);
    const Ran ran = run("");
    EXPECT_EQ(ran.code, 2) << claims;
    EXPECT_NE(ran.err.find("recipes/reproduce/tiny.toml:"), std::string::npos) << ran.err;
    return ran.err;
  };
  EXPECT_NE(refusal(claim("float", "expect = 'value'\natleast = 3")).find("did you mean 'at_least'?"),
            std::string::npos);
  EXPECT_NE(refusal(claim("float", "expect = 'value'")).find("needs at_most or at_least"), std::string::npos);
  EXPECT_NE(refusal(claim("float", "expect = 'growth'\nat_least = 1")).find("allowed: drop, value, perplexity, gain"),
            std::string::npos);
  const std::string gain = "expect = 'gain'\nat_least = 1\n";
  EXPECT_NE(refusal(claim("float", gain)).find("better_than is missing"), std::string::npos);
  EXPECT_NE(refusal(claim("float", gain + "better_than = 'recipes/float.toml'")).find("own recipe"), std::string::npos);
  EXPECT_NE(refusal(claim("float", "expect = 'value'\nat_least = 1\nbetter_than = 'recipes/w8a8.toml'"))
                .find("is for expect = \"gain\""),
            std::string::npos);
  std::filesystem::create_directories(folder_ / "recipes/other");
  write("recipes/other/float.toml", training_recipe);
  EXPECT_NE(refusal(claim("float", gain + "better_than = 'recipes/other/float.toml'")).find("have the same name"),
            std::string::npos);
  EXPECT_NE(refusal(claim("absent", "expect = 'drop'\nat_most = 1")).find("absent.toml"), std::string::npos);
  EXPECT_NE(refusal(claim("float", "expect = 'drop'\nat_most = 1\nseeds = []")).find("seeds"), std::string::npos);
  EXPECT_NE(refusal("").find("[[claim]]"), std::string::npos);
  EXPECT_NE(refusal("x = \n").find("tiny.toml:3"), std::string::npos);
}

TEST(ReproduceOfTheSourceTree, EveryExperimentIsReadable) {
  const Ran list = nnq::test::nnq("reproduce --json", "cd '" NNQ_SOURCE_DIR "' && ");
  ASSERT_EQ(list.code, 0) << list.err;
  const auto document = list.document();
  std::vector<std::string> papers;
  for (const auto& experiment : document["experiments"]) papers.push_back(experiment["paper"]);
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(NNQ_SOURCE_DIR "/recipes/reproduce"))
    files.push_back(entry.path().stem().string());
  std::sort(files.begin(), files.end());
  EXPECT_EQ(papers, files);
}

/// The setting is written by hand beside the recipe's name: "6 epochs" must be what a stage, or all of them, train.
TEST(ReproduceOfTheSourceTree, SettingsSayTheEpochsOfTheirRecipes) {
  const auto document = nnq::test::nnq("reproduce --json", "cd '" NNQ_SOURCE_DIR "' && ").document();
  const std::regex said(R"((\d+) epochs?)"), trained(R"((^|\n)epochs = (\d+))");
  int checked = 0;
  for (const auto& experiment : document["experiments"]) {
    for (const auto& claim : experiment["claims"]) {
      const std::string recipe = claim["recipe"], setting = claim["setting"];
      if (!recipe.ends_with(".toml")) continue;
      const std::string text = slurp(std::string(NNQ_SOURCE_DIR "/") + recipe);
      std::set<int> epochs;
      int sum = 0;
      for (std::sregex_iterator at(text.begin(), text.end(), trained), end; at != end; ++at) {
        epochs.insert(std::stoi((*at)[2]));
        sum += std::stoi((*at)[2]);
      }
      epochs.insert(sum);
      for (std::sregex_iterator at(setting.begin(), setting.end(), said), end; at != end; ++at, ++checked)
        EXPECT_TRUE(epochs.contains(std::stoi((*at)[1]))) << recipe << " is said to be: " << setting;
    }
  }
  EXPECT_GT(checked, 30);
}

}  // namespace
