// What is exported comes back the same: values, types, metadata; files are whole or absent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "networks.h"
#include "nnq/error.h"
#include "nnq/onnx.h"
#include "onnx/tensors.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A path that no other test process uses.
fs::path scratch(const std::string& name) {
  return fs::path(::testing::TempDir()) / (name + "." + std::to_string(::getpid()));
}

Graph round_trip(const Graph& graph, bool simplify = false) {
  const std::string bytes = export_onnx_bytes(graph);
  return import_onnx_bytes(std::as_bytes(std::span(bytes)), graph.name + ".onnx", {.simplify = simplify});
}

onnx::ModelProto parsed(const Graph& graph) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(export_onnx_bytes(graph)));
  return model;
}

std::string zoo_name(const ::testing::TestParamInfo<ZooEntry>& entry) { return entry.param.name; }

class ExportZoo : public ::testing::TestWithParam<ZooEntry> {};

TEST_P(ExportZoo, ComesBackWithTheSameValues) {
  const Graph graph = small_network(GetParam());
  const Graph back = round_trip(graph);
  EXPECT_EQ(to_text(back), to_text(graph));
  EXPECT_EQ(back.initializers, graph.initializers);
  EXPECT_EQ(back.metadata, graph.metadata);
  const auto feeds = feeds_for(graph, 2, 1);
  EXPECT_EQ(interpret(back, feeds), interpret(graph, feeds));
}

TEST_P(ExportZoo, FrozenComesBackWithTheSameBits) {
  const Graph network = small_network(GetParam());
  for (const auto& [weights, activations] : {std::pair{1, 1}, {2, 2}, {4, 8}}) {
    const Graph graph = frozen_network(network, weights, activations, weights == 4);
    ::testing::internal::CaptureStderr();
    const Graph back = round_trip(graph);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), IsEmpty()) << "the checker must not warn";
    EXPECT_EQ(to_text(back), to_text(graph));
    const auto feeds = feeds_for(graph, 2, 2);
    EXPECT_EQ(interpret(back, feeds), interpret(graph, feeds));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExportZoo, ::testing::ValuesIn(quick_zoo()), zoo_name);

TEST(Export, KeepsMetadataNamesAndFreeDimensions) {
  Graph graph = build_zoo("lenet5");
  graph.name = "digits";
  graph.metadata["nnq.mean"] = "0.1307";
  graph.metadata["author"] = "someone";
  const onnx::ModelProto model = parsed(graph);
  EXPECT_EQ(model.producer_name(), "nnq");
  EXPECT_EQ(model.graph().name(), "digits");
  const auto& input = model.graph().input(0).type().tensor_type().shape();
  EXPECT_EQ(input.dim(0).dim_param(), "N");
  EXPECT_EQ(input.dim(2).dim_value(), 28);
  EXPECT_EQ(model.graph().output(0).type().tensor_type().shape().dim(0).dim_param(), "N");
  const Graph back = round_trip(graph);
  EXPECT_EQ(back.metadata, graph.metadata);
  EXPECT_EQ(back.name, "digits");
}

TEST(Export, EveryOwnOperatorHasAFunctionBodyAndItsDomainImported) {
  const Graph graph = frozen_network(build_zoo("lenet5"), 4, 4, true);
  const onnx::ModelProto model = parsed(graph);
  std::set<std::string> used, defined;
  for (const auto& node : model.graph().node())
    if (node.domain() == kNnqDomain) used.insert(node.op_type());
  for (const auto& function : model.functions()) {
    EXPECT_EQ(function.domain(), kNnqDomain);
    EXPECT_GT(function.node_size(), 0) << function.name();
    EXPECT_TRUE(defined.insert(function.name()).second) << function.name();
  }
  EXPECT_EQ(used, defined);
  EXPECT_EQ(used, (std::set<std::string>{"Affine", "BitPlanes", "Quantize"}));
  const auto& opsets = model.opset_import();
  EXPECT_TRUE(std::any_of(opsets.begin(), opsets.end(), [](const auto& o) { return o.domain() == kNnqDomain; }));
}

