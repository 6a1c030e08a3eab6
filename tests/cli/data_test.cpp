// Verbs that judge models on data: evaluate, compare, report.
#include <gtest/gtest.h>

#include "cli/model_files.h"

namespace {

using nnq::test::has_table;
using nnq::test::image_count;
using nnq::test::ModelFiles;
using nnq::test::nnq;
using nnq::test::Ran;

/// Accuracy by the reference interpreter, with nothing of the command line in it.
double reference_accuracy(const ModelFiles& files, std::int64_t count) {
  const nnq::Graph graph = nnq::import_onnx(files.frozen());
  const nnq::Samples samples = nnq::load_dataset(files.data(), nnq::Split::test);
  const auto preprocessing = nnq::Preprocessing::from_metadata(graph.metadata);
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const nnq::Tensor y = nnq::interpret(graph, {{"image", preprocessing.apply(samples, {&i, 1})}})[0];
    const auto best = std::max_element(y.as<float>(), y.as<float>() + y.count()) - y.as<float>();
    right += best == samples.labels.as<std::int64_t>()[i] ? 1 : 0;
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(count);
}

TEST(CliEvaluate, EveryEngineGivesTheSameAccuracy) {
  const ModelFiles files;
  ASSERT_EQ(files.packed.code, 0) << files.packed.err;
  const double expected = reference_accuracy(files, image_count);
  for (const std::string& line :
       {files.nnq_file(), files.nnq_file() + " --engine interpreter", files.frozen() + " --engine program",
        files.frozen() + " --engine interpreter", files.frozen(), files.nnq_file() + " --threads 2"}) {
    const Ran ran = nnq("evaluate " + line + " --json --data " + files.data());
    ASSERT_EQ(ran.code, 0) << ran.err;
    const auto document = ran.document();
    EXPECT_EQ(document["count"], image_count);
    EXPECT_EQ(document["split"], "test");
    EXPECT_EQ(document["metric"], "accuracy");
    EXPECT_EQ(document["data"], files.data());
    EXPECT_DOUBLE_EQ(document["value"].get<double>(), expected) << line;
  }
  EXPECT_TRUE(has_table(nnq("evaluate " + files.nnq_file() + " --data " + files.data()).out, 1));
  const auto limited = nnq("evaluate " + files.nnq_file() + " --limit 7 --json --data " + files.data()).document();
  EXPECT_EQ(limited["count"], 7);
  EXPECT_DOUBLE_EQ(limited["value"].get<double>(), reference_accuracy(files, 7));
}

TEST(CliEvaluate, BadInputIsOneLine) {
  const ModelFiles files;
  nnq::save_npy(nnq::Tensor(nnq::DType::u8, {2, 3, 8, 8}), files.folder / "rgb.npy");
  nnq::Tensor far(nnq::DType::i64, {2});
  far.mutable_as<std::int64_t>()[0] = 7;
  nnq::save_npy(far, files.folder / "far.npy");
  nnq::save_npy(nnq::Tensor(nnq::DType::u8, {2, 1, 8, 8}), files.folder / "two.npy");
  const std::string rgb = "npy:" + (files.folder / "rgb.npy") + "," + (files.folder / "far.npy");
  const std::string classes = "npy:" + (files.folder / "two.npy") + "," + (files.folder / "far.npy");
  for (const std::string& rest : {std::string(" --data no_such_set"), " --data " + rgb, " --data " + classes,
                                  std::string(), " --split nonsense --data " + files.data(),
                                  " --std 0 --data " + files.data(), " --mean 1,2 --data " + files.data(),
                                  " --engine x --data " + files.data(), " --engine torch --data " + files.data()}) {
    const Ran ran = nnq("evaluate " + files.nnq_file() + rest);
    EXPECT_EQ(ran.code, 2) << rest << "\n" << ran.err;
    EXPECT_EQ(nnq::test::lines_of(ran.err).size(), 1u) << ran.err;
  }
}

TEST(CliEvaluate, PreprocessingIsTheModelsUnlessGiven) {
  const ModelFiles files;
  const std::string line = "evaluate " + files.nnq_file() + " --json --data " + files.data();
  const double own = nnq(line).document()["value"].get<double>();
  EXPECT_EQ(nnq(line + " --mean 0.5 --std 0.25").document()["value"].get<double>(), own);
  const std::string other = files.folder / "other.nnq";
  ASSERT_EQ(nnq("export " + files.frozen() + " --to nnq --std 1000000 -o " + other).code, 0);
  const auto metadata = nnq("inspect --json " + other).document()["metadata"];
  EXPECT_EQ(metadata["nnq.input.mean"], "0.5") << "what is not given stays";
  EXPECT_EQ(metadata["nnq.input.std"], "1000000");
  // Everything the same constant: one class for all images.
  EXPECT_NEAR(nnq(line + " --std 1000000").document()["value"].get<double>(), 20, 1);
}

TEST(CliCompare, PackedModelEqualsItsGraph) {
  const ModelFiles files;
  const std::string pair =
      "--engine interpreter " + files.frozen() + " " + files.nnq_file() + " --data " + files.data();
  const Ran ran = nnq("compare " + pair + " --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto document = ran.document();
  EXPECT_EQ(document["count"], image_count);
  EXPECT_EQ(document["agreement"], 100);
  EXPECT_EQ(document["max_abs_difference"], 0);
  EXPECT_TRUE(document["first_difference"].is_null());
  ASSERT_GE(document["layers"].size(), 3u) << "codes between layers match by name";
  for (const auto& row : document["layers"]) EXPECT_TRUE(row["equal"].get<bool>()) << row.dump();
  EXPECT_TRUE(has_table(nnq("compare " + pair).out, 3));
}

TEST(CliCompare, NoiseOfQuantizationWorstFirst) {
  const ModelFiles files;
  for (const std::string& other : {files.frozen(), files.nnq_file()}) {
    const std::string pair = "compare --engine interpreter " + files.real() + " " + other + " --data " + files.data();
    const auto document = nnq(pair + " --json").document();
    ASSERT_GE(document["layers"].size(), 3u) << other;
    EXPECT_LT(document["agreement"].get<double>(), 100);
    EXPECT_GT(document["max_abs_difference"].get<double>(), 0);
    EXPECT_FALSE(document["first_difference"].is_null());
    double last = -1e9;
    for (const auto& row : document["layers"]) {
      if (row["sqnr_db"].is_null()) continue;
      EXPECT_GE(row["sqnr_db"].get<double>(), last);
      last = row["sqnr_db"].get<double>();
    }
    EXPECT_EQ(nnq(pair + " --min-agreement 100").code, 1) << "a stated requirement was not met";
  }
}

/// A network from elsewhere has no metadata; beside ours it is fed what ours is fed, whichever comes first.
TEST(CliCompare, AModelWithoutInputMetadataTakesTheOthers) {
  const ModelFiles files;
  nnq::Graph bare = nnq::import_onnx(files.real());
  bare.metadata.clear();
  const std::string file = files.folder / "bare.onnx";
  nnq::export_onnx(bare, file);
  const std::string data = " --engine interpreter --data " + files.data();
  for (const std::string& pair : {file + " " + files.real(), files.real() + " " + file}) {
    const auto document = nnq("compare " + pair + data + " --json").document();
    EXPECT_EQ(document["agreement"], 100) << pair;
    EXPECT_EQ(document["max_abs_difference"], 0) << pair;
    EXPECT_EQ(document["input_from"], files.real()) << pair;
    EXPECT_TRUE(nnq("compare " + pair + data).out.find("mean and std are those of " + files.real()) !=
                std::string::npos);
  }
  const std::string given = "compare " + file + " " + files.real() + data + " --mean 0.1 --std 0.5";
  EXPECT_TRUE(nnq(given + " --json").document()["input_from"].is_null());
  EXPECT_TRUE(nnq(given).out.find("those of") == std::string::npos);
  EXPECT_TRUE(
      nnq("compare " + files.real() + " " + files.frozen() + data + " --json").document()["input_from"].is_null());
}

class CliReport : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(files.folder.path() / "w4a4");
    nlohmann::json result = {{"model", files.frozen()},
                             {"packed", files.nnq_file()},
                             {"float_model", files.real()},
                             {"data", files.data()},
                             {"bytes", 1},
                             {"float_bytes", 2},
                             {"value", 12.5},
                             {"float_value", 25.0},
                             {"seconds", 3}};
    std::ofstream(run() + "/result.json") << result.dump();
    std::ofstream(run() + "/metrics.jsonl")
        << "{\"stage\":0,\"epoch\":1,\"loss\":2.5}\n{\"stage\":0,\"epoch\":2,\"loss\":1}\n";
  }
  std::string run() const { return files.folder / "w4a4"; }
  ModelFiles files;
};

