// What a quantize stage would refuse is refused when the recipe is read, with its line, or as soon as there is a
// network.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipe/runner.h"
#include "recipe/runs.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace testing;  // NOLINT: the helpers of runs.h

/// A train stage and behind it a quantize stage; the rule's `rest` begins in line 9.
std::string recipe_with(const std::string& rest) {
  return "data = 'cifar10'\n[model]\nzoo = 'mlp'\n[[stage]]\nkind = 'train'\n[[stage]]\nkind = 'quantize'\n"
         "[[stage.rule]]\n" +
         rest;
}

std::string refusal_of_rule(const std::string& rest, const std::vector<std::string>& overrides = {}) {
  return message_of([&] { parse_recipe(recipe_with(rest), "r.toml", overrides); });
}

std::string refusal_of_weights(const std::string& table) {
  return refusal_of_rule("layers = '*'\nweights = { " + table + " }\n");
}

TEST(CheckQuantizer, AMethodThatIsNotThereNamesLineAndNearest) {
  EXPECT_THAT(refusal_of_weights("method = 'unifrm', bits = 4"),
              AllOf(StartsWith("r.toml:10: "), HasSubstr("'unifrm'"), HasSubstr("did you mean 'uniform'?")));
  EXPECT_THAT(refusal_of_rule("layers = '*'\nactivations = { method = 'dorfea' }\n"),
              AllOf(StartsWith("r.toml:10: "), HasSubstr("'dorefa'")));
}

TEST(CheckQuantizer, UnknownKeysAreComparedWithTheRulesOwnAndTheMethods) {
  EXPECT_THAT(refusal_of_weights("method = 'uniform', bitz = 4"),
              AllOf(StartsWith("r.toml:10: "), HasSubstr("'bitz'"), HasSubstr("did you mean 'bits'?")));
  EXPECT_THAT(refusal_of_weights("method = 'uniform', per_chanel = true"), HasSubstr("did you mean 'per_channel'?"));
  EXPECT_THAT(refusal_of_weights("methode = 'uniform'"), HasSubstr("needs a method"));
  // Attributes that placement writes on the node itself are no parameters.
  EXPECT_THAT(refusal_of_weights("method = 'uniform', signed = 0"), HasSubstr("'signed' is neither"));
}

TEST(CheckQuantizer, BitsAndRolesThatAMethodDoesNotServe) {
  EXPECT_THAT(refusal_of_weights("method = 'bnn', bits = 3"),
              AllOf(StartsWith("r.toml:10: "), HasSubstr("weights take 1 bit, not 3"), HasSubstr("serves weights 1")));
  EXPECT_THAT(refusal_of_weights("method = 'bnn'"), HasSubstr("weights take 1 bit, not 8"));
  EXPECT_THAT(refusal_of_weights("method = 'deep_twist', projection = 'prune'"), HasSubstr("accepted"));
  EXPECT_THAT(refusal_of_rule("layers = '*'\nactivations = { method = 'twn', bits = 2 }\n"),
              AllOf(StartsWith("r.toml:10: "), HasSubstr("does not quantize activations")));
  EXPECT_THAT(refusal_of_rule("layers = '*'\ngradients = { method = 'dorefa', bits = 1 }\n"),
              AllOf(StartsWith("r.toml:10: "), HasSubstr("gradients take 2 to 8 bits, not 1")));
}

TEST(CheckQuantizer, TypesAndRangesOfParameters) {
  EXPECT_THAT(refusal_of_weights("method = 'uniform', percentile = 20"), HasSubstr("from 50 to 100"));
  EXPECT_THAT(refusal_of_weights("method = 'uniform', percentile = 'many'"),
              HasSubstr("parameter 'percentile' is many"));
  EXPECT_THAT(refusal_of_weights("method = 'uniform', per_channel = [1, 2]"),
              HasSubstr("parameter 'per_channel' is a list"));
  EXPECT_THAT(refusal_of_weights("method = 'uniform', calibration = 'mze'"), HasSubstr("did you mean 'mse'?"));
  EXPECT_THAT(refusal_of_weights("method = 'bnn', bits = 1, shift_batch_norm = 'yes'"), HasSubstr("shift_batch_norm"));
  EXPECT_THAT(refusal_of_weights("method = 'bnn', bits = 1, shift_batch_norm = true"), HasSubstr("accepted"));
  EXPECT_THAT(refusal_of_weights("method = 'differentiable', bits = 2, points = 16"),
              AllOf(HasSubstr("16 points"), Not(HasSubstr("''"))));
}

TEST(CheckQuantizer, TheLineIsThatOfTheKeyToBlame) {
  const std::string table = "layers = '*'\n[stage.rule.weights]\nmethod = 'uniform'\n";
  EXPECT_THAT(refusal_of_rule(table + "symmetric = true\npercentile = 3\n"), StartsWith("r.toml:13: "));
  EXPECT_THAT(refusal_of_rule(table + "bitz = 3\n"), StartsWith("r.toml:12: "));
  EXPECT_THAT(refusal_of_rule("layers = '*'\n[stage.rule.weights]\nmethod = 'twn'\nper_channel = true\nbits = 3\n"),
              StartsWith("r.toml:13: "));
  EXPECT_THAT(
      refusal_of_rule("layers = '*'\nweights = { method = 'bnn', bits = 1 }\n", {"quantize.rule.0.weights.bits=3"}),
      StartsWith("--set quantize.rule.0.weights.bits=3: "));
}

