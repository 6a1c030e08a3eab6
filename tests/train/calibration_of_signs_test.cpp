// Calibration of networks whose weights and activations become signs: ranges are those of the network that will be
// trained, not of the float one without its activations.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "train/executor.h"
#include "train/trainer.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

class CalibrationOfSigns : public TrainerTest {
 protected:
  /// A residual network with running statistics of other weights than the signs it is about to have.
  static Graph placed(const char* method) {
    PlacementOptions options;
    options.rules = {{"*", {method, 1, {}}, {method, 1, {{"replaces_activation", std::int64_t{1}}}}, {}},
                     {"first", {"uniform", 8, {}}, {"uniform", 8, {}}, {}},
                     {"last", {"uniform", 8, {}}, {"uniform", 8, {}}, {}}};
    Graph network = build_zoo("resnet20", {{"channels", "1"}, {"size", "4"}, {"classes", "4"}});
    for (const Node& node : network.nodes)
      if (node.is("BatchNormalization"))
        for (float& v : network.initializers.at(node.inputs[4]).mutable_values<float>()) v = 0.01F;
    return place_quantizers(std::move(network), options);
  }
  static const Node& last_quantizer(const Graph& graph) {
    const Node* found = nullptr;
    for (const Node& node : graph.nodes)
      if (node.is("Quantizer", kNnqDomain) && node.get_string("role", "") == "activation") found = &node;
    return *found;
  }
};

TEST_F(CalibrationOfSigns, TheLastRangeIsWhatTrainingWillSee) {
  const at::NoGradGuard no_gradient;
  for (const char* method : {"bnn", "bnn_plus"}) {
    const Graph graph = calibrate_graph(placed(method), train, centred(), 200, 1);
    const Node& last = last_quantizer(graph);
    std::vector<std::int64_t> all(200);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
    double highest = 0;
    Executor executor(graph, {});
    executor.forward({{executor.input_name(), to_torch(centred().apply(train, all))}}, true,
                     [&](const std::string& name, const at::Tensor& t) {
                       if (name == last.inputs[0]) highest = t.abs().max().item<double>();
                     });
    const double range = 255.0 * static_cast<double>(graph.initializers.at(last.name + ".scale").as<float>()[0]);
    EXPECT_GT(range, highest / 3) << method;
    EXPECT_LT(range, highest * 3) << method;
  }
}

TEST_F(CalibrationOfSigns, RunningStatisticsAndNormalisationStayAsTheyWere) {
  const Graph before = placed("bnn"), after = calibrate_graph(before, train, centred(), 100, 1);
  for (const Node& node : after.nodes) {
    if (!node.is("BatchNormalization")) continue;
    EXPECT_EQ(node.get_int("training_mode", 0), 0) << node.name;
    for (const std::size_t i : {3, 4}) {
      const Tensor &was = before.initializers.at(node.inputs[i]), &is = after.initializers.at(node.inputs[i]);
      ASSERT_EQ(was.shape(), is.shape());
      EXPECT_TRUE(std::equal(was.values<float>().begin(), was.values<float>().end(), is.values<float>().begin()));
    }
  }
}

}  // namespace
}  // namespace nnq::train
