// Pictures: of a method's transfer function, and of the interactions that a run mined.
#include <gtest/gtest.h>

#include "cli/command.h"

namespace {

using nnq::test::Folder;
using nnq::test::Ran;
using nnq::test::slurp;

TEST(CliPlot, AMethodsTransferFunction) {
  if (!NNQ_HAS_TRAIN) GTEST_SKIP() << "this build has no training library";
  const Folder folder;
  const std::string file = folder / "dorefa.svg";
  const Ran ran = nnq::test::nnq("methods dorefa --plot '" + file + "' --role activation --bits 2 --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  ASSERT_EQ(ran.document()["levels"].size(), 4U);
  EXPECT_NEAR(ran.document()["levels"][1].get<double>(), 1.0 / 3, 1e-6);
  const std::string svg = slurp(file);
  EXPECT_NE(svg.find("dorefa, activations of 2 bits"), std::string::npos);
  EXPECT_NE(svg.find("class='level'"), std::string::npos);
  for (const char* wrong :
       {"methods dorefa --plot x.svg --bits 9", "methods fgsm --plot x.svg",
        "methods dorefa --plot x.svg --set nonsense=1", "methods dorefa --plot x.svg --set nonsense",
        "methods dorefa --bits 2", "methods --plot x.svg"}) {
    const Ran refused = nnq::test::nnq(wrong, "cd '" + folder.path().string() + "' && ");
    EXPECT_EQ(refused.code, 2) << wrong;
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "x.svg"));
}

TEST(CliPlot, MinedInteractions) {
  const Folder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"event": "interaction", "layer": "conv2", "teacher": 1, "student": 2, "influence": -3, "unit": 4})"
      << "\n";
  const std::string line = "report '" + folder.path().string() + "' --interactions '" + (folder / "graph.svg") + "'";
  ASSERT_EQ(nnq::test::nnq(line).code, 0);
  EXPECT_NE(slurp(folder / "graph.svg").find("conv2: 1 edges"), std::string::npos);
  std::ofstream(folder / "metrics.jsonl") << "{}\n";
  EXPECT_EQ(nnq::test::nnq(line).code, 2);
}

}  // namespace