TEST(Export, OwnOperatorsNeedOpset13) {
  Graph graph;
  graph.opset = 12;
  graph.inputs.push_back({"x", ValueType::of(DType::f32, {4})});
  graph.outputs = {graph.add("Sign", {"x"}, {}, "y", kNnqDomain)};
  try {
    export_onnx_bytes(graph);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("opset 12"));
    EXPECT_FALSE(error.fault());
  }
}

TEST(Export, EveryOpsetFrom13WritesOwnOperators) {
  for (std::int64_t opset = 13; opset <= kOnnxOpset; ++opset) {
    Graph graph;
    graph.opset = opset;
    graph.inputs.push_back({"x", ValueType::of(DType::f32, {4})});
    graph.outputs = {graph.add("Sign", {"x"}, {}, "y", kNnqDomain)};
    const Graph back = round_trip(graph);
    EXPECT_EQ(back.opset, opset);
    EXPECT_EQ(back.nodes[0].domain, kNnqDomain);
  }
}

TEST(Export, AnInvalidGraphIsRefusedNotWritten) {
  Graph graph = build_zoo("lenet5");
  graph.nodes[0].inputs[0] = "nothing";
  const fs::path file = scratch("nnq_export_invalid.onnx");
  fs::remove(file);
  EXPECT_THROW(export_onnx(graph, file), Error);
  EXPECT_FALSE(fs::exists(file));
}

TEST(Export, ReplacesAFileAtOnceAndLeavesNothingBeside) {
  const fs::path folder = scratch("nnq_export_atomic");
  fs::remove_all(folder);
  fs::create_directories(folder);
  const fs::path file = folder / "model.onnx";
  std::ofstream(file) << "the old content";
  const std::ifstream reader(file);  // who has the old file open keeps reading the old file
  const std::size_t bytes = export_onnx(build_zoo("lenet5"), file);
  EXPECT_EQ(fs::file_size(file), bytes);
  std::stringstream old;
  old << reader.rdbuf();
  EXPECT_EQ(old.str(), "the old content");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
  EXPECT_NO_THROW(import_onnx(file));
  fs::remove_all(folder);
}

TEST(Export, AFailedWriteKeepsTheOldFile) {
  const fs::path folder = scratch("nnq_export_failed");
  fs::remove_all(folder);
  fs::create_directories(folder / "model.onnx" / "not empty");  // a folder cannot be replaced by a file
  EXPECT_THROW(export_onnx(build_zoo("lenet5"), folder / "model.onnx"), Error);
  EXPECT_TRUE(fs::is_directory(folder / "model.onnx" / "not empty"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1) << "a temporary file was left";
  fs::remove_all(folder);
}

TEST(Export, TheSameGraphGivesTheSameBytes) {
  const Graph graph = frozen_network(build_zoo("lenet5"), 2, 2, false);
  EXPECT_EQ(export_onnx_bytes(graph), export_onnx_bytes(graph));
}

TEST(Export, EveryElementTypeAndAttributeKindComesBack) {
  Graph graph;
  graph.inputs.push_back({"x", ValueType::of(DType::f32, {2, 2})});
  for (const DType type : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::u8, DType::i16,
                           DType::u16, DType::i32, DType::u32, DType::i64, DType::u64, DType::boolean}) {
    Tensor value(type, {3});
    for (std::size_t i = 0; i < value.bytes(); ++i) value.mutable_data()[i] = static_cast<std::byte>(i % 2);
    graph.outputs.push_back(graph.add("Identity", {graph.add_initializer("c", value)}));
  }
  graph.outputs.push_back(graph.add("LeakyRelu", {"x"}, {{"alpha", 0.25F}}));
  graph.outputs.push_back(graph.add("Transpose", {"x"}, {{"perm", std::vector<std::int64_t>{1, 0}}}));
  const Tensor table = Tensor::of<float>({2}, std::vector<float>{1, 2});
  graph.outputs.push_back(graph.add("Constant", {}, {{"value", table}}));
  graph.outputs.push_back(graph.add("Constant", {}, {{"value_floats", std::vector<float>{3, 4}}}));
  const Graph back = round_trip(graph);
  const auto feeds = feeds_for(graph, 1, 1);
  EXPECT_EQ(interpret(back, feeds), interpret(graph, feeds));
  EXPECT_EQ(to_text(back), to_text(graph));
}

}  // namespace
}  // namespace nnq::test
