// A recurrent language model as training simulates it (LibTorch) and as it is deployed: predictions are equal, and
// codes of the state are within what issue 4 allows real-valued levels: one level, in 0.05 % of the places.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lower/language_model.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

std::int64_t best(const float* logits, std::int64_t n) { return std::max_element(logits, logits + n) - logits; }

TEST(DeployedRecurrent, PredictsWhatTrainingSimulates) {
  for (const bool gru : {false, true}) {
    for (const auto& [bits, uniform] : {std::pair{2, false}, {3, false}, {2, true}, {4, true}}) {
      test::LanguageModel model(gru, bits, uniform, uniform);
      const std::string y = model.recurrent(model.recurrent(model.embedding(), "first"), "second");
      model.graph.outputs.push_back("first.out");
      const Graph graph = model.finish(y);
      const auto feeds = test::feeds_of(graph, 150);
      std::map<std::string, at::Tensor> inputs;
      for (const auto& [name, tensor] : feeds) inputs[name] = to_torch(tensor);
      Executor executor(graph, {});
      std::vector<Tensor> simulated, deployed;
      for (const at::Tensor& t : executor.forward(inputs, false)) simulated.push_back(from_torch(t));
      const Status status = interpret_program(lower(graph), test::in_order(graph, feeds), deployed);
      ASSERT_TRUE(status.ok()) << status.message();
      const auto output = std::find(graph.outputs.begin(), graph.outputs.end(), "first.out") - graph.outputs.begin();
      const auto at = static_cast<std::size_t>(output);
      ASSERT_EQ(simulated[0].shape(), deployed[0].shape());
      ASSERT_EQ(simulated[at].shape(), deployed[at].shape());
      for (std::int64_t row = 0; row < simulated[0].count() / test::vocabulary; ++row)
        ASSERT_EQ(best(simulated[0].as<float>() + row * test::vocabulary, test::vocabulary),
                  best(deployed[0].as<float>() + row * test::vocabulary, test::vocabulary));
      std::int64_t other = 0;
      for (std::int64_t i = 0; i < simulated[at].count(); ++i)
        other += std::abs(simulated[at].as<float>()[i] - deployed[at].as<float>()[i]) > 1e-4F ? 1 : 0;
      EXPECT_LE(static_cast<double>(other), 0.0005 * static_cast<double>(simulated[at].count()));
    }
  }
}

}  // namespace
}  // namespace nnq::train
