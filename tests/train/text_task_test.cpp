// Training on text: streams, carried state, resume, the schedule's end.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nnq/error.h"
#include "nnq/recurrent.h"
#include "train/carried_state.h"
#include "train/checkpoint.h"
#include "train/task.h"
#include "train/trainer_testing.h"
#include "train/training.h"

namespace nnq::train {
namespace {

using namespace testing;  // NOLINT: the helpers of trainer_testing.h

/// The word says which comes two later, but only seen together with the one before.
Text riddle(std::int64_t count, std::int32_t vocabulary = 5) {
  Text text;
  Random random(3);
  std::int32_t a = 1, b = 2;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t next = random.below(10) == 0 ? static_cast<std::int32_t>(random.below(5)) : (a + b) % vocabulary;
    a = b;
    b = next;
    text.tokens.push_back(next);
  }
  for (std::int32_t v = 0; v < vocabulary; ++v) text.vocabulary.push_back(std::string(1, static_cast<char>('a' + v)));
  text.source = "riddle";
  return text;
}

Graph model(const std::string& name = "lstm_lm") {
  return carry_state(build_zoo(name, {{"vocabulary", "5"}, {"hidden", "12"}, {"layers", "1"}}));
}

TrainOptions text_options() {
  TrainOptions options;
  options.epochs = 3;
  options.batch = 4;
  options.unroll = 10;
  options.optimizer.kind = "sgd";
  options.optimizer.learning_rate = 2;
  options.optimizer.momentum = 0;
  options.clip_gradient_norm = 0.5;
  options.schedule.kind = "plateau";
  options.schedule.patience = 1;
  options.schedule.gamma = 0.5;
  return options;
}

class TextTraining : public ::testing::Test {
 protected:
  void SetUp() override { set_threads(1); }
  Text train = riddle(1200), validation = riddle(300);
  TextTask task{train, &validation};
  TemporaryFolder folder{"text_test"}, other{"text_test_other"};
  TrainResult run(const Graph& graph, const TrainOptions& options, bool resume = false,
                  const std::function<void(const EpochReport&)>& on_epoch = {}) {
    return train_graph(graph, task, options, folder.path, resume, on_epoch);
  }
};

TEST_F(TextTraining, StreamsAreReadSideBySideAndLabelsAreTheNextTokens) {
  Text count;
  for (std::int32_t i = 0; i < 23; ++i) count.tokens.push_back(i);
  count.vocabulary.resize(23);
  TrainOptions options;
  options.batch = 2;  // streams 0..10 and 11..21
  options.unroll = 4;
  const auto source = TextTask(count, nullptr).source(options);
  EXPECT_EQ(source->batches(), 3);
  source->start(0, 1);
  BatchSource::Batch batch;
  ASSERT_TRUE(source->next(batch));
  EXPECT_EQ(batch.input.shape(), (Shape{4, 2}));
  const auto in = batch.input.values<std::int64_t>();
  const auto label = batch.labels.values<std::int64_t>();
  EXPECT_EQ(std::vector<std::int64_t>(in.begin(), in.end()), (std::vector<std::int64_t>{4, 15, 5, 16, 6, 17, 7, 18}));
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(label[i], in[i] + 1);
  ASSERT_TRUE(source->next(batch));
  EXPECT_EQ(batch.input.shape(), (Shape{2, 2}));
  EXPECT_FALSE(source->next(batch));
  options.batch = 12;
  EXPECT_THROW(TextTask(count, nullptr).source(options), Error);
}

TEST_F(TextTraining, LearnsWhatTheStateKnows) {
  TrainOptions options = text_options();
  options.epochs = 12;
  for (const char* name : {"lstm_lm", "gru_lm"}) {
    const TrainResult result = run(model(name), options);
    ASSERT_EQ(result.history.size(), 12U);
    EXPECT_LT(result.best_validation, 3.5) << name;  // 5 without context
    EXPECT_EQ(result.history[0].train_accuracy, -1);
    EXPECT_EQ(evaluate_perplexity(result.graph, validation, "test").value, result.best_validation);
  }
}

TEST_F(TextTraining, TheSameSeedGivesTheSameWeightsAndEveryBatchIsAPlaceToGoOnFrom) {
  const Graph graph = add_dropout(model(), 0.3F);
  const TrainOptions options = text_options();
  Training whole(graph, task, options, nullptr);
  std::vector<std::vector<std::byte>> saved;
  for (bool more = true; more;) {
    if (saved.size() % 7 == 3) saved.back() = write_checkpoint(whole.checkpoint());
    saved.emplace_back();
    more = whole.step();
  }
  const EpochReport report = whole.finish_epoch();
  int resumed = 0;
  for (const auto& bytes : saved) {
    if (bytes.empty()) continue;
    const Checkpoint from = read_checkpoint(bytes, "checkpoint");
    EXPECT_TRUE(from.tensors.contains("carried/lstm1.h"));
    Training second(graph, task, options, &from);
    while (second.step()) {
    }
    EXPECT_EQ(second.finish_epoch().loss, report.loss);
    EXPECT_TRUE(second.checkpoint().tensors == whole.checkpoint().tensors);
    ++resumed;
  }
  EXPECT_GT(resumed, 2);
}

TEST_F(TextTraining, ATeacherReadsTheTextAndKeepsItsState) {
  const Graph graph = model();
  DistillationOptions options;
  options.teacher = std::make_shared<const Graph>(graph);
  options.weight = 1;
  options.temperature = 1;
  Teacher teacher(options, graph, 1, {.streams = 4});
  Executor same(graph, {.seed = 1});
  CarriedState carried(graph, 4);
  const at::NoGradGuard no_gradient;
  for (int step = 0; step < 4; ++step) {
    if (step == 3) teacher.start_again();  // and `same` goes on
    const at::Tensor words = at::randint(5, {10, 4}, at::kLong);
    std::map<std::string, at::Tensor> inputs = {{graph.inputs[0].name, words}};
    carried.add_to(inputs);
    const auto outputs = same.forward(inputs, false);
    carried.take_from(outputs);
    const auto divergence = teacher.mix(at::ones({}), outputs.front().flatten(0, -2), words).item<double>();
    if (step < 3)
      EXPECT_NEAR(divergence, 0, 1e-9) << step;
    else
      EXPECT_GT(divergence, 1e-9);
  }
}

TEST_F(TextTraining, TaughtItLearnsAndEveryBatchIsAPlaceToGoOnFrom) {
  TrainOptions options = text_options();
  options.epochs = 12;
  const auto teacher = std::make_shared<const Graph>(run(model(), options).graph);
  options.distillation.teacher = teacher;
  options.distillation.weight = 1;
  options.distillation.temperature = 1;
  EXPECT_LT(train_graph(model(), task, options, other.path, false, {}).best_validation, 3.5) << "no label is looked at";
  Training whole(model(), task, options, nullptr);
  for (int i = 0; i < 7; ++i) whole.step();
  const Checkpoint from = whole.checkpoint();
  EXPECT_TRUE(from.tensors.contains("teacher/carried/lstm1.h"));
  Training second(model(), task, options, &from);
  while (whole.step()) {
  }
  while (second.step()) {
  }
  EXPECT_EQ(second.finish_epoch().loss, whole.finish_epoch().loss);
  EXPECT_TRUE(second.checkpoint().tensors == whole.checkpoint().tensors);
}

TEST_F(TextTraining, AnInterruptedRunGoesOnBitForBit) {
  const TrainOptions options = text_options();
  const TrainResult whole = train_graph(model(), task, options, other.path, false, {});
  struct Stop {};
  try {
    run(model(), options, false, [](const EpochReport& r) {
      if (r.epoch == 2) throw Stop{};
    });
    FAIL();
  } catch (const Stop&) {
  }
  expect_same(run(model(), options, true), whole);
}

TEST_F(TextTraining, EndsWhenTheLearningRateIsSpent) {
  TrainOptions options = text_options();
  options.epochs = 50;
  options.optimizer.learning_rate = 1e-6;  // nothing is learnt: the first epoch stays the best or nearly so
  options.schedule.kind = "step";
  options.schedule.every = 1;
  options.min_learning_rate = 3e-7;
  EXPECT_EQ(run(model(), options).epochs_done, 2);
}

TEST_F(TextTraining, ResumesOnlyItsOwnText) {
  TrainOptions options = text_options();
  options.epochs = 1;
  run(model(), options);
  options.unroll = 5;
  EXPECT_THROW(run(model(), options, true), Error);
}

TEST_F(TextTraining, QuantizersInsideTheRecurrenceTrain) {
  PlacementOptions placement;
  placement.rules = {{"*", {"alternating", 2, {}}, {"alternating", 2, {}}, {}}};
  const TrainOptions options = text_options();
  for (const char* name : {"lstm_lm", "gru_lm"}) {
    const TrainResult result = run(place_quantizers(model(name), placement), options);
    EXPECT_LT(result.history.back().loss, result.history.front().loss) << name;
    const Graph frozen = freeze_graph(result.graph, 1);
    EXPECT_EQ(evaluate_perplexity(frozen, validation, "test").value, result.best_validation) << name;
  }
}

/// Products of language models are OpenBLAS's where LibTorch was built on it: it used every core whatever was asked
/// for.
TEST(Threads, AreThoseOfOpenBlasToo) {
  void* const symbol = dlsym(RTLD_DEFAULT, "openblas_get_num_threads");
  for (const int count : {2, 1}) {
    set_threads(count);
    EXPECT_EQ(threads(), count);
    if (symbol != nullptr) {
      EXPECT_EQ(reinterpret_cast<int (*)()>(symbol)(), count);
    }
  }
}

}  // namespace
}  // namespace nnq::train
