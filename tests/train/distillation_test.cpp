// Training against a teacher: what is minimised, that the teacher stays as it is, and resuming.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <csignal>
#include <numeric>

#include "nnq/error.h"
#include "train/checkpoint.h"
#include "train/layer_matching.h"
#include "train/score_memory.h"
#include "train/teacher.h"
#include "train/training.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

DistillationOptions distilled(std::shared_ptr<const Graph> teacher, double weight, double temperature) {
  DistillationOptions options;
  options.teacher = std::move(teacher);
  options.weight = weight;
  options.temperature = temperature;
  return options;
}

class Distillation : public TrainerTest {
 protected:
  std::shared_ptr<const Graph> teacher() {
    static const auto trained = std::make_shared<const Graph>([&] {
      TrainOptions options = quick_options();
      options.epochs = 6;
      return elsewhere(build_zoo("mlp", {{"hidden", "64,64"}, {"size", "4"}, {"classes", "4"}, {"activation", "relu"}}),
                       options)
          .graph;
    }());
    return trained;
  }
  TrainOptions taught(double weight = 0.7, double temperature = 2) {
    TrainOptions options = quick_options();
    options.distillation = distilled(teacher(), weight, temperature);
    return options;
  }
  Graph student(const std::string& method, int bits) {
    PlacementOptions placement;
    placement.rules = {{"*", {method, bits, {{"bucket", std::int64_t{64}}}}, {}, {}}};
    return calibrate_graph(place_quantizers(small_mlp(), placement), train, centred(), 64, 1);
  }
};

TEST_F(Distillation, TheTeacherAloneTeaches) {
  const TrainOptions options = taught(1);
  // Labels that say nothing: all that is learned comes from the teacher.
  for (std::int64_t i = 0; i < 400; ++i) train.labels.mutable_as<std::int64_t>()[i] = i % 4;
  EXPECT_GT(run(small_mlp(), options).best_validation, 80);
}

TEST_F(Distillation, WeightZeroIsTrainingWithoutATeacher) {
  expect_same(run(small_mlp(), taught(0)), elsewhere(small_mlp(), quick_options()));
}

TEST_F(Distillation, WorksWithEveryKindOfStudent) {
  TrainOptions options = taught();
  EXPECT_GT(run(calibrate_graph(quantized_mlp("dorefa", 2, 2), train, centred(), 64, 1), options).best_validation, 60);
  EXPECT_GT(run(student("bucketed", 2), options).best_validation, 60);
  PlacementOptions mixed;  // bits of its own for the last layer
  mixed.rules = {{"*", {"bucketed", 2, {}}, {}, {}}, {"last", {"uniform", 4, {}}, {"uniform", 4, {}}, {}}};
  const Graph graph = calibrate_graph(place_quantizers(small_mlp(), mixed), train, centred(), 64, 1);
  EXPECT_GT(run(graph, options).best_validation, 60);
}

TEST_F(Distillation, DifferentiableQuantizationMovesPointsAndNoWeight) {
  TrainOptions options = taught();
  options.optimizer = {};
  options.optimizer.learning_rate = 1e-4;
  options.optimizer.weight_decay = 1e-2;
  const Graph before = student("differentiable", 2);
  const Graph after = run(before, options).graph;
  bool moved = false;
  for (const auto& [name, tensor] : before.initializers) {
    if (name.ends_with(".weight") || name.ends_with(".low") || name.ends_with(".high")) {
      EXPECT_TRUE(after.initializers.at(name) == tensor) << name;
    }
    if (name.ends_with(".points")) moved = moved || !(after.initializers.at(name) == tensor);
  }
  EXPECT_TRUE(moved);
}

TEST_F(Distillation, ResumedItGivesTheSameBits) {
  for (const char* method : {"bucketed", "differentiable"}) {
    const Graph graph = student(method, 2);
    const TrainOptions options = taught();
    const TrainResult whole = elsewhere(graph, options);
    const TrainResult part = run(graph, options, false, [](const EpochReport& r) {
      if (r.epoch == 2) std::raise(SIGTERM);
    });
    EXPECT_TRUE(part.interrupted);
    expect_same(run(graph, options, true), whole);
    TrainOptions changed = options;
    changed.distillation.teacher = std::make_shared<const Graph>(small_mlp());
    EXPECT_THROW(run(graph, changed, true), Error) << "another teacher is another run";
    changed = options;
    changed.distillation.temperature = 3;
    EXPECT_THROW(run(graph, changed, true), Error);
  }
}

TEST_F(Distillation, EveryBatchIsAPlaceToGoOnFrom) {
  const Graph graph = student("differentiable", 2);
  const TrainOptions options = taught();
  Training whole(graph, train, centred(), options, nullptr);
  for (int i = 0; i < 7; ++i) whole.step();
  const auto bytes = write_checkpoint(whole.checkpoint());
  while (whole.step()) {
  }
  const Checkpoint from = read_checkpoint(bytes, "checkpoint");
  Training second(graph, train, centred(), options, &from);
  while (second.step()) {
  }
  EXPECT_EQ(second.finish_epoch().loss, whole.finish_epoch().loss);
  EXPECT_TRUE(second.checkpoint().tensors == whole.checkpoint().tensors);
}

