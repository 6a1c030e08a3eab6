// Text on the command line: data and evaluate.
#include "nnq/text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cli/command.h"
#include "nnq/lower.h"
#include "nnq/onnx.h"
#include "nnq/program.h"
#include "nnq/recurrent.h"
#include "nnq/zoo.h"

namespace {

using nnq::test::Folder;
using nnq::test::Ran;
using nnq::test::slurp;

std::string write_text(const Folder& folder) {
  std::ofstream out(folder / "abc.txt");
  for (int i = 0; i < 400; ++i) out << "abcd"[i * i % 4];
  return "chars:" + (folder / "abc.txt");
}

TEST(TextVerbs, DataDescribesACorpus) {
  const Folder folder;
  const auto document = nnq::test::nnq("data '" + write_text(folder) + "' --json").document();
  ASSERT_EQ(document["splits"].size(), 3U);
  EXPECT_EQ(document["splits"][0]["count"], 360);
  EXPECT_EQ(document["splits"][0]["vocabulary"], 2);  // squares are 0 or 1 modulo 4
  bool listed = false;
  const auto all = nnq::test::nnq("data --json").document();
  for (const auto& set : all["data_sets"]) listed = listed || (set["name"] == "ptb" && set["kind"] == "text");
  EXPECT_TRUE(listed);
}

TEST(TextVerbs, EvaluatePrintsThePerplexityOfOnnxAndPacked) {
  const Folder folder;
  const std::string data = write_text(folder);
  nnq::Graph graph = nnq::build_zoo("gru_lm", {{"vocabulary", "2"}, {"hidden", "8"}});
  nnq::export_onnx(graph, folder / "model.onnx");  // carries no state yet: evaluate makes it
  graph = nnq::carry_state(graph);
  nnq::write_program(nnq::lower(graph), folder / "model.nnq");
  std::vector<double> values;
  for (const char* file : {"model.onnx", "model.nnq"}) {
    for (const char* engine : {"program", "interpreter"}) {
      const Ran ran =
          nnq::test::nnq("evaluate '" + (folder / file) + "' --data '" + data + "' --json --engine " + engine);
      ASSERT_EQ(ran.code, 0) << ran.err;
      const auto document = ran.document();
      EXPECT_EQ(document["metric"], "perplexity");
      EXPECT_EQ(document["count"], 19);
      EXPECT_EQ(document["engine"], engine);
      values.push_back(document["value"].get<double>());
    }
  }
  for (const double value : values) EXPECT_NEAR(value, values[0], 1e-5);
  EXPECT_GT(values[0], 1);
  EXPECT_LT(values[0], 4);
  const Ran table =
      nnq::test::nnq("evaluate '" + (folder / "model.nnq") + "' --data '" + data + "' --split validation");
  EXPECT_NE(table.out.find("perplexity"), std::string::npos);
}

TEST(TextVerbs, AnotherVocabularyAndImagesAreRefused) {
  const Folder folder;
  const std::string data = write_text(folder);
  nnq::export_onnx(nnq::build_zoo("gru_lm", {{"vocabulary", "5"}, {"hidden", "8"}}), folder / "wide.onnx");
  nnq::export_onnx(nnq::build_zoo("lenet5"), folder / "images.onnx");
  for (const char* file : {"wide.onnx", "images.onnx"}) {
    const Ran ran = nnq::test::nnq("evaluate '" + (folder / file) + "' --data '" + data + "'");
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
}

}  // namespace
