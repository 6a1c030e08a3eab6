// `nnq reproduce` with several trainings at a time.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/reproduction_folder.h"

namespace {

using Jobs = nnq::test::ReproductionFolder;
using nnq::test::claim;
using nnq::test::Ran;
using nnq::test::slurp;
using nnq::test::training_recipe;

std::string trained_for(const std::string& settings) {
  std::string recipe = training_recipe;
  const std::string one = "epochs = 1";
  return recipe.replace(recipe.find(one), one.size(), settings);
}

/// The losses of a run, epoch by epoch.
std::string losses(const std::filesystem::path& run) {
  std::string list;
  std::istringstream lines(slurp((run / "metrics.jsonl").string()));
  for (std::string line; std::getline(lines, line);) list += nlohmann::json::parse(line)["loss"].dump() + " ";
  return list;
}

TEST_F(Jobs, GiveTheNumbersOfRunsInTurn) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  write("recipes/float.toml", trained_for("epochs = 3"));
  experiment("tiny", claim("float", "expect = 'value'\nat_least = 0\nseeds = [1, 2, 3]") +
                         claim("float", "expect = 'value'\nat_least = 0"));
  const Ran together = run("tiny --jobs 3 --json"), in_turn = run("tiny --jobs 1 --runs turns --json");
  ASSERT_EQ(together.code, 0) << together.err;
  ASSERT_EQ(in_turn.code, 0) << in_turn.err;
  for (const char* words : {"3 runs under runs/reproduce, 3 at a time, 1 thread each", "3 of 3 runs in "})
    EXPECT_NE(together.err.find(words), std::string::npos) << together.err;
  const auto a = together.document()["claims"], b = in_turn.document()["claims"];
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string seed = "tiny/float-seed" + std::to_string(i + 1);
    EXPECT_EQ(losses(folder_ / ("runs/reproduce/" + seed)), losses(folder_ / ("turns/" + seed)));
    EXPECT_NE(losses(folder_ / ("turns/" + seed)), "");
    EXPECT_EQ(a[0]["seeds"][i]["value"], b[0]["seeds"][i]["value"]);
    EXPECT_EQ(a[0]["seeds"][i]["trained"], true);
  }
  EXPECT_EQ(a[1]["seeds"][0]["trained"], false) << "the first claim's run is read back";
  EXPECT_EQ(b[1]["seeds"][0]["trained"], false);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs/reproduce/logs")) << "what went well leaves no log";
}

TEST_F(Jobs, OneThatFailsIsNamedWithItsLastWordsAndOtherPapersAreJudged) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  write("recipes/bad.toml", trained_for("epochs = 9\nlearning_rate = 1e30"));
  experiment("good", claim("float", "expect = 'value'\nat_least = 0"));
  experiment("tiny", claim("bad", "expect = 'value'\nat_least = 0\nseeds = [1, 2]"));
  ASSERT_EQ(run("good --runs others").code, 0);
  const Ran again = run("--all --jobs 2 --runs others");
  EXPECT_EQ(again.code, 2) << again.out;
  EXPECT_NE(again.out.find("good: A made paper"), std::string::npos) << again.out;
  for (const char* part : {"others/tiny/bad-seed", "ended with exit code 2", "finite", "others/logs/tiny-bad-seed"})
    EXPECT_NE(again.err.find(part), std::string::npos) << part << "\n" << again.err;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "others/logs")) << "what failed leaves its log";

  std::filesystem::create_directories(folder_ / "taken");
  std::ofstream(folder_ / "taken/logs") << "a file";
  experiment("good", claim("float", "expect = 'value'\nat_least = 0\nseeds = [1, 2]"));
  const Ran taken = run("good --runs taken");
  EXPECT_EQ(taken.code, 2) << taken.err;
  EXPECT_NE(taken.err.find("taken/logs/good-float-seed1.log: cannot be written"), std::string::npos) << taken.err;
}

TEST_F(Jobs, ASignalStopsAllAndTheSameCommandGoesOn) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  write("recipes/float.toml", trained_for("epochs = 800"));
  experiment("tiny", claim("float", "expect = 'value'\nat_least = 0\nseeds = [1, 2]"));
  const auto stopped_by = [&](const std::string& whom, const std::string& to) {
    // When both have written epochs, the signal.
    const std::string wait = "(for i in $(seq 600); do sleep 0.1; [ -s " + to +
                             "/tiny/float-seed1/metrics.jsonl ] && [ -s " + to +
                             "/tiny/float-seed2/metrics.jsonl ] && break; done; " + whom + ") & ";
    return nnq::test::nnq("reproduce tiny --jobs 2 --runs " + to,
                          "cd '" + folder_.path().string() + "' && { " + wait + "} && echo $$ > pid && exec ");
  };
  const auto runs = [&](const std::string& at) {
    std::vector<std::string> states;
    for (const char* seed : {"1", "2"}) {
      const auto result = nlohmann::json::parse(
          slurp(folder_ / (at + "/tiny/float-seed" + std::string(seed) + "/result.json")), nullptr, false);
      states.push_back(!result.is_object() ? "none" : result.value("interrupted", false) ? "interrupted" : "done");
    }
    return states;
  };
  const std::vector<std::string> both_interrupted{"interrupted", "interrupted"}, both_done{"done", "done"};
  const Ran all = stopped_by("kill -TERM $(cat pid)", "all"),
            one = stopped_by("pkill -TERM -P $(cat pid) -n", "one");  // the younger child alone
  for (const Ran* stopped : {&all, &one}) {
    EXPECT_EQ(stopped->code, 1) << stopped->out << stopped->err;
    EXPECT_NE(stopped->err.find("the same command goes on"), std::string::npos) << stopped->err;
  }
  EXPECT_EQ(runs("all"), both_interrupted);
  EXPECT_EQ(runs("one"), both_interrupted);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "all/logs/tiny-float-seed1.log"));
  const Ran ended = run("tiny --jobs 2 --runs one --json");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(runs("one"), both_done);
}

}  // namespace
