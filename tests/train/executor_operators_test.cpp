// Every operator with a torch form against the torch-free reference, and that form's gradient against finite
// differences.
#include <gtest/gtest.h>

#include <cmath>

#include "train/torch_op.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;

/// One application of an operator: tensors in `values` are float inputs, those in `fixed` constants after them.
struct Case {
  std::string name, op;
  std::vector<Shape> inputs;
  std::map<std::string, Attribute> attributes = {};
  std::vector<Tensor> fixed = {};  // undefined: input left out
  float low = -1, high = 1;        // range of the random inputs
  bool differentiable = true;
  int outputs = 1;
  std::string domain = {};
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

Tensor ints(const Ints& values) { return Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values); }
Tensor floats(const Floats& values) { return Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values); }
const Tensor kAbsent;

std::vector<Case> unary_cases() {
  std::vector<Case> cases;
  for (const char* op : {"Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Softplus", "Erf",
                         "Exp", "Abs", "Neg", "Identity", "Dropout"})
    cases.push_back({op, op, {{2, 3, 4}}, {}, {}, -3, 3});
  for (const char* op : {"Log", "Sqrt"}) cases.push_back({op, op, {{2, 3}}, {}, {}, 0.2f, 3});
  cases.push_back({"Sign", "Sign", {{2, 3}}, {}, {}, -1, 1, false});
  cases.push_back({"LeakyReluAlpha", "LeakyRelu", {{5}}, {{"alpha", 0.3f}}});
  cases.push_back({"EluAlpha", "Elu", {{5}}, {{"alpha", 2.0f}}});
  cases.push_back({"Clip", "Clip", {{4, 5}}, {}, {Tensor::scalar(-0.5f), Tensor::scalar(0.6f)}});
  cases.push_back({"ClipHigh", "Clip", {{4, 5}}, {}, {kAbsent, Tensor::scalar(0.1f)}});
  cases.push_back(
      {"ShiftNorm", "ShiftBatchNormalization", {{2, 3, 4}, {3}, {3}, {3}, {3}}, {}, {}, 0.3f, 2, false, 1, kNnqDomain});
  cases.push_back({"Affine", "Affine", {{2, 3, 4}, {3}, {3}}, {}, {}, -1, 1, true, 1, kNnqDomain});
  cases.push_back({"Quantize",
                   "Quantize",
                   {{3, 17}},
                   {{"min", std::int64_t{-4}}, {"max", std::int64_t{3}}, {"bits", std::int64_t{3}}},
                   {floats({0.2f})},
                   -1,
                   1,
                   false,
                   1,
                   kNnqDomain});
  cases.push_back({"Bucketize",
                   "Bucketize",
                   {{3, 17}},
                   {{"bits", std::int64_t{2}}},
                   {floats({-0.4f, 0.1f, 0.3f})},
                   -1,
                   1,
                   false,
                   1,
                   kNnqDomain});
  cases.push_back({"Levels", "Levels", {{3, 17}}, {}, {floats({-0.4f, 0, 0.25f, 7})}, 0, 3.9f, false, 1, kNnqDomain});
  cases.push_back(
      {"SignVectors", "QuantizeVectors", {{3, 2, 17}}, {{"bits", std::int64_t{3}}}, {}, -1, 1, false, 1, kNnqDomain});
  cases.push_back({"UniformVectors",
                   "QuantizeVectors",
                   {{3, 2, 17}},
                   {{"bits", std::int64_t{8}}, {"uniform", std::int64_t{1}}},
                   {},
                   -1,
                   1,
                   false,
                   1,
                   kNnqDomain});
  cases.push_back({"SignCodes", "Sign", {{3, 17}}, {}, {}, -1, 1, false, 1, kNnqDomain});
  return cases;
}

