// What a user gets wrong on the command line: outputs that would destroy something, numbers that are none, options that
// contradict each other, a full disk. One line, exit code 2, and nothing changed.
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/model_files.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;

/// One line that contains `words`, and code 2.
void expect_refused(const Ran& ran, const std::string& words) {
  EXPECT_EQ(ran.code, 2) << ran.err;
  EXPECT_NE(ran.err.find(words), std::string::npos) << ran.err;
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
}

class CliInputOutput : public ::testing::Test {
 protected:
  ModelFiles files_;
};

TEST_F(CliInputOutput, NoModelIsOverwrittenByWhatIsMadeOfIt) {
  const std::string before = slurp(files_.real());
  fs::create_symlink("float.onnx", files_.folder / "link.onnx");
  for (const std::string& output : {files_.real(), files_.folder / "link.onnx"}) {
    for (const char* target : {"nnq", "onnx"})
      expect_refused(nnq("export " + files_.real() + " --to " + target + " -o " + output), "would be overwritten");
  }
  EXPECT_EQ(slurp(files_.real()), before);
}

TEST_F(CliInputOutput, OutputsThatCannotBeAreRefusedFirst) {
  const std::string from = "export " + files_.real() + " --to nnq -o ";
  expect_refused(nnq(from + "/dev/null"), "is not a regular file");
  expect_refused(nnq(from + files_.folder.path().string()), "is a directory");
  expect_refused(nnq(from + files_.folder / "x.onnx"), "name it *.nnq");
  expect_refused(nnq(from + "''"), "is empty");
  expect_refused(nnq("zoo lenet5 -o " + files_.folder / "x.nnq"), "name it *.onnx");
  expect_refused(nnq("methods dorefa --plot " + files_.folder / "x.png"), "name it *.svg");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_FALSE(fs::exists(files_.folder / "x.onnx"));
}

TEST_F(CliInputOutput, AFullDiskUnderStandardOutputIsAnError) {
  const std::string full = " >/dev/full 2>'" + files_.folder / "said" + "'";
  for (const std::string& verb : {std::string("zoo"), std::string("zoo --help"), std::string("--version"),
                                  "inspect " + files_.nnq_file(), "inspect " + files_.nnq_file() + " --json"}) {
    const Ran ran = nnq(verb + full + "; echo $? )", "(");
    EXPECT_EQ(ran.out, "2\n") << verb;
    EXPECT_NE(slurp(files_.folder / "said").find("standard output: "), std::string::npos) << verb;
  }
}

TEST_F(CliInputOutput, NumbersThatAreNone) {
  const std::string data = " --data " + files_.data(), evaluate = "evaluate " + files_.nnq_file() + data;
  expect_refused(nnq(evaluate + " --mean nan"), "--mean: a mean must be a finite number");
  expect_refused(nnq(evaluate + " --std inf"), "--std: a standard deviation");
  expect_refused(nnq(evaluate + " --std 0"), "--std: a standard deviation");
  expect_refused(nnq(evaluate + " --limit -1"), "'-1' is not a whole number");
  expect_refused(nnq("export " + files_.real() + " --to nnq -o " + files_.folder / "m.nnq --mean 1,2,3"),
                 "has 1 channel (");
  EXPECT_FALSE(fs::exists(files_.folder / "m.nnq"));
  expect_refused(nnq("zoo lenet5 -o " + files_.folder / "z.onnx --seed -1"), "'-1' is not a whole number");
  expect_refused(nnq("attack " + files_.real() + data + " --seed 99999999999999999999"), "is not a whole number");
}

TEST_F(CliInputOutput, OptionsThatWouldBeIgnored) {
  expect_refused(nnq("zoo --seed 3"), "--seed needs the name of a network");
  expect_refused(nnq("benchmark kernels --batch 2"), "--batch is for models");
  expect_refused(nnq("benchmark " + files_.nnq_file() + " --batch 2 --shape image=1,1,8,8"), "--batch and --shape");
  expect_refused(nnq("benchmark " + files_.nnq_file() + " --shape image=1,1,8,8 --shape image=2,1,8,8"), "given twice");
}

TEST_F(CliInputOutput, HelpIsFound) {
  expect_refused(nnq("evaluat x"), "did you mean 'evaluate'?");
  EXPECT_EQ(nnq("--help zoo").out, nnq("zoo --help").out);
  EXPECT_NE(nnq("train --help").out.find("Usage: nnq train"), std::string::npos);
}

TEST_F(CliInputOutput, LayersThatWereNotComparedDoNotLookEqual) {
  const std::string line =
      "compare " + files_.real() + " " + files_.nnq_file() + " --data " + files_.data() + " --layer-samples 0";
  const Ran ran = nnq(line);
  EXPECT_EQ(ran.out.find("first difference"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("layers were not compared"), std::string::npos) << ran.out;
  EXPECT_TRUE(nnq(line + " --json").document()["max_abs_difference"].is_null());
}

}  // namespace
}  // namespace nnq::test
