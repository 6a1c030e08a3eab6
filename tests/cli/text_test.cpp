// Text on the command line: data and evaluate.
#include "nnq/text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cli/command.h"
#include "core/random.h"
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

TEST(TextVerbs, CompareRunsFreeAndFromTheSameState) {
  const Folder folder;
  nnq::Random random(6);
  std::ofstream letters(folder / "letters.txt");
  for (int i = 0; i < 400; ++i) letters << "abcd"[random.below(4)];
  letters.close();
  const std::string data = "chars:" + (folder / "letters.txt");
  // Without layer two the state of one model is no state of the other.
  for (const auto& [name, layers, hidden] : {std::tuple{"a", "1", "8"}, {"b", "1", "8"}, {"two", "2", "8"}}) {
    nnq::Graph graph =
        nnq::build_zoo("gru_lm", {{"vocabulary", "4"}, {"hidden", hidden}, {"layers", layers}, {"init", "1"}}, 5);
    // b forgets a little less: alike at every step, not after many.
    if (std::string(name) == "b")
      for (float& bias : graph.initializers["gru1.B"].mutable_values<float>()) bias += 0.5F;
    nnq::export_onnx(graph, folder / (std::string(name) + ".onnx"));
    nnq::write_program(nnq::lower(nnq::carry_state(graph)), folder / (std::string(name) + ".nnq"));
  }
  const auto compare = [&](const std::string& a, const std::string& b, const std::string& rest = "--json") {
    return nnq::test::nnq("compare '" + (folder / a) + "' '" + (folder / b) + "' --data '" + data + "' " + rest);
  };
  const auto same = compare("a.onnx", "a.nnq").document();
  EXPECT_EQ(same["count"], 19);
  EXPECT_EQ(same["metric"], "perplexity");
  EXPECT_EQ(same["agreement"], 100);
  EXPECT_EQ(same["step_agreement"], 100);
  EXPECT_LT(same["max_abs_difference"].get<double>(), 1e-5);
  const auto evaluated =
      nnq::test::nnq("evaluate '" + (folder / "a.nnq") + "' --data '" + data + "' --json").document();
  EXPECT_NEAR(same["value_b"].get<double>(), evaluated["value"].get<double>(), 1e-6);
  const auto other = compare("a.nnq", "b.nnq", "--split train --limit 0 --json").document();
  const auto program = compare("a.onnx", "b.onnx", "--split train --limit 0 --json --engine program").document();
  EXPECT_LT(other["agreement"].get<double>(), other["step_agreement"].get<double>() - 2);  // the states drift apart
  EXPECT_GT(other["max_abs_difference"].get<double>(), 1e-3);
  EXPECT_EQ(program["max_abs_difference"], other["max_abs_difference"]);
  const auto apart = compare("a.nnq", "two.nnq").document();
  EXPECT_TRUE(apart["step_agreement"].is_null());
  EXPECT_NE(compare("a.nnq", "b.nnq", "").out.find("A's, at every token"), std::string::npos);
  EXPECT_EQ(compare("a.nnq", "b.nnq", "--engine torch").code, 2);
}

TEST(TextVerbs, InspectShowsTheBitsOfAQuantizedState) {
  const Folder folder;
  nnq::Graph graph = nnq::build_zoo("lstm_lm", {{"vocabulary", "4"}, {"hidden", "8"}, {"layers", "1"}}, 5);
  for (nnq::Node& node : graph.nodes) {
    if (node.op != "LSTM") continue;
    node.domain = nnq::kNnqDomain;
    node.attributes["state_bits"] = std::int64_t{3};
  }
  nnq::export_onnx(graph, folder / "state.onnx");
  const auto document = nnq::test::nnq("inspect '" + (folder / "state.onnx") + "' --json").document();
  int found = 0;
  for (const auto& layer : document["layers"]) {
    if (layer["op"] != "LSTM" && layer["op"] != "MatMul") continue;
    EXPECT_EQ(layer["activation_bits"], 3) << layer["name"];  // the layer behind computes on the state's codes
    ++found;
  }
  EXPECT_EQ(found, 2);
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
