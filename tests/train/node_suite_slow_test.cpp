// ONNX's node tests and third-party models through the LibTorch executor: the interpreter's results, and so ONNX's.
#include <gtest/gtest.h>

#include "onnx/backend_suite.h"
#include "train_testing.h"

namespace nnq::test {
namespace {

void expect_suite(const std::string& kind, std::size_t at_least) {
  if (!std::filesystem::exists(backend_data() / kind)) GTEST_SKIP() << "Debian package libonnx-testdata is missing";
  std::set<std::string> operators;
  for (const Op* op : all_ops()) {
    if (op->domain.empty()) operators.insert(op->name);
  }
  const Executor torch = [](const Graph& graph, const std::map<std::string, Tensor>& inputs) {
    return train::testing::run_torch(graph, inputs);
  };
  const SuiteResult result =
      run_backend_suite(kind, operators, torch, {"Exceptions", "Exceptions of the LibTorch executor"});
  std::cout << result.summary(kind) << '\n';
  for (const std::string& fault : result.faults) ADD_FAILURE() << fault;
  EXPECT_GE(result.total, at_least);
}

TEST(NodeSuiteLibTorch, EveryNodeTestPassesOrIsListed) { expect_suite("node", 697); }
TEST(NodeSuiteLibTorch, EveryModelConvertedFromPyTorchPasses) { expect_suite("pytorch-converted", 82); }
TEST(NodeSuiteLibTorch, EveryOperatorModelOfPyTorchPasses) { expect_suite("pytorch-operator", 35); }

}  // namespace
}  // namespace nnq::test
