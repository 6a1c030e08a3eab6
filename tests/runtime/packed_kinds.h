// One program with a step of every kind that packs weights, each on an input of its own; the same bytes for ever.
#pragma once

#include <cmath>

#include "core/random.h"
#include "nnq/program.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {

class PackedKinds {
 public:
  /// scale: of the sizes; 1 is small.
  explicit PackedKinds(std::int64_t scale = 1) : scale_(scale) {
    image(8, 8, 1), image(4, 4, 1), image(2, 2, 1), image(1, 1, 1), image(8, 8, 16);
    image(4, 4, 40);
    ternary();
    row(3, 8), row(1, 1);
    planes();
    vectors(true), vectors(false);
    real();
  }
  const Program& program() const { return program_; }
  std::vector<Tensor> inputs() const {
    Random random(2, "inputs");
    std::vector<Tensor> all;
    for (const std::int32_t v : program_.inputs) {
      Tensor& x = all.emplace_back(DType::f32, program_.values[static_cast<std::size_t>(v)].type.static_shape());
      for (float& f : x.mutable_values<float>()) f = std::round(random.uniform(-3, 20) * 4) / 4;
    }
    return all;
  }

 private:
  std::int32_t tensor(const Shape& shape) {
    return program_.add_value(
        {"t" + std::to_string(program_.values.size()), ValueKind::tensor, ValueType::of(DType::f32, shape), {}});
  }
  std::int32_t input(const Shape& shape) {
    program_.inputs.push_back(tensor(shape));
    return program_.inputs.back();
  }
  std::int32_t output(const Shape& shape) {
    program_.outputs.push_back(tensor(shape));
    return program_.outputs.back();
  }
  std::int32_t codes(const Shape& shape, const CodeType& code) {
    return program_.add_value(
        {"c" + std::to_string(program_.values.size()), ValueKind::codes, ValueType::of(DType::f32, shape), code});
  }
  Step& step(StepKind kind, std::vector<std::int32_t> inputs, std::vector<std::int32_t> outputs) {
    Step& s = program_.steps.emplace_back();
    s.kind = kind;
    s.name = "s" + std::to_string(program_.steps.size());
    s.inputs = std::move(inputs), s.outputs = std::move(outputs);
    return s;
  }
  std::vector<float> floats(std::int64_t n) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (float& v : x) v = random_.uniform(-0.5F, 0.5F);
    return x;
  }
  std::vector<std::uint8_t> bits(std::int64_t count, int planes) {
    std::vector<std::uint8_t> all(static_cast<std::size_t>((count + 7) / 8 * planes));
    for (std::uint8_t& byte : all) byte = static_cast<std::uint8_t>(random_.next());
    return all;
  }
  PackedWeights whole(std::int64_t count, int width) {
    std::vector<std::int32_t> scales;
    for (int i = 0; i < width; ++i) scales.push_back(width == 1 ? 2 : 1 << i);
    return testing::packed(width, width == 1 ? -1 : -(1 << (width - 1)), scales, bits(count, width), count);
  }
  /// Codes of an input of its own.
  std::int32_t quantized(const Shape& shape, int width) {
    const CodeType code = width == 1 ? CodeType{.sign = true, .min = -1, .max = 1, .bits = 1}
                                     : CodeType{.min = 0, .max = (1 << width) - 1, .bits = width};
    const std::int32_t x = input(shape), c = codes(shape, code);
    step(StepKind::quantize, {x}, {c});
    return c;
  }
  /// A layer of integer weights that makes floats.
  Step& layer(StepKind kind, std::int32_t from, const Shape& out, std::int64_t count, int width) {
    Step& s = step(kind, {from}, {output(out)});
    s.weights = whole(count, width);
    s.out_channels = out[1];
    s.epilogue.kind = Epilogue::Kind::affine;
    s.epilogue.a.assign(static_cast<std::size_t>(out[1]), 1.0F);
    s.epilogue.b.assign(static_cast<std::size_t>(out[1]), 0.0F);
    return s;
  }
  void image(int weight_bits, int code_bits, std::int64_t groups) {
    const std::int64_t in = groups > 1 ? groups : 16 * scale_, out = groups > 1 ? groups : 40 * scale_;
    const std::int32_t c = quantized({1, in, 6, 6}, code_bits);
    Step& s = layer(StepKind::convolution, c, {1, out, 6, 6}, out * (in / groups) * 9, weight_bits);
    s.in_channels = in, s.groups = groups;
    s.window = {.kernel_h = 3, .kernel_w = 3, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    if (code_bits == 1) s.pad_value = -1;
  }
  /// -1, 0 and +1 as lowering packs them, on signs.
  void ternary() {
    Step& s = layer(StepKind::dense, quantized({1, 100}, 1), {1, 30}, 3000, 2);
    s.in_channels = 100;
    std::vector<std::uint8_t> planes = bits(3000, 2);
    for (std::size_t i = 0; i < planes.size() / 2; ++i)
      planes[planes.size() / 2 + i] = static_cast<std::uint8_t>(planes[planes.size() / 2 + i] & ~planes[i]);
    s.weights = testing::packed(2, -1, {1, 2}, planes, 3000);
  }
  void row(int weight_bits, int code_bits) {
    const std::int32_t c = quantized({1, 100}, code_bits);
    layer(StepKind::dense, c, {1, 30}, 3000, weight_bits).in_channels = 100;
  }
  void planes() {
    const std::int32_t c = quantized({1, 50}, 2);
    Step& s = layer(StepKind::plane_dense, c, {1, 20}, 1000, 2);
    s.in_channels = 50;
    s.weights = testing::packed(2, 0, {}, bits(1000, 2), 1000);
    s.planes.weight_signs = true;
    s.planes.weight_scale = floats(40);
    s.planes.code_scale = floats(2);
    s.planes.patterns = {0, 1, 2, 3};
  }
  void vectors(bool uniform) {
    const CodeType code =
        uniform ? CodeType{.min = -128, .max = 127, .bits = 8} : CodeType{.min = 0, .max = 3, .bits = 2};
    const std::int32_t x = input({2, 30}), c = codes({2, 30}, code), scales = tensor({2, uniform ? 1 : 2});
    Step& quantize = step(StepKind::vector_quantize, {x}, {c, scales});
    quantize.recurrence.uniform = uniform;
    quantize.recurrence.state_bits = code.bits, quantize.recurrence.state_cycles = 2;
    Step& dense = step(StepKind::vector_dense, {c, scales}, {output({2, 20})});
    dense.out_channels = 20, dense.in_channels = 30;
    dense.weights = testing::packed(2, 0, {}, bits(600, 2), 600);
    dense.planes.weight_scale = floats(40);
    dense.planes.weight_offset = floats(20);
    dense.epilogue.b = floats(20);
  }
  void real() {
    const std::int32_t x = input({2, 30}), w = tensor({30, 20});
    std::vector<float> values = floats(600);
    for (float& v : values) v = std::round(v * 64) / 64;  // sums of these are exact in any order
    program_.constants[w] = Tensor::of<float>({30, 20}, values);
    Step& s = step(StepKind::float_op, {x, w}, {output({2, 20})});
    s.node = {.name = s.name, .op = "MatMul", .domain = "", .inputs = {"x", "w"}, .outputs = {"y"}, .attributes = {}};
    s.opset = 17;
  }

  std::int64_t scale_;
  Program program_;
  Random random_{1, "packed kinds"};
};

}  // namespace nnq::test
