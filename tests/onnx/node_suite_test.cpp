// ONNX's node tests and third-party models through the importer and the reference interpreter.
#include <gtest/gtest.h>

#include "backend_suite.h"

namespace nnq::test {
namespace {

/// What nnq promises to read (docs/onnx.md); the registry may hold more.
const std::set<std::string> promised = {"Conv",
                                        "ConvTranspose",
                                        "Gemm",
                                        "MatMul",
                                        "BatchNormalization",
                                        "InstanceNormalization",
                                        "LayerNormalization",
                                        "Relu",
                                        "LeakyRelu",
                                        "PRelu",
                                        "Clip",
                                        "Sigmoid",
                                        "HardSigmoid",
                                        "HardSwish",
                                        "Tanh",
                                        "Elu",
                                        "Softplus",
                                        "Erf",
                                        "Exp",
                                        "Log",
                                        "Sqrt",
                                        "Pow",
                                        "Abs",
                                        "Neg",
                                        "Sign",
                                        "Add",
                                        "Sub",
                                        "Mul",
                                        "Div",
                                        "Min",
                                        "Max",
                                        "Sum",
                                        "Mean",
                                        "MaxPool",
                                        "AveragePool",
                                        "GlobalAveragePool",
                                        "GlobalMaxPool",
                                        "ReduceMean",
                                        "ReduceSum",
                                        "ReduceMax",
                                        "ReduceMin",
                                        "Softmax",
                                        "LogSoftmax",
                                        "ArgMax",
                                        "Concat",
                                        "Split",
                                        "Slice",
                                        "Reshape",
                                        "Flatten",
                                        "Transpose",
                                        "Squeeze",
                                        "Unsqueeze",
                                        "Expand",
                                        "Tile",
                                        "Gather",
                                        "Shape",
                                        "Constant",
                                        "ConstantOfShape",
                                        "Cast",
                                        "Where",
                                        "Equal",
                                        "Greater",
                                        "GreaterOrEqual",
                                        "Less",
                                        "LessOrEqual",
                                        "Pad",
                                        "Resize",
                                        "Identity",
                                        "Dropout",
                                        "LSTM",
                                        "GRU",
                                        "QuantizeLinear",
                                        "DequantizeLinear"};

const Executor interpreter = [](const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  return interpret(graph, inputs);
};

void expect_suite(const std::string& kind, const std::set<std::string>& operators, std::size_t at_least) {
  if (!std::filesystem::exists(backend_data() / kind)) GTEST_SKIP() << "Debian package libonnx-testdata is missing";
  const SuiteResult result = run_backend_suite(kind, operators, interpreter);
  std::cout << result.summary(kind) << '\n';
  for (const std::string& fault : result.faults) ADD_FAILURE() << fault;
  EXPECT_GE(result.total, at_least);
}

TEST(NodeSuite, EveryPromisedOperatorIsRegistered) {
  for (const std::string& name : promised) EXPECT_NE(find_op("", name), nullptr) << name;
}

/// The promised operators and whatever else is registered.
TEST(NodeSuite, EveryNodeTestOfTheOperatorsPassesOrIsListed) {
  std::set<std::string> operators = promised;
  for (const Op* op : all_ops()) {
    if (op->domain.empty()) operators.insert(op->name);
  }
  expect_suite("node", operators, 697);
}

TEST(NodeSuite, EveryModelConvertedFromPyTorchPassesOrIsListed) { expect_suite("pytorch-converted", {}, 82); }
TEST(NodeSuite, EveryOperatorModelOfPyTorchPassesOrIsListed) { expect_suite("pytorch-operator", {}, 35); }
TEST(NodeSuite, EverySimpleModelPassesOrIsListed) { expect_suite("simple", {}, 23); }

TEST(NodeSuite, EveryRegisteredOperatorIsInThePage) {
  std::ifstream file(std::string(NNQ_SOURCE_DIR) + "/docs/onnx.md");
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  for (const Op* op : all_ops()) EXPECT_NE(page.find("`" + op->name + "`"), std::string::npos) << op->name;
}

}  // namespace
}  // namespace nnq::test
