// Whole runs on text: float, quantized without and with retraining, deployed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nnq/error.h"
#include "nnq/onnx.h"
#include "nnq/recurrent.h"
#include "nnq/text.h"
#include "recipe/runner.h"
#include "recipe/runs.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the helpers of runs.h

RunResult run_text(const std::string& text, const fs::path& folder, const std::vector<std::string>& overrides = {},
                   bool resume = false) {
  return run_recipe(parse_recipe(text, "little.toml", overrides), folder, resume, 1, "nnq train little.toml");
}

/// Sentences with a rule: the last word repeats the first.
std::string write_sentences(const fs::path& folder) {
  Random random(5);
  const std::vector<std::string> words = {"ant", "bee", "cat", "dog"};
  std::ofstream out(folder / "words.txt");
  for (int i = 0; i < 700; ++i) {
    const std::string& first = words[random.below(4)];
    out << first << " sees " << words[random.below(4)] << " and " << first << "\n";
  }
  return "text:" + (folder / "words.txt").string();
}

std::string text_head(const std::string& data, const std::string& cell = "lstm_lm") {
  return "name = 'little'\ndata = '" + data + "'\n[model]\nzoo = '" + cell +
         "'\nparameters = { hidden = 24, init = 0.2 }\n";
}

std::string training(int epochs) {
  return "[[stage]]\nkind = 'train'\nepochs = " + std::to_string(epochs) +
         "\nbatch = 10\nunroll = 12\nclip_gradient_norm = 1.0\noptimizer = 'adam'\nlearning_rate = 0.01\n"
         "schedule = 'constant'\n";
}

std::string quantizing(int bits, bool state) {
  const std::string method = "{ method = 'alternating', bits = " + std::to_string(bits) + " }\n";
  return "[[stage]]\nkind = 'quantize'\n[[stage.rule]]\nlayers = '*'\nweights = " + method +
         (state ? "[[stage.rule]]\nlayers = '*1'\nweights = " + method + "activations = " + method : "");
}

TEST(TextRun, TrainsMeasuresAndDeploysPerplexity) {
  const WorkingFolder folder;
  const std::string data = write_sentences(folder.path());
  const RunResult result = run_text(text_head(data) + training(6), {});
  EXPECT_EQ(result.metric, "perplexity");
  EXPECT_GT(result.value, 1.5);
  EXPECT_LT(result.value, 3.2);  // 8 words; by the rule two of five are free, one of four each: 4^(2/6) = 1.6
  EXPECT_EQ(result.float_value, result.value);
  const nlohmann::json said = read_json(fs::path(result.run) / "result.json");
  EXPECT_EQ(said["metric"], "perplexity");
  EXPECT_EQ(said["count"], load_text(data, Split::test).tokens.size() - 1);
  int epochs = 0;
  for (const nlohmann::json& record : read_metrics(result.run)) {
    if (!record.contains("epoch")) continue;
    ++epochs;
    EXPECT_TRUE(record.contains("train_perplexity"));
    EXPECT_FALSE(record.contains("train_accuracy"));
    EXPECT_GT(record["validation"].get<double>(), 1);
  }
  EXPECT_EQ(epochs, 6);
  const Graph model = import_onnx(result.model);
  EXPECT_EQ(state_pairs(model.metadata).size(), 2U);
  EXPECT_EQ(vocabulary_from_text(model.metadata.at("nnq.vocabulary")), load_text(data, Split::train).vocabulary);
  EXPECT_NEAR(train::evaluate_perplexity(model, load_text(data, Split::test), "test").value, result.value, 1e-3);
}

TEST(TextRun, QuantizedModelsAreSmallAndAgreeWithTraining) {
  const WorkingFolder folder;
  const std::string data = write_sentences(folder.path());
  for (const char* cell : {"lstm_lm", "gru_lm"}) {
    const RunResult trained = run_text(text_head(data, cell) + training(5), {});
    for (const bool state : {false, true}) {
      const std::string text = "name = 'little'\ndata = '" + data + "'\n[model]\nfile = '" + trained.model.string() +
                               "'\n" + quantizing(2, state) + training(2);
      const RunResult result = run_text(text, {});
      EXPECT_NEAR(result.float_value, trained.value, 1e-3);
      EXPECT_LT(result.value, 1.5 * trained.value) << cell << state;
      EXPECT_LT(result.bytes, result.float_bytes) << "most of this little file is its table";
      const Graph model = import_onnx(result.model);
      EXPECT_NEAR(train::evaluate_perplexity(model, load_text(data, Split::test), "test").value, result.value,
                  2e-3 * result.value);
    }
  }
}

TEST(TextRun, TheFloatModelTeachesItsQuantizedSelf) {
  const WorkingFolder folder;
  const std::string data = write_sentences(folder.path());
  const std::string text = text_head(data) + training(5) + quantizing(2, true) + training(2);
  const RunResult taught = run_text(text + "teacher = 'float'\ndistill_weight = 1.0\ntemperature = 1\n", {});
  EXPECT_LT(taught.value, 3.2);
  for (const nlohmann::json& record : read_metrics(taught.run)) {
    if (record.contains("epoch")) {
      EXPECT_EQ(record.contains("train_perplexity"), record["stage"] == 0);
    }
  }
}

TEST(TextRun, MoreBitsLoseLessWithoutRetraining) {
  const WorkingFolder folder;
  const std::string data = write_sentences(folder.path());
  const RunResult trained = run_text(text_head(data) + training(5), {});
  const auto direct = [&](int bits) {
    return run_text("name = 'little'\ndata = '" + data + "'\nvalidation = 0\n[model]\nfile = '" +
                        trained.model.string() + "'\n" + quantizing(bits, false),
                    {})
        .value;
  };
  const double two = direct(2), four = direct(4);
  EXPECT_LT(four, two);
  EXPECT_LT(four, 1.1 * trained.value);
}

TEST(TextRun, RequirementsSpeakOfPerplexity) {
  const WorkingFolder folder;
  const std::string data = write_sentences(folder.path());
  EXPECT_FALSE(run_text(text_head(data) + "[require]\nmax_value = 1.1\n" + training(1), {}).met);
  EXPECT_TRUE(run_text(text_head(data) + "[require]\nmax_value = 50\n" + training(1), {}).met);
  EXPECT_THROW(parse_recipe(text_head(data) + "[require]\nmin_value = 50\n" + training(1), "r.toml"), Error);
}

TEST(TextRun, WhatDoesNotFitIsRefused) {
  const WorkingFolder folder;
  const std::string data = write_sentences(folder.path());
  const auto refusal = [&](const std::string& text, const std::vector<std::string>& overrides = {}) -> std::string {
    try {
      run_text(text, {}, overrides);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal(text_head(data) + training(1), {"vocabulary=9"}), HasSubstr("has a vocabulary of 8 tokens"));
  EXPECT_THAT(refusal(text_head(data) + training(1), {"train.batch=3000"}), HasSubstr("too few for 3000 streams"));
  EXPECT_THAT(refusal("name = 'x'\ndata = '" + data + "'\n[model]\nzoo = 'lenet5'\n" + training(1)),
              HasSubstr("vocabulary"));
  std::string wrong = text_head(data) + quantizing(2, true);
  EXPECT_THAT(refusal(wrong, {"quantize.rule.1.activations.method=uniform"}),
              HasSubstr("cannot quantize a recurrent state"));
}

}  // namespace
}  // namespace nnq::recipe
