// Training on adversarial images: what the adversary may do, that it helps, and that it resumes bit by bit.
#include <gtest/gtest.h>

#include <algorithm>

#include "nnq/error.h"
#include "train/adversary.h"
#include "train/attack.h"
#include "train/checkpoint.h"
#include "train/training.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

TrainOptions adversarial(const std::string& attack = "pgd") {
  TrainOptions options = quick_options();
  options.adversarial = attack;
  options.attack_epsilon = .1;
  options.attack_steps = 3;
  return options;
}

class AdversarialTraining : public TrainerTest {};

TEST_F(AdversarialTraining, PerturbsTheShareWithinTheBudgetAndLeavesNoTrace) {
  const TrainOptions options = adversarial();
  Executor executor(small_mlp(), {});
  Adversary adversary(executor, centred(), options);
  const Normalisation normalisation(centred());
  std::vector<std::int64_t> numbers(16);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int64_t>(i);
  const at::Tensor pixels = pixels_of(train, numbers), images = normalisation.apply(pixels);
  const Graph before = executor.graph();
  const at::Tensor moved = adversary.perturb(images, 5);
  EXPECT_TRUE(executor.graph().initializers == before.initializers);
  for (const Parameter& p : executor.parameters()) EXPECT_FALSE(p.tensor->grad().defined()) << p.name;
  EXPECT_TRUE(moved.narrow(0, 8, 8).equal(images.narrow(0, 8, 8)));
  const at::Tensor change = normalisation.undo(moved).narrow(0, 0, 8) - pixels.narrow(0, 0, 8);
  EXPECT_LE(change.abs().max().item<float>(), .1F + 1e-6F);
  EXPECT_GT(change.abs().mean().item<float>(), .02F);
  EXPECT_TRUE(adversary.perturb(images, 5).equal(moved));
  EXPECT_FALSE(adversary.perturb(images, 6).equal(moved));
}

TEST_F(AdversarialTraining, StoppedAndResumedAnywhereGivesTheSameBits) {
  train = bright_rows(100, 1);
  for (const bool quantized : {false, true}) {
    const Graph graph = quantized ? calibrate_graph(quantized_mlp("bnn", 1, 1, {{"stochastic", std::int64_t{1}}}),
                                                    train, centred(), 64, 1)
                                  : small_mlp();
    const TrainOptions options = adversarial();
    Training whole(graph, train, centred(), options, nullptr);
    std::vector<std::vector<std::byte>> saved;
    for (bool more = true; more;) {
      saved.push_back(write_checkpoint(whole.checkpoint()));
      more = whole.step();
    }
    const EpochReport report = whole.finish_epoch();
    for (const auto& bytes : saved) {
      const Checkpoint from = read_checkpoint(bytes, "checkpoint");
      Training second(graph, train, centred(), options, &from);
      while (second.step()) {
      }
      EXPECT_EQ(second.finish_epoch().loss, report.loss);
      EXPECT_TRUE(second.checkpoint().tensors == whole.checkpoint().tensors) << "from batch " << from.batch;
    }
  }
}

/// An attack that cannot move a pixel, of 1 step or of 5, changes nothing: neither the dropped values of the training
/// pass behind it nor a stochastic quantizer's draws know how many passes the attack took.
TEST_F(AdversarialTraining, TheAttacksPassesDoNotShiftTheNoiseOfTraining) {
  train = bright_rows(64, 1);
  Graph dropping = small_mlp();
  const std::string hidden = dropping.nodes.front().outputs[0];
  Node dropout;
  dropout.op = "Dropout";
  dropout.name = "dropout";
  dropout.inputs = {hidden, dropping.add_initializer("dropout.ratio", Tensor::scalar(0.5F))};
  dropout.outputs = {"dropped"};
  for (Node& node : dropping.nodes)
    std::replace(node.inputs.begin(), node.inputs.end(), hidden, std::string("dropped"));
  dropping.nodes.insert(dropping.nodes.begin() + 1, dropout);
  const Graph drawing =
      calibrate_graph(quantized_mlp("bnn", 1, 1, {{"stochastic", std::int64_t{1}}}), train, centred(), 64, 1);
  for (const Graph& graph : {dropping, drawing}) {
    std::vector<double> losses;
    for (const std::int64_t steps : {1, 5}) {
      TrainOptions options = adversarial();
      options.attack_epsilon = 1e-12;
      options.attack_steps = steps;
      Training training(graph, train, centred(), options, nullptr);
      while (training.step()) {
      }
      losses.push_back(training.finish_epoch().loss);
    }
    EXPECT_EQ(losses[0], losses[1]);
  }
}

TEST_F(AdversarialTraining, ResumesOnlyTheSameAdversary) {
  TrainOptions options = adversarial();
  options.epochs = 1;
  const TrainResult adversarially = run(small_mlp(), options);
  TrainOptions changed = options;
  changed.attack_epsilon = .2;
  EXPECT_THROW(run(small_mlp(), changed, true), Error);
  changed.adversarial = "none";
  EXPECT_THROW(run(small_mlp(), changed, true), Error);
  EXPECT_FALSE(elsewhere(small_mlp(), changed).graph.initializers == adversarially.graph.initializers);
}

TEST_F(AdversarialTraining, BadSettingsAreErrors) {
  for (const auto& spoil : std::vector<std::function<void(TrainOptions&)>>{
           [](TrainOptions& o) { o.attack_epsilon = 0; }, [](TrainOptions& o) { o.attack_epsilon = -1; },
           [](TrainOptions& o) { o.adversarial_share = 0; }, [](TrainOptions& o) { o.attack_steps = 0; },
           [](TrainOptions& o) { o.adversarial = "nonsense"; }}) {
    TrainOptions options = adversarial();
    spoil(options);
    EXPECT_THROW(run(small_mlp(), options), Error);
  }
}

}  // namespace
}  // namespace nnq::train
