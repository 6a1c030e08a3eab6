// Whole runs on small networks: what they leave behind, and that what is deployed is what was trained.
#include "recipe/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "nnq/error.h"
#include "nnq/onnx.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "recipe/runs.h"
#include "train/run_graph.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the helpers of runs.h

RunResult run(const std::string& text, const fs::path& folder, const std::vector<std::string>& overrides = {}) {
  return run_recipe(parse_recipe(text, "little.toml", overrides), folder, false, 2, "nnq train little.toml");
}

struct Case {
  std::string name, model, method;
  std::int64_t size;
  int weights, activations;
};

std::string name_of_case(const ::testing::TestParamInfo<Case>& row) { return row.param.name; }

class WholeRun : public ::testing::TestWithParam<Case> {};

TEST_P(WholeRun, LeavesModelsMeasurementsAndOrigin) {
  const Case& c = GetParam();
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 600, c.size);
  const std::string text = recipe_head(data, c.model) + train_stage(3) +
                           quantize_stage(c.method, c.weights, c.activations) + train_stage(2) +
                           "[[stage]]\nkind = 'evaluate'\n[[stage]]\nkind = 'export'\n";
  const RunResult result = run(text, {});
  const fs::path directory = folder.path() / "runs" / "little-1";
  EXPECT_EQ(fs::weakly_canonical(result.run), fs::weakly_canonical(directory));
  for (const char* file :
       {"model.onnx", "model.nnq", "float.onnx", "result.json", "metrics.jsonl", "run.json", "recipe.toml"})
    EXPECT_TRUE(fs::file_size(directory / file) > 0) << file;
  EXPECT_TRUE(result.met);
  EXPECT_FALSE(result.interrupted);
  EXPECT_GT(result.float_value, 60);
  EXPECT_GT(result.value, 50);
  EXPECT_EQ(result.bytes, fs::file_size(directory / "model.nnq"));
  EXPECT_EQ(result.float_bytes, fs::file_size(directory / "float.onnx"));

  const nlohmann::json said = read_json(directory / "result.json");
  EXPECT_EQ(said["value"], result.value);
  EXPECT_EQ(said["count"], 600);
  EXPECT_EQ(said["agreement"], 100.0);
  EXPECT_EQ(said["interrupted"], false);
  const nlohmann::json origin = read_json(directory / "run.json");
  EXPECT_NE(origin["data_hash"], "0000000000000000");
  EXPECT_EQ(origin["data_hash"].get<std::string>().size(), 16u);

  std::vector<std::pair<int, int>> epochs;
  double evaluated = -1;
  for (const nlohmann::json& record : read_metrics(directory)) {
    if (record.contains("epoch")) epochs.emplace_back(record["stage"], record["epoch"]);
    if (record.value("event", "") == "evaluate") evaluated = record["accuracy"];
  }
  EXPECT_EQ(epochs, (std::vector<std::pair<int, int>>{{0, 1}, {0, 2}, {0, 3}, {3, 1}, {3, 2}}));
  EXPECT_EQ(evaluated, result.value) << "the simulation's accuracy against the packed model's";

  const std::vector<StoredRun> stored = RunStore().list();
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(stored[0].outcome.state, "done");
  EXPECT_EQ(stored[0].outcome.value, result.value);
  EXPECT_EQ(stored[0].epochs, 5);
}

/// Accuracy of the packed model as a user of the runtime measures it, with what the file itself says of its input.
TEST_P(WholeRun, ValueIsTheAccuracyOfThePackedFile) {
  const Case& c = GetParam();
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, c.size);
  const RunResult result =
      run(recipe_head(data, c.model) + train_stage(1) + quantize_stage(c.method, c.weights, c.activations), "mine");
  std::shared_ptr<const Model> model;
  throw_if_error(Model::load(result.packed.string(), {}, model));
  std::unique_ptr<Session> session;
  throw_if_error(Session::create(model, {}, session));
  const Samples test = load_dataset(data, Split::test);
  std::vector<std::int64_t> all(300);
  std::iota(all.begin(), all.end(), 0);
  const Preprocessing preprocessing = Preprocessing::from_metadata(model->metadata());
  EXPECT_EQ(preprocessing.mean, (std::vector<float>{0.5F}));
  std::vector<Tensor> outputs;
  const std::vector<Tensor> inputs = {preprocessing.apply(test, all)};
  throw_if_error(session->run(inputs, outputs));
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    const float* row = outputs[0].as<float>() + i * 4;
    correct += std::max_element(row, row + 4) - row == test.labels.as<std::int64_t>()[i] ? 1 : 0;
  }
  EXPECT_DOUBLE_EQ(result.value, static_cast<double>(correct) / 3);
}

