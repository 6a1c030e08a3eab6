// The command line as its user meets it: help, exit codes, one-line errors, one JSON document.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "cli/command.h"

namespace {

using nnq::test::Folder;
using nnq::test::nnq;
using nnq::test::Ran;

std::int64_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

TEST(Cli, HelpNamesEveryVerbAndFitsAScreen) {
  const Ran help = nnq("--help");
  EXPECT_EQ(help.code, 0);
  for (const char* verb : {"zoo", "methods", "data", "inspect", "train", "compress", "evaluate", "compare", "export",
                           "run", "benchmark", "reproduce", "report", "attack"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + verb + " "), std::string::npos) << verb;
    const Ran one = nnq(std::string(verb) + " --help");
    EXPECT_EQ(one.code, 0) << verb << "\n" << one.err;
    EXPECT_NE(one.out.find("Examples:"), std::string::npos) << verb;
  }
  EXPECT_LT(lines(help.out), 30);
}

TEST(Cli, BadUsageIsOneLineAndExitCodeTwo) {
  for (const char* arguments :
       {"nonsense", "inspect", "inspect --no-such-option x", "compress m.onnx --weights 99", "zoo no_such_network",
        "inspect /no/such/file.onnx", "inspect /etc/passwd", "evaluate /no/such.nnq --data fashion_mnist",
        "run /no/such.nnq --input /no/such.npy", "data no_such_set", "train /no/such/recipe.toml",
        "export /no/such.onnx --to nnq -o x.nnq", "benchmark /no/such.nnq", "report /no/such/run"}) {
    const Ran ran = nnq(arguments);
    EXPECT_EQ(ran.code, 2) << arguments << "\n" << ran.err;
    EXPECT_EQ(lines(ran.err), 1) << arguments << "\n" << ran.err;
    EXPECT_TRUE(ran.out.empty()) << arguments << "\n" << ran.out;
  }
}

TEST(Cli, ErrorsAreOneJsonDocumentWhenAskedFor) {
  const Ran ran = nnq("inspect /no/such/file.onnx --json");
  EXPECT_EQ(ran.code, 2);
  const auto document = ran.document();
  ASSERT_TRUE(document.is_object()) << ran.out;
  EXPECT_EQ(document["verb"], "inspect");
  EXPECT_TRUE(document["nnq"].is_string());
  EXPECT_FALSE(document["error"]["message"].get<std::string>().empty());
  EXPECT_TRUE(document["error"].contains("where"));
  EXPECT_TRUE(document["error"].contains("hint"));
}

TEST(Cli, ZooWritesANetworkThatInspectReads) {
  const Folder folder;
  const Ran zoo = nnq("zoo lenet5 -o " + (folder / "lenet5.onnx") + " --json");
  ASSERT_EQ(zoo.code, 0) << zoo.err;
  const Ran inspect = nnq("inspect " + (folder / "lenet5.onnx") + " --json");
  ASSERT_EQ(inspect.code, 0) << inspect.err;
  const auto document = inspect.document();
  EXPECT_GT(document["parameters"].get<std::int64_t>(), 10000);
  EXPECT_GT(document["macs"].get<std::int64_t>(), 100000);
  ASSERT_FALSE(document["layers"].empty());
  for (const char* key :
       {"name", "op", "output_shape", "parameters", "macs", "weight_bits", "activation_bits", "bytes", "encoding"}) {
    EXPECT_TRUE(document["layers"][0].contains(key)) << key;
  }
}

TEST(Cli, ExportedModelRunsAndAgreesWithItsGraph) {
  const Folder folder;
  ASSERT_EQ(nnq("zoo lenet5 -o " + (folder / "m.onnx")).code, 0);
  ASSERT_EQ(nnq("export " + (folder / "m.onnx") + " --to nnq -o " + (folder / "m.nnq")).code, 0);
  const Ran run = nnq("run " + (folder / "m.nnq") + " --random --output " + (folder / "y") + " --json");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto document = run.document();
  ASSERT_EQ(document["outputs"].size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(document["outputs"][0]["file"].get<std::string>()));
  const Ran benchmark = nnq("benchmark " + (folder / "m.nnq") + " --json --repeat 3");
  ASSERT_EQ(benchmark.code, 0) << benchmark.err;
  EXPECT_GT(benchmark.document()["median_ms"].get<double>(), 0);
  EXPECT_FALSE(benchmark.document()["steps"].empty());
}

TEST(Cli, WeightsCacheIsMadeWhereItIsAskedFor) {
  const Folder folder;
  ASSERT_EQ(nnq("zoo lenet5 -o " + (folder / "m.onnx")).code, 0);
  ASSERT_EQ(nnq("export " + (folder / "m.onnx") + " --to nnq -o " + (folder / "m.nnq")).code, 0);
  const std::string run = "run " + (folder / "m.nnq") + " --random --output " + (folder / "y") + " --json";
  for (int i = 0; i < 2; ++i) {
    const Ran cached = nnq(run + " --weights-cache " + (folder / "here"));
    ASSERT_EQ(cached.code, 0) << cached.err;
    EXPECT_EQ(cached.err, "");
  }
  EXPECT_FALSE(std::filesystem::is_empty(folder / "here"));
  EXPECT_EQ(nnq("benchmark " + (folder / "m.nnq") + " --repeat 2 --json --weights-cache=" + (folder / "there")).code,
            0);
  EXPECT_FALSE(std::filesystem::is_empty(folder / "there"));
  const Ran nowhere = nnq(run + " --weights-cache /proc/none");
  EXPECT_EQ(nowhere.code, 0) << "a note, no failure";
  EXPECT_NE(nowhere.err.find("could not be written"), std::string::npos) << nowhere.err;
}

TEST(Cli, VerbsThatDoNotTrainStartFastAndSmall) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers cost memory of their own";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "sanitizers cost memory of their own";
#endif
#endif
  const Folder folder;
  // 40 MB resident: measured by the kernel as the child's maximum; LibTorch alone would take 165 MB.
  const Ran ran = nnq("zoo", "/bin/sh -c 'ulimit -v 600000; exec \"$0\" \"$@\"'");
  EXPECT_EQ(ran.code, 0) << ran.err;
}

TEST(Cli, HostileFilesEndInOneLine) {
  const Folder folder;
  ASSERT_EQ(nnq("zoo lenet5 -o " + (folder / "m.onnx")).code, 0);
  ASSERT_EQ(nnq("export " + (folder / "m.onnx") + " --to nnq -o " + (folder / "m.nnq")).code, 0);
  for (const char* name : {"m.onnx", "m.nnq"}) {
    const std::string whole = nnq::test::slurp(folder / name);
    for (const std::size_t keep :
         {std::size_t{0}, std::size_t{1}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
      const std::string file = folder / ("cut" + std::string(name).substr(1));
      std::ofstream(file, std::ios::binary) << whole.substr(0, keep);
      const Ran ran = nnq("inspect " + file);
      EXPECT_EQ(ran.code, 2) << name << " cut to " << keep << ": " << ran.err;
      EXPECT_EQ(lines(ran.err), 1) << ran.err;
    }
  }
}

}  // namespace