std::vector<Case> binary_cases() {
  std::vector<Case> cases;
  for (const char* op : {"Add", "Sub", "Mul", "Div", "Pow"}) {
    cases.push_back({std::string(op) + "Same", op, {{2, 3}, {2, 3}}, {}, {}, 0.5f, 2});
    cases.push_back({std::string(op) + "Broadcast", op, {{2, 1, 3}, {4, 1}}, {}, {}, 0.5f, 2});
  }
  for (const char* op : {"Min", "Max", "Sum", "Mean"}) cases.push_back({op, op, {{2, 3}, {3}, {2, 1}}});
  for (const char* op : {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
    cases.push_back({op, op, {{2, 3}, {3}}, {}, {}, -1, 1, false});
  cases.push_back({"PRelu", "PRelu", {{2, 3, 4}, {3, 1}}});
  cases.push_back({"MatMul", "MatMul", {{2, 3, 4}, {4, 5}}});
  cases.push_back({"MatMulVector", "MatMul", {{4}, {4, 5}}});
  cases.push_back({"Gemm", "Gemm", {{3, 4}, {4, 5}, {5}}, {{"alpha", 0.5f}, {"beta", 2.0f}}});
  cases.push_back(
      {"GemmTransposed", "Gemm", {{4, 3}, {5, 4}, {3, 1}}, {{"transA", std::int64_t{1}}, {"transB", std::int64_t{1}}}});
  cases.push_back({"GemmNoBias", "Gemm", {{3, 4}, {4, 5}}, {{"alpha", 0.5f}}});
  cases.push_back({"CastInt", "Cast", {{5}}, {{"to", std::int64_t{7}}}, {}, -9, 9, false});
  return cases;
}

std::vector<Case> window_cases() {
  return {
      {"Conv", "Conv", {{2, 3, 6, 7}, {4, 3, 3, 3}, {4}}, {{"pads", Ints{1, 1, 1, 1}}}},
      {"ConvStrideDilation",
       "Conv",
       {{2, 3, 9, 9}, {4, 3, 3, 3}},
       {{"strides", Ints{2, 2}}, {"dilations", Ints{2, 2}}}},
      {"ConvGroups", "Conv", {{2, 4, 5, 5}, {6, 2, 3, 3}}, {{"group", std::int64_t{2}}}},
      {"ConvDepthwise", "Conv", {{2, 4, 5, 5}, {4, 1, 3, 3}}, {{"group", std::int64_t{4}}, {"pads", Ints{1, 1, 1, 1}}}},
      {"ConvAsymmetric", "Conv", {{2, 3, 6, 6}, {4, 3, 3, 3}}, {{"pads", Ints{0, 1, 2, 0}}}},
      {"ConvSameUpper",
       "Conv",
       {{1, 2, 5, 6}, {3, 2, 2, 4}},
       {{"auto_pad", std::string("SAME_UPPER")}, {"strides", Ints{2, 2}}}},
      {"ConvSameLower", "Conv", {{1, 2, 5, 6}, {3, 2, 2, 4}}, {{"auto_pad", std::string("SAME_LOWER")}}},
      {"Conv1D", "Conv", {{2, 3, 9}, {4, 3, 3}, {4}}, {{"pads", Ints{2, 1}}}},
      {"ConvTranspose",
       "ConvTranspose",
       {{2, 3, 4, 4}, {3, 2, 3, 3}, {2}},
       {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}, {"output_padding", Ints{1, 1}}}},
      {"ConvTransposeAsymmetric",
       "ConvTranspose",
       {{1, 2, 4, 4}, {2, 2, 3, 3}, {2}},
       {{"strides", Ints{2, 2}}, {"pads", Ints{0, 1, 1, 0}}}},
      {"ConvTransposeShape",
       "ConvTranspose",
       {{1, 2, 3, 3}, {2, 2, 3, 3}},
       {{"strides", Ints{3, 2}}, {"output_shape", Ints{8, 6}}}},
      {"MaxPool", "MaxPool", {{2, 3, 6, 7}}, {{"kernel_shape", Ints{2, 3}}, {"strides", Ints{2, 2}}}},
      {"MaxPoolPad", "MaxPool", {{2, 3, 6, 7}}, {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 0, 1, 1}}}, {}, -2, -1},
      {"MaxPoolCeil",
       "MaxPool",
       {{1, 2, 6, 7}},
       {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"ceil_mode", std::int64_t{1}}}},
      {"MaxPoolDilated", "MaxPool", {{1, 2, 7, 7}}, {{"kernel_shape", Ints{2, 2}}, {"dilations", Ints{2, 2}}}},
      {"MaxPool1D", "MaxPool", {{2, 3, 8}}, {{"kernel_shape", Ints{3}}, {"strides", Ints{2}}}},
      {"AveragePool", "AveragePool", {{2, 3, 6, 7}}, {{"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 2}}}},
      {"AveragePoolPad", "AveragePool", {{2, 3, 6, 6}}, {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}}},
      {"AveragePoolCountPad",
       "AveragePool",
       {{2, 3, 6, 6}},
       {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}, {"count_include_pad", std::int64_t{1}}}},
      {"AveragePoolAsymmetric",
       "AveragePool",
       {{2, 3, 6, 6}},
       {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{0, 1, 2, 0}}}},
      {"AveragePoolAsymmetricCountPad",
       "AveragePool",
       {{2, 3, 6, 6}},
       {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{0, 1, 2, 0}}, {"count_include_pad", std::int64_t{1}}}},
      {"AveragePoolCeil",
       "AveragePool",
       {{1, 2, 6, 6}},
       {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"ceil_mode", std::int64_t{1}}}},
      {"AveragePool1D", "AveragePool", {{2, 3, 8}}, {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}}},
      {"GlobalAveragePool", "GlobalAveragePool", {{2, 3, 5, 4}}},
      {"GlobalMaxPool", "GlobalMaxPool", {{2, 3, 5, 4}}},
  };
}