INSTANTIATE_TEST_SUITE_P(Networks, WholeRun,
                         ::testing::Values(Case{"mlp_w8a8", small_mlp, "uniform", 8, 8, 8},
                                           Case{"lenet5_w4a4", small_lenet, "uniform", 12, 4, 4}),
                         name_of_case);

TEST(Runner, SameSeedSameBytesOtherSeedOtherBytes) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 12);
  const std::string text = recipe_head(data, small_lenet) + "shift = 1\nflip = true\n" + train_stage(2) +
                           quantize_stage("dorefa", 2, 2) + train_stage(2);
  const RunResult one = run(text, "one"), two = run(text, "two"), three = run(text, "three", {"seed=2"});
  for (const char* file : {"model.onnx", "model.nnq", "float.onnx"}) {
    EXPECT_TRUE(read_text(fs::path("one") / file) == read_text(fs::path("two") / file)) << file;
    EXPECT_FALSE(read_text(fs::path("one") / file) == read_text(fs::path("three") / file)) << file;
  }
  EXPECT_EQ(one.value, two.value);
}

TEST(Runner, ResumeOfAFinishedRunRepeatsNoRecord) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 8);
  const Recipe recipe = parse_recipe(recipe_head(data, small_mlp) + quantize_stage("uniform", 8, 8) +
                                         "[[stage]]\nkind = 'evaluate'\nsplit = 'validation'\n" + train_stage(2) +
                                         "[[stage]]\nkind = 'evaluate'\n",
                                     "little.toml");
  run_recipe(recipe, "mine", false, 2, "nnq train little.toml");
  const std::string before = read_text("mine/metrics.jsonl"), model = read_text("mine/model.nnq");
  const nlohmann::json origin = read_json("mine/run.json");
  const RunResult again = run_recipe(recipe, "mine", true, 2, "nnq train little.toml --resume");
  EXPECT_EQ(read_text("mine/metrics.jsonl"), before);
  EXPECT_TRUE(read_text("mine/model.nnq") == model);
  EXPECT_EQ(read_json("mine/run.json")["data_hash"], origin["data_hash"]);
  EXPECT_TRUE(again.met);
  EXPECT_EQ(RunStore().list().size(), 1u);
}

std::string refused_with(const std::string& text, const fs::path& folder) {
  try {
    run(text, folder);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(Runner, ATeacherIsTheFloatNetworkOrAFileAndIsRecorded) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 8);
  const std::string quantized = train_stage(2) + quantize_stage("dorefa", 2, 2) + train_stage(2);
  run(recipe_head(data, small_mlp) + quantized + "teacher = 'float'\n", "mine");
  run(recipe_head(data, small_mlp) + quantized, "alone");
  EXPECT_FALSE(read_text("mine/model.nnq") == read_text("alone/model.nnq")) << "the teacher changes what is learned";
  std::vector<nlohmann::json> events;
  for (const nlohmann::json& record : read_metrics("mine"))
    if (record.value("event", "") == "teacher") events.push_back(record);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["stage"], 3);
  EXPECT_EQ(events[0]["hash"].get<std::string>().size(), 16u);

  const std::string taught = train_stage(2) + "teacher = 'mine/float.onnx'\ndistill_weight = 1.0\n";
  const RunResult result = run(
      recipe_head(
          data, "[model]\nzoo = 'mlp'\nparameters = { hidden = '12', size = 8, classes = 4, activation = 'relu' }\n") +
          taught,
      "float_student");
  EXPECT_GT(result.value, 40);
  EXPECT_THAT(refused_with(recipe_head(data, small_mlp) + train_stage(1) + "teacher = 'float'\n", "x"),
              HasSubstr("cannot be its own teacher"));
  std::string other_input = recipe_head(data, small_mlp) + taught;
  other_input.replace(other_input.find("mean = [0.5]"), 12, "mean = [0.1]");
  EXPECT_THAT(refused_with(other_input, "y"), HasSubstr("nnq.input.mean"));
}

TEST(Runner, ANetworkQuantizedBeforeItLearnedHasNoFloatAccuracy) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 8);
  const RunResult result = run(recipe_head(data, small_mlp) + quantize_stage("uniform", 8, 8) + train_stage(2), "mine");
  EXPECT_EQ(result.float_value, 0) << "untrained weights were not measured";
  EXPECT_GT(result.value, 40);
}

