// The recipes in the papers' own settings start: a few steps of each on made data of the right form, deployed.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "core/random.h"

namespace {

using nnq::test::Folder;
using nnq::test::Ran;

/// Where the students of recipes/full look for their teacher: it runs first.
constexpr const char* teacher = "distillation_teacher";
constexpr const char* teacher_run = "runs/reproduce/distillation/distillation_teacher-seed1";

/// CIFAR-10, MNIST and the Penn Treebank as folders of a few noisy samples.
class FullScaleRecipes : public testing::TestWithParam<std::string> {
 protected:
  FullScaleRecipes() {
    for (const char* batch :
         {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
      write_cifar("cifar-10-batches-bin/" + std::string(batch) + ".bin");
    for (const char* part : {"train", "t10k"}) write_idx("mnist/" + std::string(part));
    for (const char* part : {"train", "valid", "test"}) write_words("ptb/ptb." + std::string(part) + ".txt");
  }

  std::ofstream open(const std::string& name) {
    const auto file = folder_.path() / "data" / name;
    std::filesystem::create_directories(file.parent_path());
    return std::ofstream(file, std::ios::binary);
  }
  void write_bytes(std::ofstream& out, int count) {
    for (int i = 0; i < count; ++i) out.put(static_cast<char>(random_.below(256)));
  }
  void write_cifar(const std::string& name) {
    std::ofstream out = open(name);
    for (int i = 0; i < 30; ++i) {
      out.put(static_cast<char>(i % 10));
      write_bytes(out, 3072);
    }
  }
  void write_idx(const std::string& stem) {
    constexpr int count = 150;
    std::ofstream images = open(stem + "-images-idx3-ubyte"), labels = open(stem + "-labels-idx1-ubyte");
    images.write("\0\0\x08\x03\0\0\0\x96\0\0\0\x1c\0\0\0\x1c", 16);
    labels.write("\0\0\x08\x01\0\0\0\x96", 8);
    write_bytes(images, count * 28 * 28);
    for (int i = 0; i < count; ++i) labels.put(static_cast<char>(i % 10));
  }
  void write_words(const std::string& name) {
    std::ofstream out = open(name);
    for (int i = 0; i < 400; ++i)
      out << "word" << (i < 40 ? i : static_cast<int>(random_.below(40))) << (i % 12 == 11 ? "\n" : " ");
  }

  /// A few steps of a recipe, in the folder.
  Ran train(const std::filesystem::path& recipe, const std::string& run) const {
    const bool mines = recipe.stem() == "ci_bcnn_resnet20";
    return nnq::test::nnq(
        "train '" + recipe.string() + "' --run '" + run + "' --set train.epochs=1 --set validation=20 --threads 1" +
            (mines ? " --set mine_interactions.steps=2 --set mine_interactions.images=50" : "") + " --json",
        "cd '" + folder_.path().string() + "' && NNQ_DATA='" + (folder_ / "data") + "' ");
  }

  Folder folder_;
  nnq::Random random_{8};
};

/// recipes/full without its teacher, by name.
std::vector<std::string> recipes() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(NNQ_SOURCE_DIR "/recipes/full"))
    names.insert(entry.path().stem().string());
  names.erase(teacher);
  return {names.begin(), names.end()};
}

TEST_P(FullScaleRecipes, StartsAndDeploys) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const std::filesystem::path folder = NNQ_SOURCE_DIR "/recipes/full";
  std::vector<std::pair<std::string, std::string>> runs{{GetParam(), "runs/" + GetParam()}};
  if (GetParam().starts_with("distillation_")) runs.insert(runs.begin(), {teacher, teacher_run});
  for (const auto& [recipe, run] : runs) {
    const Ran ran = train(folder / (recipe + ".toml"), run);
    EXPECT_EQ(ran.code, 0) << recipe << ": " << ran.err;
    EXPECT_TRUE(std::filesystem::exists(folder_.path() / run / "model.nnq")) << recipe;
  }
}

INSTANTIATE_TEST_SUITE_P(Paper, FullScaleRecipes, testing::ValuesIn(recipes()),
                         [](const auto& recipe) { return recipe.param; });

}  // namespace
