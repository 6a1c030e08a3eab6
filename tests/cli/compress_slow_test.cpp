// `nnq compress` without a recipe, as its user meets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/command.h"
#include "nnq/onnx.h"
#include "nnq/zoo.h"
#include "recipe/runs.h"

namespace {

using nnq::test::nnq;
using nnq::test::Ran;
using testing::HasSubstr;
using testing::Not;
using namespace nnq::recipe::testing;  // NOLINT: the helpers of runs.h

std::int64_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

/// One float model for all tests: float.onnx with its normalisation, bare.onnx without metadata.
class CompressTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (nnq("methods").code != 0) return;  // built without LibTorch
    folder_ = new WorkingFolder;
    data_ = write_quarters(folder_->path(), 1200, 12);
    std::ofstream("float.toml") << recipe_head(data_, small_lenet) << train_stage(5);
    const Ran trained = nnq("train float.toml --run float --threads 2");
    if (trained.code != 0) throw std::runtime_error(trained.err);
    std::filesystem::copy_file("float/model.onnx", "float.onnx");
    ::nnq::Graph graph = ::nnq::import_onnx("float.onnx");
    graph.metadata.clear();
    ::nnq::export_onnx(graph, "bare.onnx");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  void SetUp() override {
    if (folder_ == nullptr) GTEST_SKIP() << "this nnq was built without training";
  }
  /// `compress ARGUMENTS --data ...`, into a run directory of its own.
  static Ran compress(const std::string& arguments, const std::string& run) {
    return nnq("compress " + arguments + " --threads 2 --data " + data_ + " --run " + run);
  }

  inline static WorkingFolder* folder_ = nullptr;
  inline static std::string data_;
};

TEST_F(CompressTest, EightBitsMeetTheDropWithoutTraining) {
  const Ran ran = compress("float.onnx --max-drop 1 --json -o small.nnq", "eight");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const nlohmann::json said = ran.document();
  EXPECT_EQ(said["met"], true);
  EXPECT_EQ(said["packed"], "small.nnq");
  EXPECT_EQ(read_text("small.nnq"), read_text("eight/model.nnq"));
  EXPECT_EQ(said["float_bytes"], std::filesystem::file_size("float.onnx"));
  EXPECT_LT(said["bytes"].get<double>(), 0.5 * said["float_bytes"].get<double>());
  EXPECT_GT(said["float_value"].get<double>(), 80);
  EXPECT_GE(said["value"].get<double>(), said["float_value"].get<double>() - 1);
  EXPECT_EQ(read_json("eight/result.json")["agreement"], 100.0);
  EXPECT_THAT(ran.err, Not(HasSubstr("how its input is normalised")));
  // The model that was written measures what was said of it.
  const Ran evaluated = nnq("evaluate small.nnq --json --data " + data_);
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_EQ(evaluated.document()["value"], said["value"]);
}

TEST_F(CompressTest, SaysInWordsWhatCameOut) {
  const Ran ran = compress("float.onnx --weights 4 --epochs 0 --max-drop 100", "words");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("x smaller"));
  EXPECT_THAT(ran.out, HasSubstr("next: nnq inspect words/model.nnq"));
}

TEST_F(CompressTest, ImpossibleDemandExitsOneAndLeavesItsBest) {
  const Ran ran = compress("float.onnx --weights 1 --activations 1 --epochs 0 --max-drop 0", "one_bit");
  EXPECT_EQ(ran.code, 1) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("NOT met"));
  EXPECT_GT(std::filesystem::file_size("one_bit/model.nnq"), 0u);
  const nlohmann::json result = read_json("one_bit/result.json");
  EXPECT_EQ(result["met"], false);
  EXPECT_LT(result["value"].get<double>(), result["float_value"].get<double>());
}