TEST(ScoreMemory, AsksForNewImagesOnly) {
  ScoreMemory memory(5 * 3 * sizeof(float));  // five images
  const at::Tensor images = at::arange(32, at::kFloat).reshape({8, 1, 2, 2});
  std::vector<std::int64_t> asked;
  const auto compute = [&](const at::Tensor& x) {
    asked.push_back(x.size(0));
    const at::Tensor sums = x.flatten(1).sum(1, true);
    return at::cat({sums, sums + 1, sums + 2}, 1);
  };
  const at::Tensor all = compute(images);
  asked.clear();
  EXPECT_TRUE(at::equal(memory.scores(images.slice(0, 0, 3), compute), all.slice(0, 0, 3)));
  const at::Tensor mixed = at::tensor(std::vector<std::int64_t>{2, 4, 0, 3});  // two known, two new
  EXPECT_TRUE(at::equal(memory.scores(images.index_select(0, mixed), compute), all.index_select(0, mixed)));
  EXPECT_EQ(asked, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(memory.size(), 5);
  EXPECT_TRUE(at::equal(memory.scores(images, compute), all)) << "full: the rest is computed";
  EXPECT_TRUE(at::equal(memory.scores(images, compute), all));
  EXPECT_TRUE(at::equal(memory.scores(images.slice(0, 0, 5), compute), all.slice(0, 0, 5)));
  EXPECT_EQ(asked, (std::vector<std::int64_t>{3, 2, 3, 3}));
  EXPECT_EQ(memory.size(), 5);
  EXPECT_EQ(memory.scores(images.slice(0, 0, 0), compute).sizes(), (std::vector<std::int64_t>{0, 3}));
  std::map<std::string, Tensor> saved;
  memory.save(saved);
  ScoreMemory second;
  second.restore(saved);
  EXPECT_TRUE(at::equal(second.scores(images.slice(0, 1, 5), {}), all.slice(0, 1, 5))) << "restored: nothing to ask";
  saved["teacher/keys"] = Tensor(DType::i64, {4});
  EXPECT_THROW(second.restore(saved), Error);
}

TEST(ScoreMemory, TheSameImageTwiceInABatchIsKeptOnce) {
  ScoreMemory memory;
  const at::Tensor images = at::ones({4, 3});
  const auto compute = [](const at::Tensor& x) { return x * 2; };
  EXPECT_TRUE(at::equal(memory.scores(images, compute), images * 2));
  EXPECT_TRUE(at::equal(memory.scores(images, compute), images * 2));
  EXPECT_EQ(memory.size(), 1);
}

TEST_F(Distillation, TeachersThatDoNotFitAreRefused) {
  TrainOptions options = quick_options();
  const auto refusal = [&] {
    try {
      run(small_mlp(), options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  options.distillation.teacher = std::make_shared<const Graph>(
      build_zoo("mlp", {{"hidden", "8"}, {"size", "4"}, {"classes", "5"}, {"activation", "relu"}}));
  EXPECT_NE(refusal().find("the same classes"), std::string::npos) << refusal();
  options.distillation.teacher = std::make_shared<const Graph>(
      build_zoo("mlp", {{"hidden", "8"}, {"size", "5"}, {"classes", "4"}, {"activation", "relu"}}));
  EXPECT_NE(refusal().find("teacher"), std::string::npos) << refusal();
  options.distillation = distilled(teacher(), 1.5, 2);
  EXPECT_NE(refusal().find("0 .. 1"), std::string::npos);
  options.distillation = distilled(teacher(), 0.5, 0);
  EXPECT_NE(refusal().find("temperature"), std::string::npos);
}

TEST_F(Distillation, MatchedLayersComeCloserToTheTeachers) {
  const Graph graph = quantized_mlp("dorefa", 2, 2);
  const auto hints = std::make_shared<const Graph>(run(small_mlp(), quick_options()).graph);
  TrainOptions options = quick_options();
  options.distillation = distilled(hints, 0, 2);
  const Graph alone = elsewhere(graph, options).graph;
  options.distillation.match_layers = "bn?";
  options.distillation.match_weight = 4;
  const Graph matched = run(graph, options).graph;

  std::vector<std::int64_t> first(100);
  std::iota(first.begin(), first.end(), 0);
  const at::Tensor images = to_torch(centred().apply(validation, first));
  const auto distance = [&](const Graph& student) {
    LayerMatching layers("bn?", student, *hints);
    Executor s(student, {}), t(*hints, {});
    s.forward({{s.input_name(), images}}, false, layers.watch_student());
    t.forward({{t.input_name(), images}}, false, layers.watch_teacher());
    return layers.loss().item<double>();
  };
  EXPECT_EQ(distance(*hints), 0);
  EXPECT_LT(distance(matched), 0.8 * distance(alone)) << distance(matched) << " " << distance(alone);

  TrainOptions changed = options;
  changed.distillation.match_weight = 1;
  EXPECT_THROW(run(graph, changed, true), Error) << "another weight is another run";
}

TEST_F(Distillation, LayersThatCannotBeMatchedAreRefused) {
  const auto refusal = [&](const std::string& glob, const Graph& of) {
    TrainOptions options = quick_options();
    options.distillation.teacher = std::make_shared<const Graph>(of);
    options.distillation.match_layers = glob;
    try {
      run(small_mlp(), options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(refusal("conv*", *teacher()).find("no layer 'conv*'"), std::string::npos);
  EXPECT_NE(refusal("fc1", *teacher()).find("layer 'fc1'"), std::string::npos) << refusal("fc1", *teacher());
}

TEST(NetworkHash, TellsNetworksApart) {
  const Graph a = small_mlp();
  Graph b = a;
  EXPECT_EQ(network_hash(a), network_hash(b));
  b.initializers.begin()->second = Tensor(b.initializers.begin()->second);
  b.initializers.at("fc1.weight").mutable_as<float>()[0] += 1;
  EXPECT_NE(network_hash(a), network_hash(b));
  EXPECT_NE(network_hash(a), network_hash(small_mlp("hardtanh")));
  EXPECT_EQ(network_hash(a).size(), 16u);
}

}  // namespace
}  // namespace nnq::train
