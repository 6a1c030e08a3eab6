// `nnq attack` as its user meets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/model_files.h"

namespace {

using nnq::test::Folder;
using nnq::test::has_table;
using nnq::test::ModelFiles;
using nnq::test::nnq;
using nnq::test::Ran;
using nnq::test::slurp;
using ::testing::HasSubstr;

const ModelFiles& files() {
  static const ModelFiles made;
  return made;
}

std::string attack(const std::string& model, const std::string& rest) {
  return "attack " + model + " --data " + files().data() + " --threads 1 " + rest;
}

TEST(AttackVerb, HelpNamesEveryAttack) {
  const Ran help = nnq("attack --help");
  EXPECT_EQ(help.code, 0);
  for (const char* id : {"fgsm", "pgd", "carlini_wagner", "substitute"}) EXPECT_THAT(help.out, HasSubstr(id));
}

TEST(AttackVerb, MethodsListAndExplainAttacks) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  EXPECT_THAT(nnq("methods").out, HasSubstr("carlini_wagner"));
  const Ran one = nnq("methods pgd");
  EXPECT_THAT(one.out, HasSubstr("random_start"));
  EXPECT_THAT(one.out, HasSubstr("nnq attack MODEL --attack pgd"));
}

TEST(AttackVerb, BadBudgetsAndNamesAreOneLine) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  for (const char* rest : {"--epsilon 0", "--epsilon -8/255", "--epsilon 8/0", "--epsilon 2", "--epsilon x",
                           "--attack nonsense", "--set steps=0", "--set steps", "--set no_such=1", "--backend gpu",
                           "--gradient hard", "--source /no/such.onnx", "--draws 3", "--beta 0"}) {
    const Ran ran = nnq(attack(files().real(), rest));
    EXPECT_EQ(ran.code, 2) << rest << "\n" << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << rest << "\n" << ran.err;
    EXPECT_TRUE(ran.out.empty()) << rest;
  }
  EXPECT_EQ(nnq("attack /no/such.onnx").code, 2);
  // Before anything about the model, which has no data set.
  EXPECT_THAT(nnq("attack " + files().real() + " --gradient clop").err, HasSubstr("there is no gradient 'clop'"));
  EXPECT_THAT(nnq("attack " + files().real() + " --attack pdg").err, HasSubstr("there is no attack 'pdg'"));
  EXPECT_THAT(nnq("attack " + files().real()).err, HasSubstr("--data"));
}

TEST(AttackVerb, PrintsATableADiagnosisAndACurve) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const Folder folder;
  const Ran ran = nnq(attack(files().real() + " " + files().frozen(),
                             "--epsilon 8/255,0.2 --set steps=5 --curve " + (folder / "curve.svg")));
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(has_table(ran.out, 8)) << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("8/255"));
  EXPECT_THAT(ran.out, HasSubstr("next: nnq attack"));
  const std::string svg = slurp(folder / "curve.svg");
  EXPECT_THAT(svg, HasSubstr("<svg"));
  EXPECT_THAT(svg, HasSubstr("float, pgd"));
  EXPECT_THAT(svg, HasSubstr("frozen, fgsm"));
}

TEST(AttackVerb, JsonHasThePromisedKeysAndTheRuntimeAgrees) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const std::string rest = "--attack pgd --epsilon 0.1 --set steps=5 --json --no-diagnosis";
  const Ran executor = nnq(attack(files().frozen(), rest));
  ASSERT_EQ(executor.code, 0) << executor.err;
  const auto a = executor.document();
  for (const char* key : {"attack", "epsilon", "count", "clean", "robust", "backend", "results", "diagnoses"})
    EXPECT_TRUE(a.contains(key)) << key;
  EXPECT_EQ(a["attack"], "pgd");
  EXPECT_EQ(a["epsilon"], 0.1);
  EXPECT_EQ(a["count"], nnq::test::image_count);
  EXPECT_EQ(a["backend"], "executor");
  EXPECT_LE(a["robust"].get<double>(), a["clean"].get<double>());
  // frozen.nnq: integers; its gradients come from frozen.onnx beside it.
  const auto b = nnq(attack(files().nnq_file(), rest)).document();
  EXPECT_EQ(b["backend"], "runtime");
  EXPECT_EQ(b["clean"], a["clean"]);
  EXPECT_EQ(b["robust"], a["robust"]);
  EXPECT_EQ(b["mean_l2"], a["mean_l2"]);
}

TEST(AttackVerb, IntegersAloneNeedASourceOrABlackBox) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const Folder folder;
  std::filesystem::copy_file(files().nnq_file(), folder / "alone.nnq");
  const Ran alone = nnq(attack(folder / "alone.nnq", "--attack fgsm"));
  EXPECT_EQ(alone.code, 2);
  EXPECT_THAT(alone.err, HasSubstr("--source"));
  EXPECT_EQ(nnq(attack(folder / "alone.nnq", "--attack fgsm --source " + files().real())).code, 0);
  const Ran black = nnq(attack(folder / "alone.nnq", "--attack substitute --set seed_images=8 --set rounds=2 --json"));
  ASSERT_EQ(black.code, 0) << black.err;
  EXPECT_EQ(black.document()["black_box"], true);
  EXPECT_EQ(black.document()["count"], nnq::test::image_count - 8);
  EXPECT_EQ(nnq(attack(folder / "alone.nnq", "--backend executor --attack fgsm")).code, 2);
}

}  // namespace
