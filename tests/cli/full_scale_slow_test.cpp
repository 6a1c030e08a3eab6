// The recipes in the papers' own settings start: a few steps of each on a few images, deployed.
#include <gtest/gtest.h>

#include <string>

#include "cli/command.h"

namespace {

using nnq::test::Folder;
using nnq::test::Ran;

TEST(FullScaleRecipes, StartAndDeploy) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const Ran data = nnq::test::nnq("data cifar10 --json");
  if (data.code != 0) GTEST_SKIP() << "CIFAR-10 is not on this machine";
  for (const auto& entry : std::filesystem::directory_iterator(NNQ_SOURCE_DIR "/recipes/full")) {
    const Folder folder;
    const bool mines = entry.path().stem() == "ci_bcnn_resnet20";
    const Ran ran =
        nnq::test::nnq("train '" + entry.path().string() + "' --run '" + (folder / "run") +
                       "' --set train.epochs=1 --set limit=100 --set validation=0 --threads 2" +
                       (mines ? " --set mine_interactions.steps=2 --set mine_interactions.images=50" : "") + " --json");
    EXPECT_EQ(ran.code, 0) << entry.path() << ": " << ran.err;
    EXPECT_TRUE(std::filesystem::exists(folder / "run/model.nnq")) << entry.path();
  }
}

}  // namespace
