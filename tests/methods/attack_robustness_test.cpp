// Attacks on whole networks: float, binarized in training form, frozen, deployed integers.
#include <gtest/gtest.h>

#include "methods/robustness.h"
#include "nnq/error.h"
#include "train/threads.h"
#include "train/trainer_testing.h"

namespace nnq::methods {
namespace {

using train::testing::bright_rows;
using train::testing::centred;

/// A perceptron with sign activations and weights between an 8-bit first and last layer, trained for a moment.
Graph trained(bool binary) {
  const train::testing::TemporaryFolder folder("attack_robustness_test");
  Graph graph = train::testing::small_mlp(binary ? "hardtanh" : "relu");
  train::TrainOptions options = train::testing::quick_options();
  options.epochs = 6;
  const Samples samples = bright_rows(600, 1);
  if (binary) {
    PlacementOptions placement;
    const QuantizerSpec one{"bnn", 1, {}}, eight{"uniform", 8, {}};
    placement.rules = {{"*", one, one, {}}, {"first", eight, eight, {}}, {"last", eight, eight, {}}};
    graph = train::calibrate_graph(place_quantizers(graph, placement), samples, centred(), 200, 1);
  }
  return train::train_graph(graph, samples, nullptr, centred(), options, folder.path, false, {}).graph;
}

class Robustness : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    train::set_threads(1);
    plain_ = new Graph(trained(false));
    binary_ = new Graph(trained(true));
    frozen_ = new Graph(train::freeze_graph(*binary_, 1));
  }
  static void TearDownTestSuite() {
    delete plain_;
    delete binary_;
    delete frozen_;
  }

  static AttackRequest request(const Graph& model) {
    AttackRequest r;
    r.name = "net.onnx";
    r.model = model;
    r.attacks = {"fgsm", "pgd"};
    r.epsilons = {.02, .1, .3};
    r.parameters = {{"steps", "10"}};
    r.samples = bright_rows(150, 5);
    r.preprocessing = centred();
    r.threads = 1;
    return r;
  }

  static void expect_same_rows(const AttackReport& a, const AttackReport& b) {
    ASSERT_EQ(a.rows.size(), b.rows.size());
    for (std::size_t i = 0; i < a.rows.size(); ++i) {
      EXPECT_EQ(a.rows[i].clean, b.rows[i].clean) << a.rows[i].attack << " " << a.rows[i].epsilon;
      EXPECT_EQ(a.rows[i].robust, b.rows[i].robust) << a.rows[i].attack << " " << a.rows[i].epsilon;
      EXPECT_EQ(a.rows[i].mean_l2, b.rows[i].mean_l2) << a.rows[i].attack << " " << a.rows[i].epsilon;
    }
  }

  static Graph *plain_, *binary_, *frozen_;
};
Graph *Robustness::plain_ = nullptr, *Robustness::binary_ = nullptr, *Robustness::frozen_ = nullptr;

TEST_F(Robustness, NeverAboveCleanWithinTheBudgetAndFallingWithIt) {
  for (const Graph* graph : {plain_, binary_, frozen_}) {
    const AttackReport report = measure_robustness(request(*graph));
    EXPECT_EQ(report.backend, "executor");
    ASSERT_EQ(report.rows.size(), 6u);
    for (std::size_t i = 0; i < report.rows.size(); ++i) {
      const AttackRow& row = report.rows[i];
      EXPECT_EQ(row.count, 150);
      EXPECT_GT(row.clean, 80);
      EXPECT_LE(row.robust, row.clean) << row.attack;
      EXPECT_LE(row.max_linf, row.epsilon) << row.attack;
      EXPECT_GT(row.queries, 1);
    }
    EXPECT_LT(report.rows[2].robust, report.rows[2].clean - 10);  // FGSM at 0.3 does something
    EXPECT_LE(report.rows[5].robust, report.rows[3].robust);      // PGD: the larger budget breaks more
  }
}

TEST_F(Robustness, FloatNetworksShowNoMasking) {
  const MaskingDiagnosis d = measure_robustness(request(*plain_)).diagnosis;
  EXPECT_TRUE(d.done);
  EXPECT_EQ(d.zero_gradient, 0);
  EXPECT_LT(d.large_survive, 5);
  EXPECT_LT(d.fgsm_survive, d.noise_survive);  // sanity of the gradient: noise of equal budget is far weaker
  EXPECT_FALSE(d.masked) << d.finding;
}

TEST_F(Robustness, LargeLogitsAreDiagnosedAsMaskingAndTheNextStepUnmasks) {
  Graph loud = *plain_;  // the same predictions, scores a thousandfold
  loud.initializers["loud"] = Tensor::scalar<float>(1000);
  const std::string scores = loud.outputs[0];
  loud.outputs[0] = loud.add("Mul", {scores, "loud"});
  AttackRequest r = request(loud);
  const AttackReport masked = measure_robustness(r), plain = measure_robustness(request(*plain_));
  EXPECT_TRUE(masked.diagnosis.masked);
  EXPECT_GT(masked.diagnosis.saturated, 50);
  EXPECT_GT(masked.diagnosis.zero_gradient, 20);
  EXPECT_NE(masked.diagnosis.next.find("logit_scale"), std::string::npos) << masked.diagnosis.next;
  EXPECT_GT(masked.rows[2].robust, plain.rows[2].robust + 10);  // false security
  r.parameters["loss"] = "margin";
  EXPECT_LT(measure_robustness(r).rows[2].robust, masked.rows[2].robust - 10);
}