TEST(CheckQuantizer, ASecondQuantizeStageAndSetBitsOfNoMethod) {
  const std::string good = "layers = '*'\nweights = { method = 'uniform' }\n";
  EXPECT_THAT(refusal_of_rule(good + "[[stage]]\nkind = 'quantize'\nrule = [{ layers = '*' }]\n"),
              AllOf(StartsWith("r.toml:11: "), HasSubstr("quantized already")));
  EXPECT_THAT(refusal_of_rule(good + "[[stage]]\nkind = 'set_bits'\nweights = 4\nmethod = 'unifrm'\n"),
              AllOf(StartsWith("r.toml:14: "), HasSubstr("'uniform'")));
}

TEST(CheckQuantizer, EveryRecipeOfTheTreeIsAccepted) {
  int read = 0;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(NNQ_SOURCE_DIR) / "recipes")) {
    if (entry.path().extension() != ".toml" || entry.path().parent_path().filename() == "reproduce") continue;
    const std::string text = read_text(entry.path());
    EXPECT_EQ(message_of([&] { parse_recipe(text, entry.path().string()); }), "accepted") << entry.path();
    ++read;
  }
  EXPECT_GT(read, 10);
}

/// Layers are known when the network is there: before the train stage in front has begun.
TEST(CheckPlacement, LayersThatDoNotMatchAreFoundBeforeTraining) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 8);
  const std::string text = recipe_head(data, small_mlp) + train_stage(1) +
                           "[[stage]]\nkind = 'quantize'\n[[stage.rule]]\nlayers = 'zzz'\n"
                           "weights = { method = 'uniform' }\n";
  const auto run = [&](const std::vector<std::string>& overrides) {
    return message_of([&] { run_recipe(parse_recipe(text, "r.toml", overrides), "mine", false, 1, ""); });
  };
  EXPECT_THAT(run({}), AllOf(HasSubstr("stage 2 (quantize)"), HasSubstr("'zzz'")));
  EXPECT_FALSE(fs::exists("mine")) << "a run that did nothing left its folder";
  EXPECT_THAT(run({"quantize.rule.0.layers=fc9"}), HasSubstr("did you mean 'fc1'?"));
}

/// The same of the layers, methods and bits that a later stage names.
TEST(CheckPlacement, SetBitsIsTriedBeforeTraining) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 8);
  const std::string text = recipe_head(data, small_mlp) +
                           "[[stage]]\nkind = 'quantize'\n[[stage.rule]]\nlayers = '*'\n"
                           "weights = { method = 'uniform', bits = 5 }\n" +
                           train_stage(1) + "[[stage]]\nkind = 'set_bits'\nweights = 4\n" + train_stage(1);
  const auto run = [&](const std::vector<std::string>& overrides) {
    return message_of([&] { run_recipe(parse_recipe(text, "r.toml", overrides), "mine", false, 1, ""); });
  };
  EXPECT_THAT(run({"set_bits.layers=fc9"}), AllOf(HasSubstr("stage 3 (set_bits)"), HasSubstr("did you mean 'fc1'?")));
  EXPECT_FALSE(fs::exists("mine")) << "a run that did nothing left its folder";
  EXPECT_THAT(run({"set_bits.method=dorefa"}), HasSubstr("no placed quantizer of method 'dorefa'"));
  EXPECT_THAT(run({"quantize.rule.0.weights.method=ttq", "quantize.rule.0.weights.bits=2"}),
              AllOf(HasSubstr("stage 3 (set_bits)"), HasSubstr("2 bits")));
  const std::string unquantized = recipe_head(data, small_mlp) + train_stage(1) + "[[stage]]\nkind = 'set_bits'\n";
  EXPECT_THAT(message_of([&] { run_recipe(parse_recipe(unquantized, "r.toml"), "mine", false, 1, ""); }),
              AllOf(HasSubstr("stage 2 (set_bits)"), HasSubstr("no quantizers")));
  EXPECT_FALSE(fs::exists("mine"));
}

/// Not only names: whatever placement refuses of this network.
TEST(CheckPlacement, ARecurrentStateIsCheckedBeforeTraining) {
  const WorkingFolder folder;
  std::ofstream out("words.txt");
  for (int i = 0; i < 500; ++i) out << "ant sees bee and ant\n";
  out.close();
  const std::string text = "data = 'text:words.txt'\n[model]\nzoo = 'lstm_lm'\nparameters = { hidden = 8 }\n" +
                           train_stage(1) +
                           "[[stage]]\nkind = 'quantize'\n[[stage.rule]]\nlayers = '*'\n"
                           "weights = { method = 'alternating', bits = 2 }\nactivations = { method = 'dorefa' }\n";
  EXPECT_THAT(message_of([&] { run_recipe(parse_recipe(text, "r.toml"), "mine", false, 1, ""); }),
              AllOf(HasSubstr("stage 2 (quantize)"), HasSubstr("cannot quantize a recurrent state")));
  EXPECT_FALSE(fs::exists("mine"));
}

}  // namespace
}  // namespace nnq::recipe
