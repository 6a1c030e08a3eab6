// Vectors quantized on line in training: the numbers of pack/vector_code.h, the gradient unchanged.
#include "train/vector_quantizer.h"

#include <gtest/gtest.h>

#include "nnq/error.h"
#include "pack/vector_code.h"
#include "train_testing.h"

namespace nnq::train {
namespace {

Node quantize_node(std::int64_t bits, bool uniform) {
  return {.name = "q",
          .op = "QuantizeVectors",
          .domain = kNnqDomain,
          .inputs = {"x"},
          .outputs = {"y"},
          .attributes = {{"bits", bits}, {"uniform", std::int64_t{uniform ? 1 : 0}}}};
}

TEST(VectorQuantizer, RowsAreQuantizedByThemselves) {
  for (const bool uniform : {false, true}) {
    const int bits = uniform ? 8 : 3;
    const at::Tensor x = at::randn({5, 17}), y = vector_quantizer(quantize_node(bits, uniform), "")(x);
    std::vector<float> scales(8), values(17);
    std::vector<std::uint8_t> codes(17);
    for (std::int64_t r = 0; r < 5; ++r) {
      quantize_vector({.uniform = uniform, .bits = bits, .cycles = 2}, x.data_ptr<float>() + r * 17, 17, scales.data(),
                      codes.data(), values.data());
      for (std::int64_t i = 0; i < 17; ++i)
        ASSERT_EQ(y.data_ptr<float>()[r * 17 + i], values[static_cast<std::size_t>(i)]) << uniform << r << i;
    }
  }
  EXPECT_THROW(vector_quantizer(quantize_node(0, false), ""), Error);
  EXPECT_THROW(vector_quantizer(quantize_node(4, true), ""), Error);
}

TEST(VectorQuantizer, TheGradientPassesUnchanged) {
  Graph graph;
  graph.opset = 17;
  graph.inputs.push_back({"x", ValueType::of(DType::f32, {2, 3, 11})});
  graph.add(quantize_node(8, true));
  graph.outputs = {"y"};
  Executor executor(graph, {});
  const at::Tensor x = at::randn({2, 3, 11}).set_requires_grad(true), gradient = at::randn({2, 3, 11});
  executor.forward({{"x", x}}, true)[0].backward(gradient);
  ASSERT_TRUE(x.grad().defined());
  EXPECT_TRUE(at::equal(x.grad(), gradient));
}

}  // namespace
}  // namespace nnq::train