TEST_F(Robustness, TheRuntimeGivesThePredictionsOfTheExecutor) {
  AttackRequest r = request(*frozen_);
  r.diagnose = false;
  const AttackReport executor = measure_robustness(r);
  r.runtime = true;
  const AttackReport runtime = measure_robustness(r);
  EXPECT_EQ(runtime.backend, "runtime");
  expect_same_rows(executor, runtime);
  r.model = *binary_;  // the training form is frozen first; its gradients are those of the method
  expect_same_rows(measure_robustness(request(*binary_)), measure_robustness(r));
}

TEST_F(Robustness, DoesNotDependOnThreadsAndFollowsTheSeed) {
  AttackRequest r = request(*binary_);
  r.diagnose = false;
  const AttackReport one = measure_robustness(r);
  train::set_threads(2);
  expect_same_rows(one, measure_robustness(r));
  train::set_threads(1);
  r.seed = 2;
  const AttackReport other = measure_robustness(r);
  EXPECT_EQ(other.rows[0].robust, one.rows[0].robust);    // FGSM draws nothing
  EXPECT_NE(other.rows[3].mean_l2, one.rows[3].mean_l2);  // random starts do
}

TEST_F(Robustness, SmoothGradientsTransferAndSubstitutesAttackBinaryNetworks) {
  AttackRequest r = request(*frozen_);
  r.diagnose = false;
  r.attacks = {"fgsm"};
  r.parameters.clear();
  r.epsilons = {.3};
  for (const char* gradient : {"own", "mask", "clip", "smooth"}) {
    r.gradient = gradient;
    const AttackRow row = measure_robustness(r).rows[0];
    EXPECT_FALSE(row.black_box);
    EXPECT_LT(row.robust, row.clean - 10) << gradient;
  }
  r.source = *plain_;
  const AttackRow transferred = measure_robustness(r).rows[0];
  EXPECT_TRUE(transferred.black_box);
  EXPECT_LT(transferred.robust, transferred.clean - 10);
  r.attacks = {"substitute"};
  r.parameters = {{"seed_images", "40"}, {"rounds", "3"}};
  r.source = Graph{};
  const AttackRow substitute = measure_robustness(r).rows[0];
  EXPECT_TRUE(substitute.black_box);
  EXPECT_EQ(substitute.count, 110);  // the attacker's own images are not attacked
  EXPECT_LT(substitute.robust, substitute.clean - 5);
  r.gradient = "hard";
  EXPECT_THROW(measure_robustness(r), Error);
}

TEST_F(Robustness, CarliniWagnerFindsSmallerChangesThanTheSignMethods) {
  AttackRequest r = request(*plain_);
  r.diagnose = false;
  r.attacks = {"carlini_wagner", "fgsm"};
  r.epsilons = {.3};
  r.parameters = {{"steps", "60"}, {"search_steps", "4"}};
  r.count = 40;
  const AttackReport report = measure_robustness(r);
  ASSERT_EQ(report.rows.size(), 2u);
  EXPECT_EQ(report.rows[0].epsilon, 0);
  EXPECT_LT(report.rows[0].robust, 5);
  EXPECT_LT(report.rows[0].mean_l2, report.rows[1].mean_l2);
}

TEST_F(Robustness, StochasticNetworksAreMeasuredOverDraws) {
  Graph graph = *binary_;
  for (Node& node : graph.nodes)
    if (node.get_string("method", "") == "bnn" && node.get_string("role", "") == "weight")
      node.attributes["stochastic"] = std::int64_t{1};
  AttackRequest r = request(graph);
  r.diagnose = false;
  r.epsilons = {.1};
  r.draws = 4;
  const AttackReport a = measure_robustness(r), b = measure_robustness(r);
  expect_same_rows(a, b);
  EXPECT_LT(a.rows[0].robust, a.rows[0].clean);
  r.model = *binary_;
  EXPECT_THROW(measure_robustness(r), Error);  // draws nothing
  r.model = graph;
  r.runtime = true;
  EXPECT_THROW(measure_robustness(r), Error);  // deployed networks draw nothing
}

TEST_F(Robustness, ContradictionsAreErrors) {
  AttackRequest r = request(*plain_);
  for (const double epsilon : {0.0, -.1, 1.5}) {
    r.epsilons = {epsilon};
    EXPECT_THROW(measure_robustness(r), Error) << epsilon;
  }
  r = request(*plain_);
  r.parameters = {{"stepps", "3"}};
  EXPECT_THROW(measure_robustness(r), Error);
  r = request(*plain_);
  r.parameters = {{"steps", "0"}};
  EXPECT_THROW(measure_robustness(r), Error);
  r = request(*plain_);
  r.attacks = {"nonsense"};
  EXPECT_THROW(measure_robustness(r), Error);
  r = request(*plain_);
  r.attacks = {"substitute"};
  r.parameters = {{"seed_images", "150"}};
  EXPECT_THROW(measure_robustness(r), Error);
  r = request(*plain_);
  r.samples.images = Tensor(DType::f32, {150, 1, 4, 4});
  r.samples.images.mutable_as<float>()[3] = 2;
  EXPECT_THROW(measure_robustness(r), Error);
}

}  // namespace
}  // namespace nnq::methods
