// Claims of an experiment that attack what was trained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/command.h"
#include "core/random.h"
#include "nnq/dataset.h"

namespace {

using nnq::DType;
using nnq::Tensor;
using nnq::test::Folder;
using nnq::test::Ran;
using ::testing::HasSubstr;

constexpr const char* attack_recipe = R"(name = "tiny"
data = "npy:images.npy,labels.npy"
validation = 20
[model]
zoo = "mlp"
parameters = { hidden = "8", size = 8, classes = 5, activation = "relu" }
[[stage]]
kind = "train"
epochs = 3
batch = 20
)";

class ReproduceAttack : public testing::Test {
 protected:
  ReproduceAttack() {
    std::filesystem::create_directories(folder_.path() / "recipes/reproduce");
    nnq::Random random(3);
    Tensor images(DType::u8, {80, 1, 8, 8}), labels(DType::i64, {80});
    for (std::int64_t i = 0; i < 80; ++i) {
      labels.mutable_as<std::int64_t>()[i] = i % 5;
      for (std::int64_t p = 0; p < 64; ++p)
        images.mutable_as<std::uint8_t>()[i * 64 + p] =
            static_cast<std::uint8_t>(random.below(100) + (p / 12 == i % 5 ? 100 : 0));
    }
    nnq::save_npy(images, folder_ / "images.npy");
    nnq::save_npy(labels, folder_ / "labels.npy");
    write("recipes/plain.toml", attack_recipe);
  }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  Ran run(const std::string& rest) const {
    write("recipes/reproduce/tiny.toml",
          "paper = 'tiny'\ntitle = 'A made paper'\n[[claim]]\nclaim = 'it breaks'\npublished = 'yes'\nsetting = 'made "
          "images'\nrecipe = 'recipes/plain.toml'\n" +
              rest + "\n");
    return nnq::test::nnq("reproduce tiny --threads 1 --json", "cd '" + folder_.path().string() + "' && ");
  }

  Folder folder_;
};

TEST_F(ReproduceAttack, RobustAccuracyIsWhatTheClaimIsAbout) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const Ran clean = run("expect = 'value'\nat_least = 60");
  ASSERT_EQ(clean.code, 0) << clean.err << clean.out;
  const double accuracy = clean.document()["claims"][0]["ours"].get<double>();
  const Ran attacked =
      run("expect = 'drop'\nat_least = 5\nattack = 'pgd'\nepsilon = '0.3'\nattack_parameters = 'steps=5 "
          "step_size=0.1'\nattack_images = 80");
  ASSERT_EQ(attacked.code, 0) << attacked.err << attacked.out;
  const auto claim = attacked.document()["claims"][0];
  EXPECT_EQ(claim["attack"], "pgd");
  EXPECT_EQ(claim["epsilon"], "0.3");
  EXPECT_EQ(claim["seeds"][0]["trained"], false);  // the same run, now attacked
  EXPECT_NEAR(claim["ours"].get<double>() + claim["drop"].get<double>(), accuracy, 1e-9);
  EXPECT_EQ(run("expect = 'drop'\nat_most = -1\nattack = 'fgsm'").code, 1);  // an attack never helps
}

TEST_F(ReproduceAttack, AModelThatExistsIsAttackedAsItIs) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const std::string settings = "attack = 'fgsm'\nepsilon = '0.1'\nattack_images = 40";
  const Ran trained = run("expect = 'drop'\nat_least = 0\n" + settings);
  ASSERT_EQ(trained.code, 0) << trained.err << trained.out;
  const auto seed = trained.document()["claims"][0]["seeds"][0];
  std::filesystem::copy_file(folder_.path() / seed["run"].get<std::string>() / "model.onnx", folder_.path() / "m.onnx");
  const Ran beside = run("expect = 'gain'\nbetter_than = 'm.onnx'\nat_least = 0\n" + settings);
  ASSERT_EQ(beside.code, 0) << beside.err << beside.out;
  const auto other = beside.document()["claims"][0]["other_seeds"][0];
  EXPECT_EQ(other["run"], "m.onnx");
  EXPECT_EQ(other["trained"], false);
  EXPECT_EQ(other["value"], seed["value"]);  // the run's own network
  const Ran clean = run("expect = 'gain'\nbetter_than = 'm.onnx'\nat_least = 0");
  EXPECT_EQ(clean.code, 2);
  EXPECT_THAT(clean.err, HasSubstr("m.onnx is trained already: a claim about it needs an attack"));
}

TEST_F(ReproduceAttack, BadAttacksAreOneLine) {
  for (const char* rest : {"expect = 'value'\nat_least = 1\nepsilon = '0.1'",
                           "expect = 'value'\nat_least = 1\nattack = 'fgsm'\nattack_images = 0",
                           "expect = 'value'\nat_least = 1\nattack = 3"}) {
    const Ran ran = run(rest);
    EXPECT_EQ(ran.code, 2) << rest;
    EXPECT_THAT(ran.err, HasSubstr("tiny.toml:")) << rest;
  }
}

}  // namespace
