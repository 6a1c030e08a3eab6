// A network of one layer, for tests of single layers.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/precision.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {

/// quantize -> `layer` -> dequantize. The layer gets its inputs, outputs and weights here; planes: of the weights.
inline Program layer_program(const Precision& p, const Shape& input, const Shape& output, Step layer,
                             const std::vector<std::uint8_t>& planes, std::int64_t weights) {
  Program program;
  program.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, input), {}});
  program.add_value({"v", ValueKind::codes, ValueType::of(DType::f32, input), p.code});
  program.add_value({"s", ValueKind::accumulator, ValueType::of(DType::i32, output), {}});
  program.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, output), {}});
  program.inputs = {0};
  program.outputs = {3};
  Step quantize, dequantize;
  quantize.kind = StepKind::quantize;
  quantize.inputs = {0}, quantize.outputs = {1};
  layer.inputs = {1}, layer.outputs = {2};
  layer.weights = testing::packed(p.weight_bits, p.offset, p.scales, planes, weights);
  dequantize.kind = StepKind::dequantize;
  dequantize.inputs = {2}, dequantize.outputs = {3};
  dequantize.epilogue.kind = Epilogue::Kind::affine;
  dequantize.epilogue.a = {1}, dequantize.epilogue.b = {0};
  program.steps = {quantize, std::move(layer), dequantize};
  return program;
}

}  // namespace nnq::test