TEST_F(CompressTest, FineTuningStepsInWhenTheDropDemandsIt) {
  const Ran ran = compress("float.onnx --weights 2 --activations 2 --epochs 1 --max-drop 0.1", "tuned");
  EXPECT_THAT(ran.code, testing::AnyOf(0, 1)) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("fine-tuning"));
  int epochs = 0, decisions = 0;
  for (const nlohmann::json& record : read_metrics("tuned")) {
    epochs += record.contains("epoch") ? 1 : 0;
    if (record.value("event", "") == "decision" && record["fine_tuning"] == true) ++decisions;
  }
  EXPECT_EQ(decisions, 1);
  EXPECT_EQ(epochs, 1);
  const std::string recipe = read_text("tuned/recipe.toml");
  EXPECT_THAT(recipe, HasSubstr("teacher = \"float\""));
  EXPECT_THAT(recipe, HasSubstr("quantize_adds = false"));
}

TEST_F(CompressTest, FindsTheNormalisationAModelDoesNotState) {
  const Ran ran = compress("bare.onnx --max-drop 100 --epochs 0 --json", "bare");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("how its input is normalised"));
  EXPECT_THAT(ran.err, HasSubstr("to -1 .. 1 fits best"));
  EXPECT_EQ(::nnq::import_onnx("bare/model.onnx").metadata.at("nnq.input.mean"), "0.5");
  // Stated, nothing is tried.
  const Ran stated = compress("bare.onnx --max-drop 100 --epochs 0 --mean 0.5 --std 0.25 --json", "stated");
  ASSERT_EQ(stated.code, 0) << stated.err;
  EXPECT_THAT(stated.err, Not(HasSubstr("how its input is normalised")));
  EXPECT_EQ(::nnq::import_onnx("stated/model.onnx").metadata.at("nnq.input.std"), "0.25");
}

/// Its middle layer could sum up beyond 2^24, where float32 is no longer exact.
TEST_F(CompressTest, AWideLayerGetsFewerBitsAndIsNamed) {
  ASSERT_EQ(nnq("zoo mlp --set hidden=4000,8 --set activation=relu --set size=12 --set classes=4 -o wide.onnx").code,
            0);
  const Ran ran = compress("wide.onnx --epochs 0 --max-drop 100 --mean 0.5 --std 0.5", "wide");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("fc2: "));
  EXPECT_THAT(ran.err, HasSubstr(" instead of 8 bits"));
  EXPECT_THAT(ran.err, Not(HasSubstr("fc1: ")));
  // Without that rule it is refused, with the way out in the hint.
  std::ofstream("wide.toml") << "data = '" << data_ << "'\nvalidation = 100\n[model]\nfile = 'wide.onnx'\n"
                             << quantize_stage("uniform", 8, 8);
  const Ran refused = nnq("train wide.toml --run refused");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("layers = \"fc2\""));
}

TEST_F(CompressTest, BadInputIsOneLineAndExitCodeTwo) {
  std::ofstream("letter.onnx") << "Dear model,\nplease become small.\n";
  struct Bad {
    std::string arguments, says;
  };
  for (const Bad& bad : std::vector<Bad>{{"float.onnx", "--data"},
                                         {"absent.onnx --data " + data_, "absent.onnx"},
                                         {"letter.onnx --data " + data_, "letter.onnx"},
                                         {"float.onnx --data no_such_set", "no_such_set"},
                                         {"float.onnx --data npy:absent.npy,labels.npy", "absent.npy"},
                                         {"float.onnx --weights 9 --data " + data_, "--weights"},
                                         {"float.onnx --activations 0 --data " + data_, "--activations"},
                                         {"float.onnx --max-drop -1 --data " + data_, "--max-drop"},
                                         {"float.onnx --method unifrom --data " + data_, "uniform"},
                                         {"float.onnx --method bnn --data " + data_, "1 bit"},
                                         {"float.onnx --recipe absent.toml", "absent.toml"},
                                         {"float.onnx --mean 0.5,0.5 --data " + data_, "mean"},
                                         {"float.onnx --set compress.speed=3 --data " + data_, "compress.speed"}}) {
    const Ran ran = nnq("compress " + bad.arguments);
    EXPECT_EQ(ran.code, 2) << bad.arguments << "\n" << ran.err;
    EXPECT_EQ(lines(ran.err), 1) << bad.arguments << "\n" << ran.err;
    EXPECT_TRUE(ran.out.empty()) << bad.arguments << "\n" << ran.out;
    EXPECT_THAT(ran.err, HasSubstr(bad.says)) << bad.arguments;
  }
}

}  // namespace