std::vector<Case> normalization_cases() {
  return {
      {"BatchNormalization", "BatchNormalization", {{4, 3, 5}, {3}, {3}, {3}, {3}}, {}, {}, 0.3f, 2},
      {"InstanceNormalization", "InstanceNormalization", {{2, 3, 4, 5}, {3}, {3}}},
      {"LayerNormalization", "LayerNormalization", {{2, 3, 4}, {4}, {4}}},
      {"LayerNormalizationAxis", "LayerNormalization", {{2, 3, 4}, {3, 4}}, {{"axis", std::int64_t{1}}}},
      {"Softmax", "Softmax", {{3, 5}}, {{"axis", std::int64_t{1}}}},
      {"SoftmaxFirst", "Softmax", {{3, 5}}, {{"axis", std::int64_t{0}}}},
      {"LogSoftmax", "LogSoftmax", {{3, 5}}},
      {"ReduceMean", "ReduceMean", {{2, 3, 4}}, {}, {ints({1, -1})}},
      {"ReduceSum", "ReduceSum", {{2, 3, 4}}, {{"keepdims", std::int64_t{0}}}, {ints({0})}},
      {"ReduceMax", "ReduceMax", {{2, 3, 4}}, {}, {ints({2})}},
      {"ReduceMin", "ReduceMin", {{2, 3, 4}}, {{"keepdims", std::int64_t{0}}}},
      {"ReduceNothing", "ReduceSum", {{2, 3}}, {{"noop_with_empty_axes", std::int64_t{1}}}},
      {"ArgMax", "ArgMax", {{3, 5}}, {{"axis", std::int64_t{1}}, {"keepdims", std::int64_t{0}}}, {}, -1, 1, false},
  };
}

