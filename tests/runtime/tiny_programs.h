// Programs for tests of the runtime's faces: a float network from the zoo, and the worked example of docs/program.md.
#pragma once

#include <limits>

#include "nnq/lower.h"
#include "nnq/program.h"
#include "nnq/zoo.h"

namespace nnq::testing {

/// LeNet-5 in float: input [N, 1, 28, 28].
inline Program lenet5() { return lower(build_zoo("lenet5")); }

inline PackedWeights packed(int bits, std::int32_t offset, std::vector<std::int32_t> scales,
                            std::vector<std::uint8_t> planes, std::int64_t count) {
  PackedWeights w;
  w.bits = bits;
  w.offset = offset;
  w.plane_scale = std::move(scales);
  w.owned = std::make_shared<const std::vector<std::uint8_t>>(std::move(planes));
  w.data = w.owned->data();
  w.count = count;
  return w;
}

/// The worked example: quantize -> binary 2 x 2 convolution with thresholds -> 2-bit dense layer, affine.
/// Values: 0 x, 1 v, 2 t, 3 y.
inline Program worked_example() {
  Program p;
  p.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, {1, 1, 2, 2}), {}});
  p.add_value({"v", ValueKind::codes, ValueType::of(DType::f32, {1, 1, 2, 2}), {.min = 0, .max = 3, .bits = 2}});
  p.add_value({"t", ValueKind::codes, ValueType::of(DType::f32, {1, 2, 2, 2}), {.min = 0, .max = 2, .bits = 2}});
  p.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, {1, 1}), {}});
  p.inputs = {0};
  p.outputs = {3};
  p.metadata = {{"labels", "[\"thing\"]"}};

  Step quantize;
  quantize.kind = StepKind::quantize;
  quantize.name = "quantize";
  quantize.inputs = {0};
  quantize.outputs = {1};
  quantize.scale = 0.5f;

  Step conv;
  conv.kind = StepKind::convolution;
  conv.name = "conv";
  conv.inputs = {1};
  conv.outputs = {2};
  conv.weights = packed(1, -1, {2}, {0x4d}, 8);
  conv.out_channels = 2;
  conv.in_channels = 1;
  conv.window = {.kernel_h = 2, .kernel_w = 2, .pad_top = 1, .pad_left = 1};
  conv.accumulator_min = -9;
  conv.accumulator_max = 9;
  conv.epilogue.kind = Epilogue::Kind::thresholds;
  conv.epilogue.levels = 2;
  conv.epilogue.thresholds = {1, 3, -1, std::numeric_limits<std::int32_t>::min()};
  conv.epilogue.direction = {1, -1};

  Step dense;
  dense.kind = StepKind::dense;
  dense.name = "dense";
  dense.inputs = {2};
  dense.outputs = {3};
  dense.weights = packed(2, -2, {1, 2}, {0xf9, 0x6d}, 8);
  dense.out_channels = 1;
  dense.in_channels = 8;
  dense.accumulator_min = -8;
  dense.accumulator_max = 8;
  dense.epilogue.kind = Epilogue::Kind::affine;
  dense.epilogue.a = {0.1f};
  dense.epilogue.b = {0.25f};
  p.steps = {quantize, conv, dense};
  return p;
}

inline Tensor worked_input() { return Tensor::of<float>({1, 1, 2, 2}, std::vector<float>{0.2f, 0.75f, 1.25f, 9}); }

}  // namespace nnq::testing