TEST(Runner, RequirementNotMetIsSaidAndTheModelIsThere) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 8);
  const std::string text = recipe_head(data, small_mlp) + "[require]\nmin_value = 100\n" + train_stage(1);
  const RunResult result = run(text, "mine");
  EXPECT_FALSE(result.met);
  EXPECT_TRUE(fs::exists("mine/model.nnq"));
  EXPECT_EQ(read_json("mine/result.json")["met"], false);
}

TEST(Runner, FailureNamesTheStageAndIsRecorded) {
  const WorkingFolder folder;
  const std::string data = write_quarters(folder.path(), 300, 8);
  try {
    run(recipe_head(data, small_mlp) + train_stage(1) + "[[stage]]\nkind = 'calibrate'\n", "mine");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("stage 2 (calibrate)"));
  }
  EXPECT_EQ(RunStore().list().at(0).outcome.state, "failed");
}

/// Predictions and every integer the packed model computes against LibTorch's on the frozen graph, on real images.
class Deployed : public ::testing::TestWithParam<Case> {};

TEST_P(Deployed, IsWhatWasTrainedToTheLastCode) {
  if (find_dataset("fashion_mnist").empty()) GTEST_SKIP() << "Fashion-MNIST is not there (dataset-fashion-mnist)";
  const Case& c = GetParam();
  const WorkingFolder folder;
  Samples all = load_dataset("fashion_mnist", Split::test);
  const Samples some = split_off(all, 400, 3);
  save_npy(some.images, "images.npy");
  save_npy(some.labels, "labels.npy");
  const RunResult result = run(recipe_head("npy:images.npy,labels.npy", c.model, 50) +
                                   quantize_stage(c.method, c.weights, c.activations) + train_stage(1),
                               "mine");
  EXPECT_EQ(read_json("mine/result.json")["agreement"], 100.0);

  std::shared_ptr<const Model> model;
  throw_if_error(Model::load(result.packed.string(), {}, model));
  std::vector<std::int64_t> first(96);
  std::iota(first.begin(), first.end(), 0);
  const std::vector<Tensor> inputs = {Preprocessing::from_metadata(model->metadata()).apply(some, first)};
  std::map<std::string, Tensor> simulated;
  const std::vector<Tensor> want = train::run_graph(
      import_onnx(result.model), inputs[0], [&](const std::string& name, const Tensor& t) { simulated[name] = t; });

  const Program& program = model->program();
  std::set<std::int32_t> moved;  // codes in front of a pool that has sums in front of it in the graph
  for (const Step& step : program.steps)
    if (step.note.starts_with("pools codes")) moved.insert(step.inputs[0]);
  std::vector<Tensor> interpreted, packed;
  std::int64_t compared = 0, codes = 0;
  throw_if_error(interpret_program(program, inputs, interpreted, [&](std::int32_t number, const Tensor& got) {
    const ProgramValue& value = program.values[static_cast<std::size_t>(number)];
    if (moved.contains(number)) return;
    if (value.kind == ValueKind::codes) ++codes;
    if (value.kind == ValueKind::tensor || !simulated.contains(value.name)) return;
    const Tensor expected = simulated.at(value.name).cast(DType::i32);
    ASSERT_EQ(got.shape(), expected.shape()) << value.name;
    if (value.kind == ValueKind::codes) ++compared;
    EXPECT_TRUE(std::ranges::equal(got.values<std::int32_t>(), expected.values<std::int32_t>())) << value.name;
    EXPECT_GT(std::set<std::int32_t>(got.values<std::int32_t>().begin(), got.values<std::int32_t>().end()).size(), 1u)
        << value.name << " is constant";
  }));
  EXPECT_GE(compared, 3);
  EXPECT_EQ(compared, codes) << "codes that have no counterpart in the frozen graph";
  std::unique_ptr<Session> session;
  throw_if_error(Session::create(model, {}, session));
  throw_if_error(session->run(inputs, packed));
  EXPECT_TRUE(interpreted[0] == packed[0]) << "session against interpreter";
  EXPECT_TRUE(interpreted[0] == want[0]) << "interpreter against LibTorch";
}

constexpr const char* small_vgg =
    "[model]\nzoo = 'vgg_small'\nparameters = { width = 0.05, channels = 1, size = 28, fc = '32' }\n";

INSTANTIATE_TEST_SUITE_P(FashionMnist, Deployed,
                         ::testing::Values(Case{"uniform_w8a8", small_vgg, "uniform", 28, 8, 8},
                                           Case{"uniform_w4a4", small_vgg, "uniform", 28, 4, 4},
                                           Case{"dorefa_w2a2", small_vgg, "dorefa", 28, 2, 2},
                                           Case{"bnn_w1a1", small_vgg, "bnn", 28, 1, 1}),
                         name_of_case);

}  // namespace
}  // namespace nnq::recipe