std::vector<Case> movement_cases() {
  return {
      {"Reshape", "Reshape", {{2, 3, 4}}, {}, {ints({0, -1})}},
      {"Flatten", "Flatten", {{2, 3, 4, 5}}, {{"axis", std::int64_t{2}}}},
      {"FlattenZero", "Flatten", {{2, 3}}, {{"axis", std::int64_t{0}}}},
      {"Transpose", "Transpose", {{2, 3, 4}}, {{"perm", Ints{2, 0, 1}}}},
      {"TransposeAll", "Transpose", {{2, 3, 4}}},
      {"Squeeze", "Squeeze", {{2, 1, 3, 1}}, {}, {ints({1})}},
      {"SqueezeAll", "Squeeze", {{2, 1, 3, 1}}},
      {"Unsqueeze", "Unsqueeze", {{2, 3}}, {}, {ints({0, -1})}},
      {"Expand", "Expand", {{3, 1}}, {}, {ints({2, 1, 4})}},
      {"Tile", "Tile", {{2, 3}}, {}, {ints({2, 2})}},
      {"Concat", "Concat", {{2, 3}, {2, 4}}, {{"axis", std::int64_t{1}}}},
      {"Split", "Split", {{2, 7}}, {{"axis", std::int64_t{1}}}, {ints({3, 4})}, -1, 1, true, 2},
      {"SplitEqual",
       "Split",
       {{2, 6}},
       {{"axis", std::int64_t{1}}, {"num_outputs", std::int64_t{3}}},
       {},
       -1,
       1,
       true,
       3},
      {"Slice", "Slice", {{4, 5}}, {}, {ints({1, 0}), ints({4, -1}), ints({0, 1}), ints({2, 1})}},
      {"SliceBackward", "Slice", {{4, 6}}, {}, {ints({-1}), ints({-100}), ints({1}), ints({-2})}},
      {"SliceBackwardPart", "Slice", {{4, 6}}, {}, {ints({4}), ints({1}), ints({1}), ints({-1})}},
      {"Gather", "Gather", {{5, 3}}, {}, {ints({4, 0, -1, 0})}},
      {"GatherAxis",
       "Gather",
       {{2, 5, 3}},
       {{"axis", std::int64_t{1}}},
       {Tensor::of<std::int64_t>({2, 2}, Ints{4, 0, 1, 1})}},
      {"Shape", "Shape", {{2, 5, 3}}, {}, {}, -1, 1, false},
      {"PadConstant", "Pad", {{2, 3, 4}}, {}, {ints({0, 1, 2, 1, 0, 1}), Tensor::scalar(0.5f)}},
      {"PadReflect", "Pad", {{2, 3, 5}}, {{"mode", std::string("reflect")}}, {ints({0, 1, 2, 0, 0, 3})}},
      {"PadEdge", "Pad", {{2, 3, 5}}, {{"mode", std::string("edge")}}, {ints({0, 1, 2, 0, 0, 3})}},
      {"ResizeNearest",
       "Resize",
       {{1, 2, 3, 3}},
       {{"mode", std::string("nearest")}},
       {kAbsent, floats({1, 1, 2, 1.5f})}},
      {"ResizeNearestFloor",
       "Resize",
       {{1, 2, 4, 4}},
       {{"nearest_mode", std::string("floor")}, {"coordinate_transformation_mode", std::string("asymmetric")}},
       {kAbsent, kAbsent, ints({1, 2, 7, 3})}},
      {"ResizeLinear", "Resize", {{1, 2, 3, 4}}, {{"mode", std::string("linear")}}, {kAbsent, floats({1, 1, 2, 0.6f})}},
      {"ResizeLinearCorners",
       "Resize",
       {{1, 2, 3, 4}},
       {{"mode", std::string("linear")}, {"coordinate_transformation_mode", std::string("align_corners")}},
       {kAbsent, floats({1, 1, 2, 2})}},
  };
}

std::vector<Case> recurrent_cases() {
  const std::string both = "bidirectional", reverse = "reverse";
  return {
      {"LSTM",
       "LSTM",
       {{4, 2, 3}, {1, 20, 3}, {1, 20, 5}, {1, 40}},
       {{"hidden_size", std::int64_t{5}}},
       {},
       -1,
       1,
       true,
       3},
      {"LSTMBoth",
       "LSTM",
       {{4, 2, 3}, {2, 20, 3}, {2, 20, 5}, {2, 40}},
       {{"hidden_size", std::int64_t{5}}, {"direction", both}},
       {},
       -1,
       1,
       true,
       3},
      {"GRU",
       "GRU",
       {{4, 2, 3}, {1, 15, 3}, {1, 15, 5}, {1, 30}},
       {{"hidden_size", std::int64_t{5}}},
       {},
       -1,
       1,
       true,
       2},
      {"GRULinear",
       "GRU",
       {{4, 2, 3}, {1, 15, 3}, {1, 15, 5}, {1, 30}},
       {{"hidden_size", std::int64_t{5}}, {"linear_before_reset", std::int64_t{1}}, {"direction", reverse}},
       {},
       -1,
       1,
       true,
       2},
  };
}

