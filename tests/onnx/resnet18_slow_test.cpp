// ResNet-18 (11 million parameters) to a file and back, float and frozen, and in ONNX Runtime.
#include "judge.h"

namespace nnq::test {
namespace {

Graph network() { return build_zoo("resnet18", {{"size", "32"}, {"classes", "10"}}); }

class ResNet18 : public ::testing::TestWithParam<std::pair<int, int>> {
 protected:
  /// 32, 32: float.
  static Graph graph() {
    const auto [weights, activations] = GetParam();
    return weights == 32 ? network() : frozen_network(network(), weights, activations, weights == 4);
  }
};

TEST_P(ResNet18, ComesBackWithTheSameBits) {
  const Graph original = graph();
  const std::string bytes = export_onnx_bytes(original);
  const Graph back = import_onnx_bytes(std::as_bytes(std::span(bytes)), "resnet18.onnx", {.simplify = false});
  EXPECT_EQ(to_text(back), to_text(original));
  const auto feeds = feeds_for(original, 1, 2);
  EXPECT_EQ(interpret(back, feeds), interpret(original, feeds));
}

TEST_P(ResNet18, PredictsTheSameInOnnxRuntime) {
  if (const std::string reason = no_onnxruntime(); !reason.empty()) GTEST_SKIP() << reason;
  expect_same_predictions(graph());
}

INSTANTIATE_TEST_SUITE_P(Bits, ResNet18, ::testing::Values(std::pair{32, 32}, std::pair{1, 1}, std::pair{4, 8}));

}  // namespace
}  // namespace nnq::test
