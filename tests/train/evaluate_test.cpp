#include <gtest/gtest.h>

#include "nnq/error.h"
#include "train/trainer.h"
#include "trainer_testing.h"

namespace nnq::train {
namespace {

using namespace testing;

TEST(Evaluate, PredictionsAreTheAccuracy) {
  const Samples samples = bright_rows(130, 5);
  std::vector<std::int64_t> predictions{7};
  const double accuracy = evaluate_accuracy(small_mlp(), samples, centred(), 32, "test", &predictions);
  ASSERT_EQ(predictions.size(), 130u);
  double correct = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i)
    correct += predictions[i] == samples.labels.as<std::int64_t>()[i] ? 1 : 0;
  EXPECT_DOUBLE_EQ(accuracy, 100 * correct / 130);
}

TEST(Evaluate, CalibrationIsAFunctionOfItsSeed) {
  const Samples samples = bright_rows(300, 5);
  const Graph graph = quantized_mlp("uniform", 4, 4);
  const Graph a = calibrate_graph(graph, samples, centred(), 150, 3);
  EXPECT_TRUE(a.initializers == calibrate_graph(graph, samples, centred(), 150, 3).initializers);
  EXPECT_FALSE(a.initializers == calibrate_graph(graph, samples, centred(), 20, 4).initializers);
  EXPECT_NO_THROW(calibrate_graph(graph, samples, centred(), 100000, 3));
  EXPECT_THROW(calibrate_graph(graph, samples, centred(), 0, 3), Error);
}

}  // namespace
}  // namespace nnq::train
