// Float layers whose results a quantizer reads: the runtime gives the reference's bits, on any instruction set; layers
// that nothing quantizes keep their float sums.
#include <gtest/gtest.h>

#include <cstring>

#include "core/random.h"
#include "nnq/program.h"
#include "nnq/runtime.h"

namespace nnq::test {
namespace {

Tensor normal_tensor(Random& random, const Shape& shape) {
  Tensor t(DType::f32, shape);
  for (float& v : t.mutable_values<float>()) v = static_cast<float>(random.normal());
  return t;
}

/// x -> layer -> Relu -> quantize; the layer's result is an output, too. Without the quantizer the Relu is.
Program layer_before_quantizer(Node node, const std::vector<Tensor>& inputs, const Shape& shape, bool quantized) {
  Program p;
  Step layer;
  layer.name = node.name = "layer";
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = "x" + std::to_string(i);
    const std::int32_t v = p.add_value({name, ValueKind::tensor, ValueType::of(DType::f32, inputs[i].shape()), {}});
    node.inputs.push_back(name);
    layer.inputs.push_back(v);
    if (i == 0)
      p.inputs = {v};
    else
      p.constants[v] = inputs[i];
  }
  const ValueType type = ValueType::of(DType::f32, shape);
  const std::int32_t y = p.add_value({"y", ValueKind::tensor, type, {}}),
                     r = p.add_value({"r", ValueKind::tensor, type, {}});
  node.outputs = {"y"};
  layer.outputs = {y};
  layer.opset = kOnnxOpset;
  layer.node = std::move(node);
  Step relu;
  relu.name = "relu";
  relu.node = Node{.name = "relu", .op = "Relu", .domain = "", .inputs = {"y"}, .outputs = {"r"}, .attributes = {}};
  relu.opset = kOnnxOpset;
  relu.inputs = {y};
  relu.outputs = {r};
  p.steps = {layer, relu};
  p.outputs = {y, r};
  if (!quantized) return p;
  Step quantize;
  quantize.kind = StepKind::quantize;
  quantize.name = "quantize";
  quantize.inputs = {r};
  quantize.outputs = {p.add_value({"v", ValueKind::codes, type, {.min = 0, .max = 15, .bits = 4}})};
  quantize.scale = 0.25F;
  Step back;
  back.kind = StepKind::dequantize;
  back.name = "dequantize";
  back.inputs = quantize.outputs;
  back.outputs = {p.add_value({"q", ValueKind::tensor, type, {}})};
  back.epilogue.a = {0.25F};
  back.epilogue.b = {0};
  p.outputs = {y, back.outputs[0]};
  p.steps.push_back(quantize);
  p.steps.push_back(back);
  return p;
}

void expect_equal_bits(const Program& program, const Tensor& x, const std::string& kernel) {
  std::vector<Tensor> expected, outputs;
  const Status wanted = interpret_program(program, {&x, 1}, expected);
  ASSERT_TRUE(wanted.ok()) << wanted.message();
  std::shared_ptr<const Model> model;
  const Status made = Model::from_program(program, model);
  ASSERT_TRUE(made.ok()) << made.message();
  for (const int threads : {1, 3}) {
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
    ASSERT_TRUE(session->run({&x, 1}, outputs).ok());
    EXPECT_EQ(session->steps()[0].kernel.substr(0, kernel.size()), kernel);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      ASSERT_EQ(outputs[i].shape(), expected[i].shape());
      EXPECT_EQ(std::memcmp(outputs[i].data(), expected[i].data(), expected[i].bytes()), 0)
          << kernel << " output " << i;
    }
  }
}

TEST(BeforeQuantizers, ConvolutionsHaveTheReferencesBits) {
  Random random(21);
  for (const std::int64_t groups : {1, 2, 6}) {
    for (const bool bias : {false, true}) {
      std::vector<Tensor> inputs = {normal_tensor(random, {2, 6, 9, 11}),
                                    normal_tensor(random, {12, 6 / groups, 3, 3})};
      if (bias) inputs.push_back(normal_tensor(random, {12}));
      Node node;
      node.op = "Conv";
      node.attributes = {{"group", groups}, {"pads", std::vector<std::int64_t>{1, 1, 1, 1}}};
      expect_equal_bits(layer_before_quantizer(node, inputs, {2, 12, 9, 11}, true), inputs[0], "conv_double");
    }
  }
}

TEST(BeforeQuantizers, DenseLayersHaveTheReferencesBits) {
  Random random(22);
  for (const float beta : {1.0F, 0.7F}) {
    const std::vector<Tensor> inputs = {normal_tensor(random, {5, 301}), normal_tensor(random, {19, 301}),
                                        normal_tensor(random, {19})};
    Node node;
    node.op = "Gemm";
    node.attributes = {{"transB", std::int64_t{1}}, {"beta", beta}};
    expect_equal_bits(layer_before_quantizer(node, inputs, {5, 19}, true), inputs[0], "dense_double");
    node.attributes["alpha"] = 0.3F;
    expect_equal_bits(layer_before_quantizer(node, inputs, {5, 19}, true), inputs[0], "reference");
  }
  const std::vector<Tensor> inputs = {normal_tensor(random, {5, 301}), normal_tensor(random, {301, 19})};
  Node node;
  node.op = "MatMul";
  expect_equal_bits(layer_before_quantizer(node, inputs, {5, 19}, true), inputs[0], "dense_double");
}

TEST(BeforeQuantizers, OtherLayersKeepFloatSums) {
  Random random(23);
  const std::vector<Tensor> inputs = {normal_tensor(random, {1, 3, 5, 5}), normal_tensor(random, {4, 3, 3, 3})};
  Node node;
  node.op = "Conv";
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(layer_before_quantizer(node, inputs, {1, 4, 3, 3}, false), model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {.threads = 1}, session).ok());
  std::vector<Tensor> outputs;
  ASSERT_TRUE(session->run({inputs.data(), 1}, outputs).ok());
  EXPECT_EQ(session->steps()[0].kernel.substr(0, 10), "conv_float");
}

}  // namespace
}  // namespace nnq::test
