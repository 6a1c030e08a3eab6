// Reading a run directory back, whole and damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "nnq/error.h"
#include "nnq/report.h"

namespace nnq {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ReadRun : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::path(testing::TempDir()) / "nnq_read_run_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    write("result.json", R"({"model": "m.onnx", "packed": "", "value": 91.5, "bytes": 10, "data": "cifar10"})");
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  std::string refusal() const {
    try {
      read_run(folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  fs::path folder_;
};

TEST_F(ReadRun, ReadsResultAndCurves) {
  write("metrics.jsonl", "{\"stage\":0,\"epoch\":1,\"loss\":2.5}\n{\"stage\":0,\"epoch\":2,\"loss\":1.5}\n");
  const RunSummary run = read_run(folder_);
  EXPECT_EQ(run.name, folder_.filename().string());
  EXPECT_TRUE(run.has_value);
  EXPECT_FALSE(run.has_float);
  EXPECT_EQ(run.value, 91.5);
  EXPECT_EQ(run.curves, (std::map<std::string, std::vector<double>>{{"loss", {2.5, 1.5}}}));
}

TEST_F(ReadRun, TornLastLineIsLeftOut) {
  write("metrics.jsonl", "{\"stage\":0,\"epoch\":1,\"loss\":2.5}\n{\"stage\":0,\"epo");
  EXPECT_EQ(read_run(folder_).curves.at("loss").size(), 1u);
}

TEST_F(ReadRun, DamageElsewhereIsAnErrorWithTheLine) {
  write("metrics.jsonl", "{\"loss\":2}\n{\"lo\n{\"loss\":1}\n");
  EXPECT_THAT(refusal(), HasSubstr("metrics.jsonl:2"));
}

TEST_F(ReadRun, MissingOrMalformedResultIsNamed) {
  write("result.json", "[1, 2]");
  EXPECT_THAT(refusal(), HasSubstr("result.json"));
  fs::remove(folder_ / "result.json");
  EXPECT_THAT(refusal(), HasSubstr("result.json"));
}

}  // namespace
}  // namespace nnq