Graph graph_of(const Case& c, std::mt19937& random, std::map<std::string, Tensor>& inputs) {
  testing::GraphWriter writer;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    names.push_back(writer.input("x" + std::to_string(i), c.inputs[i]));
    inputs[names.back()] = testing::random_floats(c.inputs[i], random, c.low, c.high);
  }
  for (const Tensor& fixed : c.fixed) names.push_back(fixed.defined() ? writer.constant(fixed) : "");
  writer.node(c.op, names, c.attributes, c.domain, c.outputs);
  writer.graph.outputs = writer.graph.nodes[0].outputs;
  return std::move(writer.graph);
}

class Operators : public ::testing::TestWithParam<Case> {};
class Gradients : public ::testing::TestWithParam<Case> {};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& family :
       {unary_cases(), binary_cases(), window_cases(), normalization_cases(), movement_cases(), recurrent_cases()})
    cases.insert(cases.end(), family.begin(), family.end());
  return cases;
}

std::vector<Case> differentiable_cases() {
  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [](const Case& c) { return !c.differentiable; });
  return cases;
}

TEST_P(Operators, AgreesWithTheReference) {
  const Case& c = GetParam();
  ASSERT_NE(find_builder(c.domain, c.op), nullptr) << "no torch form";
  std::mt19937 random(7);
  std::map<std::string, Tensor> inputs;
  const Graph graph = graph_of(c, random, inputs);
  const std::vector<Tensor> expected = interpret(graph, inputs), ours = testing::run_torch(graph, inputs);
  ASSERT_EQ(expected.size(), ours.size());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    ASSERT_EQ(expected[k].shape(), ours[k].shape());
    ASSERT_EQ(expected[k].dtype(), ours[k].dtype());
    const std::vector<float> a = expected[k].to_float(), b = ours[k].to_float();
    for (std::size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], 2e-5 * (1 + std::abs(a[i]))) << "output " << k << " element " << i;
  }
}

/// Directional derivative of a random weighting of all outputs, in double.
TEST_P(Gradients, AgreeWithFiniteDifferences) {
  const Case& c = GetParam();
  std::mt19937 random(11);
  std::map<std::string, Tensor> inputs;
  Graph graph = graph_of(c, random, inputs);
  for (auto& [name, value] : graph.initializers)
    if (value.dtype() == DType::f32 && c.op != "Resize") value = value.cast(DType::f64);
  Executor executor(graph, {});
  std::map<std::string, at::Tensor> at, direction;
  at::manual_seed(3);
  for (const auto& [name, value] : inputs) {
    at[name] = to_torch(value).to(at::kDouble);
    direction[name] = at::randn(at[name].sizes(), at::kDouble);
  }
  std::vector<at::Tensor> weights;
  const auto value_at = [&](double t, bool gradients) {
    std::map<std::string, at::Tensor> moved;
    for (const auto& [name, tensor] : at) {
      const bool statistics = c.op == "BatchNormalization" && (name == "x3" || name == "x4");
      moved[name] = statistics ? tensor.clone() : (tensor + t * direction[name]).set_requires_grad(gradients);
    }
    const std::vector<at::Tensor> outputs = executor.forward(moved, c.op == "BatchNormalization");
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      if (weights.size() <= k) weights.push_back(at::randn(outputs[k].sizes(), at::kDouble));
      sum = sum + at::sum(outputs[k].to(at::kDouble) * weights[k]);
    }
    if (!gradients) return sum.item<double>();
    sum.backward();
    double slope = 0;
    for (const auto& [name, tensor] : moved)
      if (tensor.grad().defined()) slope += at::sum(tensor.grad() * direction[name]).item<double>();
    return slope;
  };
  const double step = 1e-6, slope = value_at(0, true);
  const double measured = (value_at(step, false) - value_at(-step, false)) / (2 * step);
  EXPECT_NEAR(slope, measured, 1e-5 * (1 + std::abs(slope)));
}

std::string name_of_case(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(All, Operators, ::testing::ValuesIn(all_cases()), name_of_case);
INSTANTIATE_TEST_SUITE_P(All, Gradients, ::testing::ValuesIn(differentiable_cases()), name_of_case);

}  // namespace
}  // namespace nnq::train
