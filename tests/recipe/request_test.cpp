// Requests that cannot be met are refused before any work: options, outputs, packed models, file names.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nnq/onnx.h"
#include "nnq/train_api.h"
#include "nnq/zoo.h"
#include "recipe/recipe.h"
#include "recipe/runs.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace testing;  // NOLINT: the helpers of runs.h

/// A float model of three channels, and data that are not there: only what comes before them is looked at.
class Request : public ::testing::Test {
 protected:
  void SetUp() override {
    ::nnq::Graph graph = build_zoo("resnet20", {}, 1);
    export_onnx(graph, "m.onnx");
    request_.model = "m.onnx";
    request_.data = "no_such_set";
  }
  std::string refusal() const {
    return message_of([&] { nnq_train_api()->compress(request_); });
  }
  /// As far as the data: nothing was wrong with the options.
  static auto passes() { return HasSubstr("no_such_set"); }

  WorkingFolder folder_;
  CompressRequest request_;
};

TEST_F(Request, EpochsAreRefusedOutsideTheirRange) {
  for (const int epochs : {-1, 100001}) {
    request_.epochs = epochs;
    EXPECT_EQ(refusal().find(fmt::format("--epochs: must be 0 to 100000, not {}", epochs)), 0u) << refusal();
  }
  for (const int epochs : {0, 100000}) {
    request_.epochs = epochs;
    EXPECT_THAT(refusal(), passes());
  }
}

TEST_F(Request, MaxDropNamesItsRangeOnce) {
  for (const double drop : {-1.0, 101.0, std::nan("")}) {
    request_.max_drop = drop;
    EXPECT_THAT(refusal(), StartsWith("--max-drop: must be 0 to 100 points"));
  }
}

TEST_F(Request, NormalisationThatDoesNotFitNamesTheOption) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  const auto with = [&](const std::vector<float>& mean, const std::vector<float>& std) {
    request_.mean = mean;
    request_.std = std;
    return refusal();
  };
  EXPECT_THAT(with({nan}, {}), StartsWith("--mean: nan is not a finite number"));
  EXPECT_THAT(with({}, {nan}), StartsWith("--std: nan"));
  EXPECT_THAT(with({}, {infinite}), StartsWith("--std: inf"));
  EXPECT_THAT(with({}, {0}), StartsWith("--std: must be above 0, not 0"));
  EXPECT_THAT(with({}, {-1}), StartsWith("--std: must be above 0"));
  EXPECT_THAT(with({0, 0}, {}), StartsWith("--mean: has 2 values, the model's input 3 channels"));
  EXPECT_THAT(with({0}, {1, 1, 1, 1}), StartsWith("--std: has 4 values"));
  EXPECT_THAT(with({0, 0, 0}, {1}), passes());
}

TEST_F(Request, AMethodThatDoesNotServeTheBits) {
  request_.method = "bnn";
  EXPECT_THAT(refusal(), AllOf(StartsWith("--method bnn: "), HasSubstr("weights take 1 bit, not 8")));
  request_.weights = request_.activations = 1;
  EXPECT_THAT(refusal(), passes());
  request_.method = "twn";
  request_.weights = 2;
  EXPECT_THAT(refusal(), HasSubstr("does not quantize activations"));
  request_.method = "unifrm";
  EXPECT_THAT(refusal(), HasSubstr("did you mean 'uniform'?"));
}

TEST_F(Request, OutputsThatCannotBeWritten) {
  const auto with = [&](const fs::path& output) {
    request_.output = output;
    return refusal();
  };
  fs::create_directory("folder.nnq");
  fs::create_symlink("m.onnx", "link.nnq");
  fs::create_hard_link("m.onnx", "hard.nnq");
  std::ofstream("plain") << "x";
  EXPECT_THAT(with("folder.nnq"), HasSubstr("folder.nnq: is a directory"));
  EXPECT_THAT(with("/dev/null"), HasSubstr("not a regular file"));
  EXPECT_THAT(with("/proc/x.nnq"), HasSubstr("cannot be written"));
  EXPECT_THAT(with("/proc/some/where/x.nnq"), HasSubstr("cannot be written"));
  EXPECT_THAT(with("plain/x.nnq"), HasSubstr("Not a directory"));
  EXPECT_THAT(with("small.onnx"), HasSubstr("name it *.nnq"));
  EXPECT_THAT(with("link.nnq"), HasSubstr("would be overwritten"));
  EXPECT_THAT(with("hard.nnq"), HasSubstr("would be overwritten"));
  EXPECT_THAT(with(""), Not(passes()));
  EXPECT_THAT(with("new/folder/x.nnq"), passes());
  EXPECT_FALSE(fs::exists("new")) << "looking left a folder";
  std::ofstream("old.nnq") << "x";
  EXPECT_THAT(with("old.nnq"), passes());
  EXPECT_EQ(read_text("old.nnq"), "x");
}

TEST_F(Request, APackedModelSaysSo) {
  std::ofstream("p.nnq") << "NNQ1 and so on";
  request_.model = "p.nnq";
  EXPECT_THAT(refusal(), AllOf(StartsWith("p.nnq: is a packed model already"), HasSubstr(".onnx")));
}

TEST_F(Request, AnEmptyRunFolderIsRefused) {
  request_.run_directory = "";
  EXPECT_THAT(refusal(), StartsWith("--run: is empty"));
  TrainRequest train;
  train.recipe = "absent.toml";
  train.run_directory = "";
  EXPECT_THAT(message_of([&] { nnq_train_api()->train(train); }), StartsWith("--run: is empty"));
}

TEST_F(Request, ARecipeThatCannotBeReadIsNamedOnce) {
  EXPECT_THAT(message_of([] { load_recipe("nope.toml"); }), StartsWith("nope.toml: cannot be opened"));
  EXPECT_EQ(message_of([] { load_recipe("."); }), ".: is not a regular file");
}

}  // namespace
}  // namespace nnq::recipe
