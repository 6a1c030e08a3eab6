// What `nnq reproduce` leaves behind: records, and the page made from them; and the paper's own settings.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "cli/command.h"
#include "core/random.h"
#include "nnq/dataset.h"

namespace {

using nnq::DType;
using nnq::Tensor;
using nnq::test::Folder;
using nnq::test::Ran;
using nnq::test::slurp;

constexpr const char* recipe = R"(name = "tiny"
data = "npy:images.npy,labels.npy"
validation = 20
[model]
zoo = "mlp"
parameters = { hidden = "8", size = 8, classes = 5 }
[[stage]]
kind = "train"
epochs = 3
batch = 20
)";

constexpr const char* experiment = R"(paper = 'tiny'
title = 'A made paper'
[[claim]]
claim = 'it | learns'
published = '99 %'
setting = 'made images'
recipe = 'tiny.toml'
expect = 'value'
at_least = 0
seeds = [1, 2]
[[claim]]
scale = 'full'
claim = 'it learns for long'
published = '99 %'
setting = 'more of them'
recipe = 'long.toml'
expect = 'value'
at_least = 0
)";

class Record : public testing::Test {
 protected:
  Record() {
    std::filesystem::create_directories(folder_.path() / "recipes/reproduce");
    nnq::Random random(3);
    Tensor images(DType::u8, {80, 1, 8, 8}), labels(DType::i64, {80});
    for (std::uint8_t& v : images.mutable_values<std::uint8_t>()) v = static_cast<std::uint8_t>(random.below(256));
    for (std::int64_t i = 0; i < 80; ++i) labels.mutable_as<std::int64_t>()[i] = i % 5;
    nnq::save_npy(images, folder_ / "images.npy");
    nnq::save_npy(labels, folder_ / "labels.npy");
    std::ofstream(folder_ / "tiny.toml") << recipe;
    std::ofstream(folder_ / "long.toml") << recipe;
    std::ofstream(folder_ / "recipes/reproduce/tiny.toml") << experiment;
  }
  Ran run(const std::string& arguments) const {
    return nnq::test::nnq("reproduce " + arguments, "cd '" + folder_.path().string() + "' && ");
  }
  Folder folder_;
};

TEST_F(Record, IsWhatThePageShows) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const Ran ran = run("tiny --threads 1 --set train.epochs=1 --record results/reproduce --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  ASSERT_EQ(ran.document()["claims"].size(), 1u) << "the claim of full scale is left out";
  const auto record = nlohmann::json::parse(slurp(folder_ / "results/reproduce/tiny.json"));
  EXPECT_EQ(record["command"], "nnq reproduce tiny --scale quick --set train.epochs=1 --threads 1");
  EXPECT_EQ(record["claims"], ran.document()["claims"]);
  EXPECT_TRUE(record["machine"]["cores"].is_number());

  const Ran page = run("--page results.md");
  ASSERT_EQ(page.code, 0) << page.err;
  const std::string text = slurp(folder_ / "results.md");
  EXPECT_NE(text.find("### tiny: A made paper"), std::string::npos) << text;
  EXPECT_NE(text.find("| it \\| learns | 99 % | made images |"), std::string::npos) << text;
  EXPECT_NE(text.find(", 2 seeds | value at least 0"), std::string::npos) << text;
}

/// A record without its command says so; a command is not made up and a cell is not left empty.
TEST_F(Record, WhatWasNotRecordedIsSaid) {
  std::filesystem::create_directories(folder_.path() / "results/cifar10");
  std::ofstream(folder_ / "results/cifar10/old.json") << R"({"data": "cifar10", "value": 90, "float_value": 91})";
  std::ofstream(folder_ / "results/paper.json")
      << R"({"paper": "p", "title": "t", "claims": [{"claim": "c", "published": "1", "setting": "s", "ours": 2,
             "expect": "value", "at_least": 1, "at_most": null, "holds": true, "seeds": [1], "spread": null}]})";
  ASSERT_EQ(run("--page results.md").code, 0);
  const std::string text = slurp(folder_ / "results.md");
  EXPECT_NE(text.find("| 1 | not recorded |"), std::string::npos) << text;
  EXPECT_NE(text.find("The command was not recorded"), std::string::npos) << text;
  EXPECT_EQ(text.find("``"), std::string::npos) << text;
}

TEST_F(Record, FullScaleRunsThePapersSetting) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const Ran ran = run("tiny --scale full --threads 1 --set train.epochs=1 --runs there --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.document()["claims"][0]["claim"], "it learns for long");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "there/tiny/long-seed1/result.json"));
  EXPECT_NE(run("--list").out.find("full"), std::string::npos);
  EXPECT_EQ(run("tiny --scale huge").code, 2);
}

TEST_F(Record, APageOfNothingOrOfBrokenFilesIsAnError) {
  EXPECT_EQ(run("--page results.md").code, 2);
  std::filesystem::create_directories(folder_.path() / "results");
  std::ofstream(folder_ / "results/broken.json") << "{";
  const Ran broken = run("--page results.md");
  EXPECT_EQ(broken.code, 2);
  EXPECT_NE(broken.err.find("results/broken.json"), std::string::npos) << broken.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "results.md"));
}

TEST(ResultsOfTheSourceTree, ThePageIsMadeFromTheFiles) {
  const Folder folder;
  const Ran ran = nnq::test::nnq("reproduce --page '" + (folder / "results.md") + "'", "cd '" NNQ_SOURCE_DIR "' && ");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(slurp(folder / "results.md"), slurp(NNQ_SOURCE_DIR "/docs/results.md"))
      << "make it again: nnq reproduce --page docs/results.md";
}

}  // namespace