TEST_F(CliReport, RecordedRuns) {
  const auto document = nnq("report " + run() + " --json").document();
  ASSERT_EQ(document["runs"].size(), 2u) << "the float model and the run";
  EXPECT_EQ(document["runs"][0]["reference"], true);
  const auto row = document["runs"][1];
  EXPECT_EQ(row["run"], "w4a4");
  EXPECT_EQ(row["bits"], "W4A4");
  EXPECT_EQ(row["value"], 12.5);
  EXPECT_EQ(row["drop"], 12.5);
  EXPECT_EQ(row["bytes"].get<std::size_t>(), std::filesystem::file_size(files.nnq_file())) << "counted from the file";
  EXPECT_TRUE(row["median_ms"].is_null());
  EXPECT_TRUE(has_table(nnq("report " + run()).out, 2));
}

TEST_F(CliReport, MeasuresAndDraws) {
  const std::string page = files.folder / "report.html";
  const auto document = nnq("report " + run() + " --measure --json -o " + page).document();
  EXPECT_EQ(document["file"], page);
  const auto row = document["runs"][1];
  EXPECT_EQ(row["count"], image_count);
  EXPECT_DOUBLE_EQ(row["value"].get<double>(), reference_accuracy(files, image_count)) << "measured, not recorded";
  EXPECT_EQ(row["agreement"], 100);
  EXPECT_GT(row["median_ms"].get<double>(), 0);
  EXPECT_GT(row["faster"].get<double>(), 0);
  EXPECT_NE(nnq::test::slurp(page).find("<svg"), std::string::npos);
  const Ran table = nnq("report " + run() + " --measure");
  EXPECT_TRUE(has_table(table.out, 2)) << table.out;
  EXPECT_NE(table.out.find("agreement"), std::string::npos);
}

TEST_F(CliReport, DamagedRunsAreNamed) {
  std::ofstream(run() + "/result.json") << "{\"model\": ";
  const Ran ran = nnq("report " + run());
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.err.find("result.json"), std::string::npos);
  EXPECT_EQ(nnq("report " + files.folder.path().string()).code, 2);
}

}  // namespace
